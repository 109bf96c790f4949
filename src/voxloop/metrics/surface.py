"""How far apart the surfaces of two masks lie: HD95, ASSD and surface Dice, in millimetres."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.errors import UsageError
from voxloop.metrics.empty import settle
from voxloop.volume.boxes import bounding_box
from voxloop.volume.geometry import FloatArray, Geometry

__all__ = [
    "TOLERANCE_SLACK_MM",
    "SurfaceDistances",
    "SurfaceScores",
    "surface_distances",
    "surface_scores",
]

Mask = npt.NDArray[np.bool_]

TOLERANCE_SLACK_MM = 1e-4
"""Added to every tolerance: a spacing of 1 mm that a single-precision header rounds to
1.0000001 must not push a whole surface over a tolerance of 1 mm."""

_ORTHOGONAL_COSINE = 1e-4
"""Axes nearer to a right angle than this change no distance by more than its 1/20000."""


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distances between two surfaces, from each boundary voxel to the nearest of the other mask.

    Attributes:
        to_prediction_mm: one per boundary voxel of the reference.
        to_reference_mm: one per boundary voxel of the prediction.
    """

    to_prediction_mm: FloatArray
    to_reference_mm: FloatArray

    def hd95_mm(self) -> float:
        """The larger of the two directed 95th percentiles (interpolated linearly)."""
        if not self._defined():
            return math.nan
        return float(max(np.percentile(d, 95) for d in self._directed()))

    def assd_mm(self) -> float:
        """The mean over the boundary voxels of both masks together."""
        return float(np.concatenate(self._directed()).mean()) if self._defined() else math.nan

    def surface_dice(self, tolerance_mm: float) -> float:
        """The share of both masks' boundary voxels that lie within `tolerance_mm`, 0 to 1."""
        if not self._defined():
            return math.nan
        near = np.concatenate(self._directed()) <= tolerance_mm + TOLERANCE_SLACK_MM
        return float(near.mean())

    def _directed(self) -> tuple[FloatArray, FloatArray]:
        return self.to_prediction_mm, self.to_reference_mm

    def _defined(self) -> bool:
        return all(d.size for d in self._directed())


@dataclass(frozen=True, slots=True)
class SurfaceScores:
    """The three surface metrics of one pair of masks; NaN where undefined.

    Attributes:
        hd95_mm: 95th percentile Hausdorff distance.
        assd_mm: average symmetric surface distance.
        surface_dice: surface Dice at the tolerance asked for, from 0 to 1.
    """

    hd95_mm: float
    assd_mm: float
    surface_dice: float


def surface_scores(
    reference: Mask,
    prediction: Mask,
    geometry: Geometry,
    *,
    tolerance_mm: float,
    looked_at: Mask | None = None,
) -> SurfaceScores:
    """Compute HD95, ASSD and surface Dice from one pair of distance sets.

    Args:
        reference: boolean mask (I, J, K).
        prediction: boolean mask of the same shape.
        geometry: their grid; oblique and sheared ones are measured rightly.
        tolerance_mm: distance that still counts as agreement, 0 or more.
        looked_at: see `surface_distances`.

    Raises:
        UsageError: if the tolerance is negative or not finite.
        ValueError: if a mask does not have the grid's shape.
    """
    if not (math.isfinite(tolerance_mm) and tolerance_mm >= 0):
        raise UsageError(f"the tolerance must be 0 mm or more, found {tolerance_mm}")
    present = int(reference.any()), int(prediction.any())
    if not all(present):
        empty = (settle(m, math.nan, *present) for m in ("hd95_mm", "assd_mm", "surface_dice"))
        return SurfaceScores(*(float(value) for value in empty))
    distances = surface_distances(reference, prediction, geometry, looked_at)
    return SurfaceScores(
        distances.hd95_mm(), distances.assd_mm(), distances.surface_dice(tolerance_mm)
    )


def surface_distances(
    reference: Mask, prediction: Mask, geometry: Geometry, looked_at: Mask | None = None
) -> SurfaceDistances:
    """Measure from every boundary voxel of each mask to the nearest boundary voxel of the other.

    A boundary voxel belongs to the mask and has a face towards a voxel that does not, or towards
    the outside of the grid. A face towards a voxel nobody looked at is no boundary. Distances
    are those between voxel centres, exact to single precision; where a mask has no boundary
    voxel both sets are empty.

    Args:
        reference: boolean mask (I, J, K).
        prediction: boolean mask of the same shape.
        geometry: their grid.
        looked_at: where the reference is known (I, J, K); both masks are false elsewhere. None
            where it is known throughout.

    Raises:
        ValueError: if a mask does not have the grid's shape.
    """
    for mask in (reference, prediction):
        if mask.shape != geometry.shape:
            raise ValueError(f"mask of shape {mask.shape} on a grid of {geometry.shape}")
    box = bounding_box(reference | prediction)
    if box is None:
        return _NO_DISTANCES
    crop = box.padded(1, geometry.shape).slices
    known = None if looked_at is None else looked_at[crop]
    a, b = _boundary(reference[crop], known), _boundary(prediction[crop], known)
    if not (a.any() and b.any()):
        return _NO_DISTANCES
    axes = geometry.matrix[:3, :3]
    if _is_sheared(geometry):
        return SurfaceDistances(_by_tree(a, b, axes), _by_tree(b, a, axes))
    spacing_mm = geometry.spacing_mm
    return SurfaceDistances(_by_transform(a, b, spacing_mm), _by_transform(b, a, spacing_mm))


_NO_DISTANCES = SurfaceDistances(np.empty(0), np.empty(0))


def _boundary(mask: Mask, looked_at: Mask | None) -> Mask:
    """Voxels of the mask with a face to the outside; a padding of False is the grid's outside."""
    solid = np.pad(mask if looked_at is None else mask | ~looked_at, 1)
    inner = (slice(1, -1),) * 3
    enclosed = np.ones_like(mask)
    for axis in range(3):
        for side in (slice(None, -2), slice(2, None)):
            enclosed &= solid[(*inner[:axis], side, *inner[axis + 1 :])]
    return np.asarray(mask & ~enclosed)


def _is_sheared(geometry: Geometry) -> bool:
    directions = geometry.matrix[:3, :3] / np.asarray(geometry.spacing_mm)
    return bool(np.abs(directions.T @ directions - np.eye(3)).max() > _ORTHOGONAL_COSINE)


def _by_transform(points: Mask, target: Mask, spacing_mm: tuple[float, ...]) -> FloatArray:
    """Look the points up in a distance map of the target: steady time at any distance."""
    import SimpleITK as sitk

    # the filter takes no voxel on the image's edge for a boundary, hence the padding
    image = sitk.GetImageFromArray(np.pad(target, 1).astype(np.uint8))
    image.SetSpacing(tuple(reversed(spacing_mm)))
    distance_map = sitk.SignedMaurerDistanceMap(
        image, insideIsPositive=False, squaredDistance=True, useImageSpacing=True
    )
    squared = sitk.GetArrayViewFromImage(distance_map)[1:-1, 1:-1, 1:-1][points]
    distances = np.sqrt(np.abs(squared.astype(np.float64)))  # negative is inside
    distances[target[points]] = 0.0  # where the filter leaves a trace of its own rounding
    return np.asarray(distances)


def _by_tree(points: Mask, target: Mask, axes: FloatArray) -> FloatArray:
    """Search the nearest target among world positions: right for sheared grids, slow when far."""
    from scipy.spatial import KDTree

    nearest, _ = KDTree(np.argwhere(target) @ axes.T).query(np.argwhere(points) @ axes.T)
    return np.asarray(nearest, dtype=np.float64)
