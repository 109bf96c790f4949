"""Labels of the slices between drawn ones, from the shapes on either side."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from voxloop.errors import DataError, Problem
from voxloop.volume.boxes import Box
from voxloop.volume.labels import BACKGROUND, IGNORE
from voxloop.volume.runs import Patch

__all__ = ["fill_between"]

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def fill_between(
    drawn: Sequence[Patch], axis: int, spacing_mm: tuple[float, float, float]
) -> tuple[Patch, ...]:
    """Fill the slices between each two neighbouring drawn ones.

    Shape-based interpolation: the signed distance to each label's outline goes over linearly from
    one slice to the next (Raya and Udupa 1990); the label that is deepest inside wins. A label
    that is on one of the two slices only ends half-way.

    Args:
        drawn: slices across `axis`, of one box otherwise; 255 counts as background.
        axis: across which the slices lie.
        spacing_mm: of the grid.

    Raises:
        DataError: if the patches are not slices of one box across the axis.
    """
    slices = sorted(drawn, key=lambda patch: patch.box.start[axis])
    _require_slices(slices, axis)
    in_plane = tuple(mm for number, mm in enumerate(spacing_mm) if number != axis)
    filled: list[Patch] = []
    for first, last in itertools.pairwise(slices):
        filled += _between(first, last, axis, in_plane)
    return tuple(filled)


def _between(
    first: Patch, last: Patch, axis: int, spacing_mm: tuple[float, ...]
) -> Iterator[Patch]:
    start, stop = first.box.start[axis], last.box.start[axis]
    planes = [np.take(patch.values, 0, axis=axis) for patch in (first, last)]
    values = sorted(set(np.unique(planes).tolist()) - {BACKGROUND, IGNORE})
    depths = {
        value: _depths_mm(planes[0] == value, planes[1] == value, spacing_mm) for value in values
    }
    for index in range(start + 1, stop):
        share = (index - start) / (stop - start)
        plane = np.zeros(planes[0].shape, dtype=np.uint8)
        deepest = np.zeros(plane.shape)
        for value, (before, after) in depths.items():
            depth = (1 - share) * before + share * after
            inside = depth > deepest
            plane[inside], deepest[inside] = value, depth[inside]
        yield Patch(_moved(first.box, axis, index), np.expand_dims(plane, axis))


def _depths_mm(
    first: Mask, last: Mask, spacing_mm: tuple[float, ...]
) -> tuple[FloatArray, FloatArray]:
    """Depths on both slices; where a label is absent, so far outside that it ends half-way."""
    found = [_depth_mm(mask, spacing_mm) if mask.any() else None for mask in (first, last)]
    most = max(float(depth.max()) for depth in found if depth is not None)
    before, after = (np.full(first.shape, -most) if depth is None else depth for depth in found)
    return before, after


def _depth_mm(mask: Mask, spacing_mm: tuple[float, ...]) -> FloatArray:
    """Distance to the outline in millimetres, positive inside, negative outside."""
    from scipy.ndimage import distance_transform_edt

    inside = distance_transform_edt(np.pad(mask, 1), sampling=spacing_mm)[1:-1, 1:-1]
    outside = distance_transform_edt(~mask, sampling=spacing_mm)
    return np.asarray(inside - outside, dtype=np.float64)


def _moved(box: Box, axis: int, index: int) -> Box:
    start, stop = list(box.start), list(box.stop)
    start[axis], stop[axis] = index, index + 1
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def _require_slices(slices: Sequence[Patch], axis: int) -> None:
    boxes = {_moved(patch.box, axis, 0) for patch in slices}
    indices = {patch.box.start[axis] for patch in slices}
    thin = all(patch.box.shape[axis] == 1 for patch in slices)
    if len(slices) < 2 or len(boxes) != 1 or len(indices) != len(slices) or not thin:
        raise DataError(
            Problem(
                "slices to fill between",
                f"two slices or more across axis {axis}, of one box",
                ", ".join(f"{list(p.box.start)} to {list(p.box.stop)}" for p in slices),
                "draw whole slices, each once",
            )
        )
