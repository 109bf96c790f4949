"""A grid cut into boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxloop.volume.boxes import Box
from voxloop.volume.lattice import Lattice

SIDES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))


@given(shape=SIDES, sides=SIDES, seed=st.integers(0, 9))
def test_the_boxes_tile_the_grid_and_sums_are_those_of_each_box(
    shape: tuple[int, int, int], sides: tuple[int, int, int], seed: int
) -> None:
    lattice = Lattice.of_sides(shape, sides)
    values = np.random.default_rng(seed).normal(size=(2, *shape))
    boxes = [lattice.box(i) for i in range(len(lattice))]
    met = np.zeros(shape, dtype=int)
    for box in boxes:
        met[box.slices] += 1
    assert (met == 1).all()
    assert [box.voxel_count for box in boxes] == lattice.voxel_counts.tolist()
    wanted = [[channel[box.slices].sum() for box in boxes] for channel in values]
    np.testing.assert_allclose(lattice.sums(values), wanted, atol=1e-12)
    middles = [(np.array(box.start) + np.array(box.stop) - 1) / 2 for box in boxes]
    np.testing.assert_allclose(lattice.centres_vox, middles)


@given(shape=SIDES, sides=SIDES, a=SIDES, b=SIDES)
def test_coverage_is_the_share_of_voxels_inside(
    shape: tuple[int, int, int],
    sides: tuple[int, int, int],
    a: tuple[int, int, int],
    b: tuple[int, int, int],
) -> None:
    lattice = Lattice.of_sides(shape, sides)
    low, high = np.minimum(a, b) - 1, np.maximum(a, b)
    box = Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    inside = np.zeros(shape)
    inside[box.slices] = 1
    np.testing.assert_allclose(lattice.covered(box), lattice.sums(inside) / lattice.voxel_counts)


def test_one_voxel_sides_give_slices_and_long_sides_the_whole() -> None:
    assert len(Lattice.of_sides((5, 6, 7), (5, 1, 7))) == 6
    assert Lattice.of_sides((5, 6, 7), (5, 1, 7)).box(2) == Box.slice_at((5, 6, 7), 1, 2)
    assert Lattice.of_sides((5, 6, 7), (9, 9, 9)).box(0) == Box.whole((5, 6, 7))


def test_edges_and_values_of_another_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="edges ascend from 0"):
        Lattice(((0, 2, 2), (0, 1), (0, 1)))
    with pytest.raises(ValueError, match="a lattice of"):
        Lattice.of_sides((2, 2, 2), (1, 1, 1)).sums(np.zeros((2, 2, 3)))
