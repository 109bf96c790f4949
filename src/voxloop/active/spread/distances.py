"""Distances between many points, in blocks: never a table of all against all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["IntArray", "Rows", "distance_blocks", "nearest", "squared_to"]

Rows = npt.NDArray[np.floating[Any]]
"""(n, d): one point per row."""

IntArray = npt.NDArray[np.int64]

_BLOCK = 1 << 21
"""Distances held at a time: 16 MiB, which stays in the caches of most processors."""


def squared_to(rows: Rows, point: Rows) -> npt.NDArray[np.float64]:
    """Squared distance of each row (n, d) to one point (d,): (n,), exactly 0 for the same."""
    away = rows - point
    return np.asarray(np.einsum("nd,nd->n", away, away, dtype=np.float64))


def distance_blocks(rows: Rows, points: Rows) -> Iterator[tuple[slice, npt.NDArray[np.float64]]]:
    """Squared distances of a block of rows (n, d) to all points (m, d), block by block.

    Yields:
        Which rows, and (rows of the block, m).
    """
    wide = points.astype(np.float64)
    lengths = np.einsum("md,md->m", wide, wide)
    step = max(1, _BLOCK // len(points))
    for start in range(0, len(rows), step):
        block = rows[start : start + step].astype(np.float64)
        squared = block @ wide.T
        squared *= -2
        squared += lengths
        squared += np.einsum("nd,nd->n", block, block)[:, None]
        yield slice(start, start + step), np.maximum(squared, 0, out=squared)


def nearest(rows: Rows, points: Rows) -> tuple[IntArray, npt.NDArray[np.float64]]:
    """Of each row (n, d), the nearest of the points (m >= 1, d) and the squared distance to it.

    Returns:
        Numbers of points (n,) and squared distances (n,), exactly 0 for the same.
    """
    found = np.empty(len(rows), dtype=np.int64)
    squared = np.empty(len(rows))
    for part, block in distance_blocks(rows, points):
        found[part] = block.argmin(axis=1)
        away = rows[part] - points[found[part]]
        squared[part] = np.einsum("nd,nd->n", away, away, dtype=np.float64)
    return found, squared
