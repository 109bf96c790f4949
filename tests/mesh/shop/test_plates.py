from __future__ import annotations

import numpy as np
import pytest

from solids import AWAY, block, check_printable
from voxloop.errors import UsageError
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.shop.lettering import letters
from voxloop.mesh.shop.plate import Plate, base_plate, name_plate
from voxloop.mesh.shop.solid import to_solid


def test_letters_are_engraved_to_their_depth() -> None:
    plate = Plate(3.0, 6.0, 0.5, 2.0)
    done = name_plate("CASE 0417", plate)
    check_printable(done.mesh)
    line = letters("CASE 0417", 6.0)
    width, height, thickness = (done.mesh.bounds_mm[1] - done.mesh.bounds_mm[0]).tolist()
    assert thickness == pytest.approx(3.0)
    expected = width * height * 3.0 - line.area() * 0.5
    assert done.mesh.volume_mm3 == pytest.approx(expected, rel=1e-6)
    raised = name_plate("CASE 0417", Plate(3.0, 6.0, 0.5, 2.0, raised=True)).mesh
    check_printable(raised)
    assert raised.bounds_mm[1, 2] == pytest.approx(3.5)
    assert raised.volume_mm3 == pytest.approx(width * height * 3.0 + line.area() * 0.5, rel=1e-6)


def test_letters_have_their_height_and_their_holes() -> None:
    left, bottom, right, top = letters("H", 5.0).bounds()
    assert top - bottom == pytest.approx(5.0, rel=0.01)
    assert right > left
    assert letters("O", 5.0).num_contour() == 2
    assert letters("8", 5.0).num_contour() == 3


def test_what_looks_like_a_formula_is_written_as_it_stands() -> None:
    left, _, right, _ = letters("$x_1$", 5.0).bounds()
    plain_left, _, plain_right, _ = letters("x_1", 5.0).bounds()
    assert right - left > plain_right - plain_left + 5


def test_a_base_plate_carries_the_model_and_is_read_from_the_front() -> None:
    model = block((40, 20, 30), AWAY)
    done = base_plate(model, "L7", Plate(3.0, 5.0, 0.8, 2.0), sunk_mm=1.0)
    check_printable(done.mesh)
    low, high = done.mesh.bounds_mm
    assert low[2] == pytest.approx(AWAY[2] - 15 - 2)
    assert high[2] == pytest.approx(AWAY[2] + 15)
    assert low[1] == pytest.approx(AWAY[1] - 12)
    assert high[1] > AWAY[1] + 12 + 5
    # from the front the patient's right (+x) is at the left: there the L begins
    floor = engraved_mm2(done.mesh, AWAY[2] - 15 + 1 - 0.8)
    assert floor[AWAY[0] < floor[:, 0], 2].sum() == pytest.approx(letters("L", 5.0).area(), rel=0.1)


def engraved_mm2(mesh: Mesh, height_mm: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Rows x, y, area of the faces that look upward at a height."""
    centres = mesh.vertices_mm[mesh.faces].mean(axis=1)
    areas = mesh.face_vectors_mm2[:, 2]
    flat = (np.abs(centres[:, 2] - height_mm) < 1e-6) & (areas > 0)
    return np.column_stack([centres[flat, :2], areas[flat]])


def test_what_does_not_fit_or_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(UsageError, match=r"mm long and 36\.0 mm are free; shorten it"):
        name_plate("A RATHER LONG IDENTIFIER", longest_mm=40.0)
    with pytest.raises(UsageError, match=r"mm long and 12.0 mm are free"):
        base_plate(block((10, 10, 10)), "0123456789")
    with pytest.raises(UsageError, match=r"cannot be drawn: U\+1F9B7"):
        name_plate("tooth \U0001f9b7")
    with pytest.raises(UsageError, match=r"cannot be drawn: U\+000A"):
        name_plate("two\nlines")
    with pytest.raises(UsageError, match=r"needs a text"):
        name_plate("  ")
    with pytest.raises(UsageError, match=r"go through a plate"):
        Plate(thickness_mm=1.0, depth_mm=1.0)
    with pytest.raises(UsageError, match=r"sink into the plate by less than 3 mm"):
        base_plate(block((10, 10, 10)), "A", sunk_mm=3.0)


def test_the_plate_and_the_model_are_one_piece() -> None:
    done = base_plate(block((30, 20, 10)), "B2")
    assert len(to_solid(done.mesh).decompose()) == 1
