"""A grid cut along its axes into boxes: all its slices, its blocks, or the whole of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.volume.boxes import Box

__all__ = ["Lattice"]

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Lattice:
    """The boxes between the edges along each axis, numbered with the last axis fastest.

    Every way of cutting a scan into regions is one of these, so that whatever is measured per
    voxel is summed over all regions at once, in one pass over the grid.

    Attributes:
        edges: along each axis, ascending from 0 to the number of voxels.
    """

    edges: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    def __post_init__(self) -> None:
        for edges in self.edges:
            rising = all(a < b for a, b in itertools.pairwise(edges))
            if len(edges) < 2 or edges[0] != 0 or not rising:
                message = f"edges ascend from 0 to the grid's end, found {edges}"
                raise ValueError(message)

    @classmethod
    def of_sides(cls, shape: Triple, sides: Triple) -> Lattice:
        """Cut a grid into boxes of about `sides` voxels, all alike to a voxel.

        A side of at least the grid's leaves that axis whole; 1 gives slices.
        """
        i, j, k = (_edges(n, side) for n, side in zip(shape, sides, strict=True))
        return cls((i, j, k))

    @property
    def shape(self) -> Triple:
        """Voxels of the grid along each axis."""
        i, j, k = (edges[-1] for edges in self.edges)
        return i, j, k

    @property
    def counts(self) -> Triple:
        """Boxes along each axis."""
        i, j, k = (len(edges) - 1 for edges in self.edges)
        return i, j, k

    def __len__(self) -> int:
        i, j, k = self.counts
        return i * j * k

    def box(self, index: int) -> Box:
        """The box of a number from 0 to `len(self)`."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        places = np.unravel_index(index, self.counts)
        pairs = [(e[p], e[p + 1]) for e, p in zip(self.edges, places, strict=True)]
        (i0, i1), (j0, j1), (k0, k1) = pairs
        return Box((i0, j0, k0), (i1, j1, k1))

    @cached_property
    def voxel_counts(self) -> npt.NDArray[np.int64]:
        """Voxels of each box, (n,)."""
        i, j, k = (np.asarray(edges[1:]) - np.asarray(edges[:-1]) for edges in self.edges)
        return np.asarray((i[:, None, None] * j[:, None] * k).reshape(-1))

    @cached_property
    def centres_vox(self) -> npt.NDArray[np.float64]:
        """The middle of each box in voxel indices, (n, 3)."""
        middles = [(np.asarray(e[1:]) + np.asarray(e[:-1]) - 1) / 2 for e in self.edges]
        return np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1).reshape(-1, 3)

    def sums(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Sum over each box.

        Args:
            values: (..., I, J, K), of this grid; numbers or booleans.

        Returns:
            (..., n), float64.
        """
        if values.shape[-3:] != self.shape:
            message = f"a lattice of {self.shape} voxels, found values of {values.shape}"
            raise ValueError(message)
        total = values
        # the axis with the most to add first: what follows is small then
        order = sorted(range(3), key=lambda axis: self.counts[axis] / self.shape[axis])
        for axis in order:
            if self.counts[axis] < self.shape[axis] or total is values:
                starts = np.asarray(self.edges[axis][:-1])
                total = np.add.reduceat(total, starts, axis=axis - 3, dtype=np.float64)
        return np.asarray(total.reshape(*values.shape[:-3], len(self)))

    def covered(self, box: Box) -> npt.NDArray[np.float64]:
        """Which share of each of its boxes a given one covers, (n,), 0 to 1."""
        shares = []
        for edges, low, high in zip(self.edges, box.start, box.stop, strict=True):
            starts, stops = np.asarray(edges[:-1]), np.asarray(edges[1:])
            shared = np.minimum(stops, high) - np.maximum(starts, low)
            shares.append(np.maximum(shared, 0) / (stops - starts))
        return np.asarray(np.einsum("i,j,k->ijk", *shares).reshape(-1))


def _edges(count: int, side: int) -> tuple[int, ...]:
    pieces = max(1, round(count / max(1, side)))
    return tuple(np.linspace(0, count, pieces + 1).round().astype(int).tolist())
