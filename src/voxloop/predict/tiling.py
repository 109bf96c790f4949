"""Cutting a volume into overlapping tiles, and the weights that hide their seams."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from voxloop.volume.boxes import Box

__all__ = ["blend_weights", "tile_boxes"]

Triple = tuple[int, int, int]


def tile_boxes(shape: Triple, tile: Triple, overlap: float) -> tuple[Box, ...]:
    """Boxes of one size that cover a grid, evenly spaced, overlapping by at least a share.

    Args:
        shape: voxels of the grid, along each axis at least those of the tile.
        tile: voxels of a tile.
        overlap: least shared part of neighbouring tiles, in 0..0.9.

    Returns:
        Boxes in lexicographic order; the outermost touch the grid's borders.
    """
    starts = []
    for n, t in zip(shape, tile, strict=True):
        step = max(1, int(t * (1 - overlap)))
        count = -(-(n - t) // step) + 1
        starts.append(np.rint(np.linspace(0, n - t, count)).astype(int).tolist())
    return tuple(
        Box((i, j, k), (i + tile[0], j + tile[1], k + tile[2]))
        for i, j, k in itertools.product(*starts)
    )


def blend_weights(tile: Triple) -> npt.NDArray[np.float32]:
    """How much a tile's voxels count: a Gaussian about its centre, never zero.

    Predictions near a tile's border lack context on one side and count less (Isensee et al.
    2021). Standard deviation is an eighth of the tile.
    """
    axes = [np.arange(n) - (n - 1) / 2 for n in tile]
    bells = [np.exp(-0.5 * (a / max(n / 8, 0.5)) ** 2) for a, n in zip(axes, tile, strict=True)]
    weights = bells[0][:, None, None] * bells[1][:, None] * bells[2]
    return np.asarray(np.maximum(weights, 1e-3), dtype=np.float32)
