"""Through which slices a person went, told from where they looked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Walk", "walks"]

Mask = npt.NDArray[np.bool_]

_SLICE = 0.5
"""Share of a slice that was looked at, for it to count as one."""


@dataclass(frozen=True, eq=False)
class Walk:
    """Slices across one axis.

    Attributes:
        axis: the axis.
        slices: (n,), which of them, ascending.
        seen: where somebody looked in them (I, J, K).
    """

    axis: int
    slices: npt.NDArray[np.intp]
    seen: Mask

    @property
    def runs(self) -> int:
        """How many runs of neighbouring slices these are: places that had to be found."""
        return 1 + int(np.count_nonzero(np.diff(self.slices) > 1))


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
    counts = _looked_at(looked)
    thin = _thinnest(counts, axis)
    single = (Walk(thin, np.flatnonzero(counts[thin]), looked),)
    whole = [np.flatnonzero(count >= _SLICE * looked.size / len(count)) for count in counts]
    if sum(map(len, whole)) >= len(single[0].slices):
        return single
    rest, crossing = looked.copy(), []
    for a in (a for a in range(3) if len(whole[a])):
        seen = np.zeros_like(looked)
        np.moveaxis(seen, a, 0)[whole[a]] = True
        crossing.append(Walk(a, whole[a], seen & looked))
        rest &= ~seen
    if rest.any():
        left = _looked_at(rest)
        walked = _thinnest(left, axis)
        crossing.append(Walk(walked, np.flatnonzero(left[walked]), rest))
    fewer = sum(len(walk.slices) for walk in crossing) < len(single[0].slices)
    return tuple(crossing) if fewer else single


def _looked_at(mask: Mask) -> list[npt.NDArray[np.int64]]:
    """How many voxels of each slice across each axis."""
    flat = mask.sum(axis=0, dtype=np.uint32)
    first = mask.sum(axis=2, dtype=np.uint32).sum(axis=1, dtype=np.int64)
    return [first, flat.sum(axis=1, dtype=np.int64), flat.sum(axis=0, dtype=np.int64)]


def _thinnest(counts: list[npt.NDArray[np.int64]], axis: int) -> int:
    """The axis across which the fewest slices were looked at."""
    return min(range(3), key=lambda a: (np.count_nonzero(counts[a]), a != axis))
