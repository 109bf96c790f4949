"""Labels between thick slices, from the shapes in the slices on either side."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from voxloop.mesh.extraction.piece import common_pieces
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import IGNORE
from voxloop.volume.volume import LabelArray, LabelMap

__all__ = ["COARSE_RATIO", "between_slices"]

COARSE_RATIO = 1.5
"""Spacings above this many times the finest are filled in."""

_LOWEST_DOME = 0.15
"""In slices."""

Plane = LabelArray
Distance = npt.NDArray[np.float32]


def between_slices(label_map: LabelMap) -> LabelMap:
    """The label map on a finer grid, about as fine along every axis as along its finest.

    Shape-based interpolation (Raya and Udupa 1990) piece by piece: the signed distance to the
    outline is taken linearly from slice to slice, after both outlines were moved to where the piece
    is by then, and the area goes linearly as well; the label that lies deepest wins. A piece
    without a counterpart in the next slice ends in a dome, as high as its loss of area since the
    slice before lets expect, else half a slice. An odd number of new slices stands for each old
    one, so that the new voxels fill the old ones exactly, and the middle one of them is the old
    slice unchanged. `IGNORE` counts as outside.

    Returns:
        The same map if no spacing is above 1.5 times the finest.
    """
    spacing_mm = np.array(label_map.geometry.spacing_mm)
    ratios = spacing_mm / spacing_mm.min()
    for axis in np.flatnonzero(ratios > COARSE_RATIO):
        # the odd number nearest to the ratio
        label_map = _refined(label_map, int(axis), max(3, 2 * int(ratios[axis] / 2) + 1))
    return label_map


def _refined(label_map: LabelMap, axis: int, factor: int) -> LabelMap:
    known = np.where(label_map.array == IGNORE, 0, label_map.array)
    slices = np.ascontiguousarray(np.moveaxis(known, axis, 0))
    geometry = label_map.geometry
    pixel_mm = tuple(s for other, s in enumerate(geometry.spacing_mm) if other != axis)
    fine = np.repeat(slices, factor, axis=0)
    middle = factor // 2
    for number in range(len(slices) - 1):
        lower, upper = slices[number], slices[number + 1]
        before = (slices[max(number - 1, 0)], slices[min(number + 2, len(slices) - 1)])
        if np.array_equal(lower, upper):
            continue
        first = number * factor + middle + 1
        block = fine[first : first + factor - 1]
        for plane, between in zip(
            block, _between((lower, upper), before, factor, pixel_mm), strict=True
        ):
            plane[...] = between
    matrix = geometry.matrix.copy()
    matrix[:3, axis] /= factor
    matrix[:3, 3] -= middle * matrix[:3, axis]
    array = np.ascontiguousarray(np.moveaxis(fine, 0, axis))
    return LabelMap(array, Geometry.from_affine(array.shape, matrix), label_map.labels)


def _between(
    both: tuple[Plane, Plane],
    before: tuple[Plane, Plane],
    factor: int,
    pixel_mm: tuple[float, ...],
) -> Iterator[Plane]:
    """Planes at 1 / factor, 2 / factor, ... of the way from one slice to the next.

    `before` are the slices before the one and after the other.
    """
    lower, upper = both
    ends = [_ending(lower, upper), _ending(upper, lower)]
    through = [
        np.where(ends[0] > 0, np.where(ends[1] > 0, 0, upper), lower),
        np.where(ends[1] > 0, np.where(ends[0] > 0, 0, lower), upper),
    ]
    upon = (lower > 0) & (upper > 0) & (ends[0] > 0) & (ends[1] > 0)
    outside = list(common_pieces(through[0] > 0, through[1] > 0, pixel_mm))
    labels = [
        (value, piece)
        for value in np.unique(np.stack(through)).tolist()
        if value
        for piece in common_pieces(through[0] == value, through[1] == value, pixel_mm)
    ]
    domes = [
        list(_domes(plane, end, last, pixel_mm))
        for plane, end, last in zip(both, ends, before, strict=True)
    ]
    for step in range(1, factor):
        share = step / factor
        plane = np.zeros_like(lower)
        deepest = np.full(plane.shape, np.inf, dtype=np.float32)
        for piece in outside:  # the outside is what all labels together leave
            around = deepest[piece.place]
            np.minimum(around, -piece.depth_mm(share), out=around)
        for value, piece in labels:
            depth = piece.depth_mm(share)
            better = depth > deepest[piece.place]
            deepest[piece.place][better] = depth[better]
            plane[piece.place][better] = value
        for made, way in zip(domes, (share, 1 - share), strict=True):
            for value, place, depth, height in made:
                plane[place][depth > depth.max() * (1 - _radius(way, height))] = value
        # where one label ends upon another there is no room for an outside
        gap = upon & (plane == 0)
        plane[gap] = both[int(share > 0.5)][gap]
        yield plane


def _ending(plane: Plane, beyond: Plane) -> npt.NDArray[np.int32]:
    """Pieces of labels, and holes, with nothing alike beyond them, numbered from 1."""
    from scipy import ndimage

    ends = np.zeros(plane.shape, dtype=np.int32)
    count = 0
    for value in np.flatnonzero(np.bincount(plane.ravel())):
        pieces, found = ndimage.label(plane == value, structure=np.ones((3, 3)))
        met = np.bincount(pieces[beyond == value], minlength=found + 1) > 0
        alone = np.flatnonzero(~met[1:]) + 1
        renumbered = np.zeros(found + 1, dtype=np.int32)
        renumbered[alone] = count + 1 + np.arange(len(alone))
        ends += renumbered[pieces]
        count += len(alone)
    return ends


def _domes(
    plane: Plane, ends: npt.NDArray[np.int32], before: Plane, pixel_mm: tuple[float, ...]
) -> Iterator[tuple[int, tuple[slice, ...], Distance, float | None]]:
    """Per ending piece its label, where it is, how deep its pixels lie within it, its height.

    The height is in slices; None where the piece does not get smaller towards its end.
    """
    from scipy import ndimage

    for number, place in enumerate(ndimage.find_objects(ends), start=1):
        inside = ends[place] == number
        value = int(plane[place][inside][0])
        depth = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=pixel_mm)[1:-1, 1:-1]
        # the outline runs between pixels
        depth -= min(pixel_mm) / 2
        alike, _ = ndimage.label(before == value, structure=np.ones((3, 3)))
        met = np.unique(alike[place][inside])
        loss = np.isin(alike, met[met > 0]).sum() / inside.sum() - 1
        height = max(_LOWEST_DOME, 1 / loss) if value and loss > 1 else None
        yield value, place, depth.astype(np.float32), height


def _radius(way: float, height: float | None) -> float:
    """What is left of a dome's radius at some height, both in slices."""
    if height is None:
        return float(np.sqrt(max(0.0, 1 - (2 * way) ** 2)))
    # the area goes on falling as it fell before, as near the pole of a sphere
    return float(np.sqrt(max(0.0, 1 - way / height)))
