"""Which classes can be the most probable one somewhere, told from few numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["least_to_win"]

Float32Array = npt.NDArray[np.float32]

_ROUNDING = 1e-5
"""By this much sums and means of values may miss the exact ones."""


def least_to_win(highest: npt.NDArray[np.floating], total: npt.ArrayLike) -> Float32Array:
    """What the most probable class of any weighted mean of some cells has at the least.

    Of whatever classes, the r with the highest values hold together, at any place between the
    cells, what the others cannot hold; the first of them has at least an r-th of it. The bound is
    the best one over all r. A class whose highest value stays below is nowhere the most probable,
    not even where, between two cells, those that lead there both fade.

    Args:
        highest: (C, ...), each class's highest value among the cells.
        total: (...), lowest sum over the classes among the cells, about 1.

    Returns:
        (...) float32.
    """
    falling = -np.sort(-np.asarray(highest, dtype=np.float32), axis=0)
    held = np.cumsum(falling[::-1], axis=0)[::-1]  # by the r-th highest and all below it
    others = np.concatenate([held[1:], np.zeros_like(held[:1])])
    counts = np.arange(1, len(falling) + 1, dtype=np.float32).reshape(-1, *[1] * (falling.ndim - 1))
    return np.asarray(((total - others) / counts).max(axis=0) - _ROUNDING, dtype=np.float32)
