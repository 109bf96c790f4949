"""Which classes can be the most probable one somewhere, told from few numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["least_to_win", "places_to_win"]

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


def places_to_win(
    values: Float32Array, reach: tuple[int, int, int], floor: float
) -> npt.NDArray[np.bool_]:
    """Between which neighbouring cells a class can be the most probable, or has `floor`.

    Of any weighted mean of some cells, a class has at most its highest value among them, and every
    rival at least its lowest. A class whose highest stays below what a rival has at the least is
    not the most probable one there.

    Args:
        values: (C, i, j, k), of all classes that can win anywhere.
        reach: cells along each axis that a mean is taken of.
        floor: what is enough to be counted in, whoever else is there.

    Returns:
        (C, i - reach + 1, ...); at each place for the cells from there on.
    """
    high, low = _extremes(values, reach, np.maximum), _extremes(values, reach, np.minimum)
    return np.asarray(high >= np.minimum(low.max(axis=0), np.float32(floor)) - _ROUNDING)


def _extremes(values: Float32Array, reach: tuple[int, int, int], extreme: np.ufunc) -> Float32Array:
    for axis, width in enumerate(reach, start=1):
        turned = values.swapaxes(0, axis)
        count = len(turned) - width + 1
        found = turned[:count]
        for step in range(1, width):
            found = extreme(found, turned[step : step + count])
        values = found.swapaxes(0, axis)
    return values
