"""Through which slices a person went, told from where they looked."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["runs", "walks"]

Mask = npt.NDArray[np.bool_]
Walk = tuple[int, Mask]
"""An axis, and where somebody looked in slices across it (I, J, K)."""

_SLICE = 0.5
"""Share of a slice that was looked at, for it to count as one."""


def walks(looked: Mask, axis: int) -> tuple[Walk, ...]:
    """The fewest slices in which all lies that was looked at, and across which axis each.

    Slices are asked for along any axis, and three of them that cross one another are three slices,
    though they reach through every slice along each axis. A voxel at a crossing is in both. Half a
    slice is taken for a slice: where it crosses an earlier one, nobody looked anew.

    Args:
        looked: where somebody looked (I, J, K), cut to the box around it.
        axis: the one across which slices are read if there is a choice.

    Returns:
        One walk, or one for each axis across which slices were looked at, and one more for what is
        in none of these.
    """
    touched = [np.flatnonzero(looked.any(axis=_others(a))) for a in range(3)]
    thin = min(range(3), key=lambda a: (len(touched[a]), a != axis))
    whole = [np.flatnonzero(looked.mean(axis=_others(a)) >= _SLICE) for a in range(3)]
    rest, crossing = looked.copy(), []
    for a in (a for a in range(3) if len(whole[a])):
        seen = np.zeros_like(looked)
        np.moveaxis(seen, a, 0)[whole[a]] = True
        crossing.append((a, seen & looked))
        rest &= ~seen
    count = sum(map(len, whole))
    if rest.any():
        left = [int(rest.any(axis=_others(a)).sum()) for a in range(3)]
        walked = min(range(3), key=lambda a: (left[a], a != axis))
        crossing.append((walked, rest))
        count += left[walked]
    return tuple(crossing) if count < len(touched[thin]) else ((thin, looked),)


def runs(walk: Walk) -> int:
    """How many runs of neighbouring slices a walk has: places that had to be found."""
    axis, seen = walk
    touched = np.asarray(seen.any(axis=_others(axis)))
    return int(touched[0]) + int(np.count_nonzero(touched[1:] & ~touched[:-1]))


def _others(axis: int) -> tuple[int, ...]:
    return tuple(a for a in range(3) if a != axis)
