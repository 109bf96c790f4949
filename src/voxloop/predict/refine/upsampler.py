"""Any block of a scan's grid from what is known on the network's grid, without the rest."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from voxloop.volume.boxes import Box
from voxloop.volume.geometry import Geometry
from voxloop.volume.separable import axis_maps

__all__ = ["Upsampler", "between", "blocks"]

Float32Array = npt.NDArray[np.float32]
Triple = tuple[int, int, int]
Starts = tuple[tuple[int, npt.NDArray[np.integer]], ...]

_EDGE = 48
"""Voxels along each axis of a block: its arrays stay in the processor's cache."""


def blocks(within: Box) -> tuple[Box, ...]:
    """Small boxes that together are `within`."""
    spans = [
        [(a, min(a + _EDGE, stop)) for a in range(start, stop, _EDGE)]
        for start, stop in zip(within.start, within.stop, strict=True)
    ]
    return tuple(Box((i, j, k), (a, b, c)) for (i, a), (j, b), (k, c) in itertools.product(*spans))


class Upsampler:
    """Brings arrays from the network's grid to blocks of the scan's by linear interpolation.

    The two grids share their axes but for order and direction, so a block takes three products
    with small matrices, whatever lies outside it.

    Args:
        coarse: where the arrays lie.
        fine: where they are wanted; along some axes it may be the coarser one.

    Raises:
        ValueError: if the grids are turned against one another.
    """

    def __init__(self, coarse: Geometry, fine: Geometry) -> None:
        maps = axis_maps(coarse, fine)
        if maps is None:
            message = "grids to upsample between must be parallel"
            raise ValueError(message)
        self._maps, self._shape = maps, coarse.shape

    def cells(self, box: Box, halo: int = 0) -> Box:
        """The coarse voxels that the block `box` depends on, and `halo` more on each side."""
        start, stop = [0, 0, 0], [0, 0, 0]
        for along, a, b in zip(self._maps, box.start, box.stop, strict=True):
            start[along.axis] = int(along.support[a:b, 0].min())
            stop[along.axis] = int(along.support[a:b, 1].max())
        return Box(_triple(start), _triple(stop)).padded(halo, self._shape)

    def __call__(self, array: npt.NDArray[np.floating], cells: Box, box: Box) -> Float32Array:
        """The block `box` of the fine grid.

        Args:
            array: (a, b, c), values of `cells`.
            cells: of the coarse grid, at least those of `cells(box)`.
            box: of the fine grid.
        """
        weights = {
            along.axis: along.weights[a:b, cells.start[along.axis] : cells.stop[along.axis]]
            for along, a, b in zip(self._maps, box.start, box.stop, strict=True)
        }
        block = np.matmul(np.asarray(array, dtype=np.float32), weights[2].T)
        block = np.matmul(weights[1], block)
        # plane by plane: of one large product the threads would wait longer than they work
        block = np.matmul(weights[0], block.transpose(1, 0, 2)).transpose(1, 0, 2)
        return np.ascontiguousarray(block.transpose([along.axis for along in self._maps]))

    def reach(self, box: Box) -> Triple:
        """Of how many coarse voxels along each axis a voxel of the block is a mean, at most."""
        reach = [0, 0, 0]
        for along, a, b in zip(self._maps, box.start, box.stop, strict=True):
            reach[along.axis] = int(np.diff(along.support[a:b], axis=1).max())
        return _triple(reach)

    def starts(self, box: Box) -> Starts:
        """Of which coarse voxels on, `reach(box)` of them, each voxel of a block is a mean.

        Returns:
            For each axis of the block the coarse axis along it, and the first of these voxels.
        """
        last, reach = self.cells(box).stop, self.reach(box)
        return tuple(
            (along.axis, np.minimum(along.support[a:b, 0], last[along.axis] - reach[along.axis]))
            for along, a, b in zip(self._maps, box.start, box.stop, strict=True)
        )


def between(places: Box, box: Box, starts: Starts) -> Box | None:
    """The part of a block that is a mean of coarse voxels from these places on.

    Args:
        places: each stands for the coarse voxels from there on, as many as the block's reach.
        box: of the fine grid.
        starts: the block's.

    Returns:
        None if there is no such voxel.
    """
    start, stop = [], []
    for (axis, first), offset in zip(starts, box.start, strict=True):
        hit = np.flatnonzero((first >= places.start[axis]) & (first < places.stop[axis]))
        if len(hit) == 0:
            return None
        start.append(offset + int(hit[0]))
        stop.append(offset + int(hit[-1]) + 1)
    return Box(_triple(start), _triple(stop))


def _triple(values: list[int]) -> Triple:
    i, j, k = values
    return i, j, k
