from __future__ import annotations

import numpy as np
import pytest

from solids import AWAY, ball, block, check_printable, mesh_of, solid_block
from voxloop.errors import DataError, UsageError
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.shop.cut import Pins, cut
from voxloop.mesh.shop.plane import AxisPlane, Plane, parse_plane
from voxloop.mesh.shop.solid import FACETS, to_solid

BAR = block((30, 20, 12), AWAY)


def circle_mm2(radius: float) -> float:
    """Area of the polygon that stands for a circle."""
    return FACETS / 2 * radius**2 * float(np.sin(2 * np.pi / FACETS))


def across(mesh: Mesh, axis: str, at_mm: float | None = None) -> Plane:
    return AxisPlane(axis, at_mm).within(mesh.bounds_mm)


def moved(mesh: Mesh, x: float = 0.0, y: float = 0.0) -> Mesh:
    return mesh.moved(mesh.vertices_mm + np.array([x, y, 0.0]))


def test_two_halves_make_up_the_whole() -> None:
    tilted = Plane(AWAY, (1.0, 0.3, -0.2))
    front, back = cut(BAR, [tilted]).meshes
    for half in (front, back):
        check_printable(half)
    assert front.volume_mm3 + back.volume_mm3 == pytest.approx(7200)
    assert tilted.height_mm(front.vertices_mm).min() > -1e-9
    assert tilted.height_mm(back.vertices_mm).max() < 1e-9


@pytest.mark.parametrize("shape", ["cylinder", "bevelled"])
def test_pins_fit_their_holes_with_the_clearance_on_every_side(shape: str) -> None:
    pins = Pins(4.0, 5.0, 0.25, shape=shape)  # type: ignore[arg-type]
    done = cut(BAR, [across(BAR, "x")], pins)
    front, back = done.meshes
    for half in (front, back):
        check_printable(half)
    assert [a.what for a in done.alterations] == ["cut", *["connector pin and hole"] * 2]
    assert done.alterations[0].how_much == pytest.approx(240)
    if shape == "cylinder":
        assert back.volume_mm3 == pytest.approx(3600 + 2 * circle_mm2(2.0) * 5)
        assert front.volume_mm3 == pytest.approx(3600 - 2 * circle_mm2(2.25) * 5.25)
    else:
        assert 3600 < back.volume_mm3 < 3600 + 2 * circle_mm2(2.0) * 5
    assert (to_solid(front) ^ to_solid(back)).volume() == pytest.approx(0, abs=1e-9)
    apart = to_solid(moved(front, x=0.01)).min_gap(to_solid(back), 5)
    assert apart == pytest.approx(0.01, abs=1e-6), "the cut faces themselves touch"
    holes = np.array([a.where_mm for a in done.alterations[1:]])
    assert np.linalg.norm(holes[0] - holes[1]) > 10, "far apart, against turning"
    slid = to_solid(moved(front, y=0.24 * np.cos(np.pi / FACETS)))
    assert (slid ^ to_solid(back)).volume() == pytest.approx(0, abs=1e-6)
    stuck = to_solid(moved(front, y=0.5))
    assert (stuck ^ to_solid(back)).volume() > 0.5


def test_each_face_of_a_cut_that_is_wide_enough_gets_pins() -> None:
    legs = mesh_of(solid_block((10, 12, 40), (-15, 0, 0)) + solid_block((10, 12, 40), (15, 0, 0)))
    done = cut(legs, [across(legs, "z")], Pins(3.0, 4.0, count=1))
    places = sorted(a.where_mm[0] for a in done.alterations if "pin" in a.what)
    assert places == pytest.approx([-15, 15], abs=0.8)
    assert len(done.meshes) == 2


def test_two_cuts_make_three_parts_and_pins_keep_off_the_other_plane() -> None:
    planes = [across(BAR, "x", AWAY[0] - 5), across(BAR, "x", AWAY[0] + 5)]
    done = cut(BAR, planes, Pins(3.0, 3.0, count=1))
    assert len(done.meshes) == 3
    for part in done.meshes:
        check_printable(part)
    crossed = [across(BAR, "x"), across(BAR, "y")]
    quarters = cut(BAR, crossed, Pins(2.0, 2.0, wall_mm=0.6, count=1)).meshes
    assert len(quarters) == 4
    for part in quarters:
        check_printable(part)


def test_what_cannot_be_cut_or_pinned_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"which misses it; choose a place within x -155.3 to -125.3"
    ):
        cut(BAR, [across(BAR, "x", 0.0)])
    with pytest.raises(DataError, match=r"a cut face with 6.4 mm of room.*too narrow"):
        cut(block((30, 5, 5)), [Plane((0, 0, 0), (1, 0, 0))], Pins())
    with pytest.raises(DataError, match=r"too narrow"):
        cut(block((6, 30, 30)), [Plane((0, 0, 0), (1, 0, 0))], Pins(4.0, 4.0))
    with pytest.raises(UsageError, match=r"at least one plane"):
        cut(BAR, [])
    with pytest.raises(UsageError, match=r"normal with a direction"):
        Plane((0, 0, 0), (0, 0, 0))
    with pytest.raises(UsageError, match=r"across x, y or z"):
        across(BAR, "w")
    with pytest.raises(UsageError, match=r"positive diameter"):
        Pins(diameter_mm=-1)


def test_a_ball_is_cut_through_its_middle() -> None:
    done = cut(ball(8.0, AWAY), [across(ball(8.0, AWAY), "y")])
    assert done.meshes[0].volume_mm3 == pytest.approx(done.meshes[1].volume_mm3, rel=1e-6)
    assert done.alterations[0].where_mm == pytest.approx(AWAY, abs=1e-6)


def test_planes_are_read_as_they_are_written() -> None:
    assert parse_plane("z") == AxisPlane("z")
    assert parse_plane(" X = -12.5") == AxisPlane("x", -12.5)
    assert parse_plane("1,2,3:0,0.5,1") == Plane((1, 2, 3), (0, 0.5, 1))
    for wrong in ("1,2:0,0,1", "x=", "x=1=2", "1,2,3:a,b,c", "1:2:3"):
        with pytest.raises(UsageError, match="cannot read the cut"):
            parse_plane(wrong)
    with pytest.raises(UsageError, match="across x, y or z, found 'q'"):
        parse_plane("q=3")
    with pytest.raises(UsageError, match="finite"):
        parse_plane("x=nan")
