"""The same voxels in other orders of axes, and what happens to those that are not the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.volume.boxes import Box
from voxloop.volume.geometry import Geometry
from voxloop.volume.placement import Displacement, displacement_of, grid_fault, on_grid

GEOMETRY = oblique_geometry((7, 9, 11))


@given(st.permutations(range(3)), st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_any_order_of_axes_is_undone_exactly(
    order: list[int], reverse: tuple[bool, bool, bool]
) -> None:
    array = np.arange(GEOMETRY.voxel_count).reshape(GEOMETRY.shape)
    indices = np.stack(np.meshgrid(*map(np.arange, GEOMETRY.shape), indexing="ij"), axis=-1)
    flips = tuple(axis for axis in range(3) if reverse[axis])
    written = np.flip(array.transpose(order), flips)
    places = np.flip(indices.transpose(*order, 3), flips)
    steps = [places[tuple(np.eye(3, dtype=int)[a])] - places[0, 0, 0] for a in range(3)]
    move = np.eye(4)
    move[:3, :3], move[:3, 3] = np.stack(steps, axis=1), places[0, 0, 0]
    source = Geometry.from_affine(written.shape, GEOMETRY.matrix @ move)
    back = on_grid(written, source, GEOMETRY)
    assert back is not None
    assert np.array_equal(back, array)


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.diag([-1.0, 1, 1, 1]), "mirrored along axis 0"),
        (np.array([[1, 0, 0, 0], [0, 1, 0, -2], [0, 0, 1, 1], [0, 0, 0, 1.0]]),
         r"shifted by -2 voxels along axis 1 and \+1 voxels along axis 2"),
        (np.diag([1.1, 1, 1, 1]), "spacing"),
        (np.eye(4) + 0.5 * np.eye(1, 16, 3).reshape(4, 4), "a corner displaced"),
    ],
)  # fmt: skip
def test_other_voxels_are_refused_with_what_has_happened(
    matrix: np.ndarray[tuple[int, ...], np.dtype[np.float64]], words: str
) -> None:
    found = Geometry.from_affine(GEOMETRY.shape, GEOMETRY.matrix @ matrix)
    assert on_grid(np.zeros(GEOMETRY.shape), found, GEOMETRY) is None
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(grid_fault(GEOMETRY, found))


@pytest.mark.parametrize(
    "displacement",
    [
        *(Displacement(axis=axis, steps=n) for axis in range(3) for n in (1, -1)),
        Displacement(mirrored=(0,)),
        Displacement(mirrored=(1, 2)),
    ],
    ids=lambda d: d.words,
)
def test_a_displaced_drawing_is_told_from_one_in_place(displacement: Displacement) -> None:
    started = ellipsoid_mask(GEOMETRY, (2.5, 4.0, 9.0), (0.8, -1.0, 1.5)).astype(np.uint8)
    region = Box.slice_at(GEOMETRY.shape, 2, 4)
    drawn = started.copy()
    drawn[2:5, 2:4, 4] = 2
    assert displacement_of(drawn, started, (region,)) is None
    edited = drawn.copy()
    edited[1:3, 5:7, 7] = 2
    assert displacement_of(edited, started, (region,)) is None
    back = Displacement(displacement.mirrored, displacement.axis, -displacement.steps)
    assert displacement_of(back.undone(drawn), started, (region,)) == displacement
