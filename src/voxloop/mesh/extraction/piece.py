"""A connected piece of a label on its way from one slice to the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Piece", "common_pieces"]

_MARGIN = 3
"""Pixels around a piece within which it may grow: outside it is nowhere the nearest."""

Mask = npt.NDArray[np.bool_]
Distance = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Piece:
    """What two neighbouring slices show of one structure.

    Attributes:
        place: the pixels about it, in both slices.
        near: how deep the pixels lie within it in the one slice, in millimetres, negative outside.
        far: the same in the other slice.
        step_vox: how far it moves from the one to the other; zero where moving it would not make
            them overlap more.
    """

    place: tuple[slice, slice]
    near: Distance
    far: Distance
    step_vox: tuple[float, float]

    def depth_mm(self, share: float) -> Distance:
        """How deep pixels lie within it at a `share` of the way, 0 to 1.

        Shape-based interpolation of what has been moved to where it is by then, so that a slanted
        tube stays as wide as it is; the area goes evenly from the one to the other.
        """
        near, far = self._moved(self.near, share), self._moved(self.far, share - 1)
        depth = (1 - share) * near + share * far
        areas = [np.count_nonzero(end > 0) for end in (self.near, self.far)]
        return np.asarray(depth - _level(depth, (1 - share) * areas[0] + share * areas[1]))

    def _moved(self, depth: Distance, share: float) -> Distance:
        from scipy.ndimage import shift

        if not any(self.step_vox):
            return depth
        step = [share * along for along in self.step_vox]
        return np.asarray(shift(depth, step, order=1, mode="nearest"))


def common_pieces(lower: Mask, upper: Mask, pixel_mm: tuple[float, ...]) -> Iterator[Piece]:
    """Connected pieces of both slices laid upon each other that each of them has a part of."""
    from scipy import ndimage

    numbers, _ = ndimage.label(lower | upper, structure=np.ones((3, 3)))
    for number, box in enumerate(ndimage.find_objects(numbers), start=1):
        mine = numbers[box] == number
        first, second = lower[box] & mine, upper[box] & mine
        if not (first.any() and second.any()):
            continue
        step = _step_vox(first, second)
        margin = _MARGIN + int(np.ceil(max(abs(along) for along in step)))
        rows, columns = (
            slice(max(0, span.start - margin), min(size, span.stop + margin))
            for span, size in zip(box, lower.shape, strict=True)
        )
        mine = numbers[rows, columns] == number
        near, far = (_depth_mm(mask[rows, columns] & mine, pixel_mm) for mask in (lower, upper))
        yield Piece((rows, columns), near, far, step)


def _step_vox(first: Mask, second: Mask) -> tuple[float, float]:
    """From one centre to the other, if the one moved there meets more of the other."""
    from scipy.ndimage import shift

    i, j = (np.argwhere(second).mean(axis=0) - np.argwhere(first).mean(axis=0)).tolist()
    if max(abs(i), abs(j)) < 0.5:
        return 0.0, 0.0
    moved = shift(first.astype(np.float32), (i, j), order=1) > 0.5
    better = np.count_nonzero(moved & second) > np.count_nonzero(first & second)
    return (i, j) if better else (0.0, 0.0)


def _depth_mm(mask: Mask, pixel_mm: tuple[float, ...]) -> Distance:
    """Distance to the outline, positive inside."""
    from scipy.ndimage import distance_transform_edt

    if mask.all():  # deeper than any outline could be
        return np.full(mask.shape, np.dot(mask.shape, pixel_mm), dtype=np.float32)
    inside = distance_transform_edt(mask, sampling=pixel_mm)
    outside = distance_transform_edt(~mask, sampling=pixel_mm)
    return np.asarray(inside - outside, dtype=np.float32)


def _level(depth: Distance, wanted: float) -> float:
    """Above which about so many pixels lie; equally deep ones are not parted."""
    values = depth.ravel()
    rank = min(max(round(wanted), 1), values.size)
    value = np.partition(values, values.size - rank)[values.size - rank]
    above, below = values[values > value], values[values < value]
    if wanted - above.size < values.size - below.size - wanted and above.size:
        return float(value + above.min()) / 2
    return float(value + below.max()) / 2 if below.size else 0.0
