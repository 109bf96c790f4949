"""Tiles: everywhere, and never further apart than promised."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from voxloop.predict.tiling import blend_weights, tile_boxes

Triple = tuple[int, int, int]
sizes = st.tuples(*[st.integers(1, 12)] * 3)


@settings(max_examples=80)
@given(sizes, st.tuples(*[st.integers(0, 40)] * 3), st.floats(0, 0.9))
def test_tiles_cover_the_grid_and_overlap_by_at_least_their_share(
    tile: Triple, more: Triple, overlap: float
) -> None:
    shape = (tile[0] + more[0], tile[1] + more[1], tile[2] + more[2])
    boxes = tile_boxes(shape, tile, overlap)
    assert boxes == tuple(sorted(set(boxes)))
    assert all(box.shape == tile for box in boxes)
    for axis in range(3):
        starts = sorted({box.start[axis] for box in boxes})
        assert (starts[0], starts[-1]) == (0, shape[axis] - tile[axis])
        least = min(int(overlap * tile[axis]), tile[axis] - 1)  # two tiles differ by a voxel
        assert all(tile[axis] - (b - a) >= least for a, b in itertools.pairwise(starts))
    assert len(boxes) == np.prod([len({box.start[axis] for box in boxes}) for axis in range(3)])


def test_tiles_are_not_more_than_needed() -> None:
    assert len(tile_boxes((10, 10, 10), (10, 10, 10), 0.5)) == 1
    assert len(tile_boxes((20, 10, 10), (10, 10, 10), 0.0)) == 2
    assert len(tile_boxes((20, 10, 10), (10, 10, 10), 0.5)) == 3


@given(sizes)
def test_the_middle_of_a_tile_counts_most_and_its_border_a_little(tile: Triple) -> None:
    weights = blend_weights(tile)
    assert weights.shape == tile
    assert weights.min() > 0
    assert weights[tuple(n // 2 for n in tile)] == weights.max()
    np.testing.assert_array_equal(weights, np.flip(weights))
