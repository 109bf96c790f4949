"""The edges of a set of triangles, to be looked up by their ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["EdgeTable"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class EdgeTable:
    """Every edge from both its ends, ordered by tail, then head.

    Attributes:
        count: vertices that may occur.
        tails: (N,) where each edge starts.
        heads: (N,) where it ends.
        degree: (N,) faces at it.
        opposite: (N,) sum of the third corners of those faces.
    """

    count: int
    tails: IntArray
    heads: IntArray
    degree: IntArray
    opposite: IntArray

    @classmethod
    def of(cls, faces: IntArray, count: int) -> EdgeTable:
        """Collect the edges of faces (F, 3) with vertices below `count`."""
        here, there, third = (
            faces[:, order].T.ravel() for order in ([0, 1, 2], [1, 2, 0], [2, 0, 1])
        )
        codes = np.concatenate([here * count + there, there * count + here])
        order = np.argsort(codes, kind="stable")
        ordered = codes[order]
        first = np.flatnonzero(np.diff(ordered, prepend=-1))
        degree = np.diff(first, append=len(codes))
        opposite = np.add.reduceat(np.tile(third, 2)[order], first) if len(first) else first
        tails, heads = np.divmod(ordered[first], max(count, 1))
        return cls(count, tails, heads, degree, opposite)

    def find(self, tails: IntArray, heads: IntArray) -> IntArray:
        """Row of each edge (N,), -1 where there is none."""
        codes = self.tails * self.count + self.heads
        wanted = tails * self.count + heads
        rows = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
        return np.where(codes[rows] == wanted, rows, -1)

    def curve_degree(self, count: int) -> IntArray:
        """Per vertex (V,) how many edges with more than two faces it has."""
        return np.bincount(self.tails[self.degree > 2], minlength=count)
