"""Where the structures lie, so that a full-resolution pass works only there."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from voxloop.volume.boxes import Box, bounding_box
from voxloop.volume.geometry import Geometry
from voxloop.volume.volume import Volume

__all__ = ["cropped", "likely_foreground", "structure_box"]

_LIKELY = 0.25
"""A shell half a cell thick fills half of the cells it runs through, and some hardly at all."""

_LEAST_SHARE = 0.01
"""Pieces below this share of the largest do not stretch the box: one lone voxel in the air would
else make it the whole scan."""


def likely_foreground(probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Where a structure may be, thin ones included, without specks.

    Args:
        probabilities: (C, I, J, K), background first.

    Returns:
        (I, J, K).
    """
    from scipy.ndimage import label

    mask = probabilities[0] < 1 - _LIKELY
    pieces, _ = label(mask, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= max(1, _LEAST_SHARE * sizes.max()))[pieces])


def structure_box(
    mask: npt.NDArray[np.bool_], grid: Geometry, source: Geometry, margin_mm: float
) -> Box | None:
    """The box of a scan that holds all true voxels of a mask on another grid, and a margin.

    Args:
        mask: (I, J, K) on `grid`.
        grid: may be turned against the scan's.
        source: the scan's grid, whose voxels the box counts.
        margin_mm: added on every side, up to the scan's border.

    Returns:
        The box; None if the mask is empty or lies outside the scan.
    """
    found = bounding_box(mask)
    if found is None:
        return None
    # faces lie half a voxel before the first centres and behind the last
    faces = list(itertools.product(*zip(found.start, found.stop, strict=True)))
    places = source.to_voxel(grid.to_world(np.array(faces) - 0.5)) + 0.5
    margin = margin_mm / np.array(source.spacing_mm)
    # rounded, so that grids with common faces are not grown by a voxel
    start = np.floor((places.min(axis=0) - margin).round(6)).clip(0).astype(int)
    stop = np.ceil((places.max(axis=0) + margin).round(6)).clip(None, source.shape).astype(int)
    if (stop <= start).any():
        return None
    (i, j, k), (a, b, c) = start.tolist(), stop.tolist()
    return Box((i, j, k), (a, b, c))


def cropped(volume: Volume, box: Box) -> Volume:
    """The part of a volume inside a box, at its place in the world; shares memory."""
    return Volume(volume.array[box.slices], volume.geometry.part(box))
