"""How many voxels two masks share: Dice, IoU and the difference in volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.metrics.empty import settle

__all__ = [
    "Overlap",
    "dice",
    "iou",
    "measure_overlap",
    "volume_difference_ml",
    "volume_difference_percent",
]

FloatArray = npt.NDArray[np.float64]
CountArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Overlap:
    """Voxel counts from which every overlap metric follows.

    The arrays have shape () for a whole volume, (N,) for the N slices across an axis.

    Attributes:
        reference: voxels of the reference.
        prediction: voxels of the prediction.
        shared: voxels of both.
    """

    reference: CountArray
    prediction: CountArray
    shared: CountArray


def measure_overlap(
    reference: npt.NDArray[np.bool_], prediction: npt.NDArray[np.bool_], axis: int | None = None
) -> Overlap:
    """Count the voxels of two masks of one shape, in all or slice by slice.

    Args:
        reference: boolean mask (I, J, K).
        prediction: boolean mask of the same shape.
        axis: the axis across which to slice; None for the whole volume.

    Raises:
        ValueError: if the shapes differ.
    """
    if reference.shape != prediction.shape:
        raise ValueError(f"masks of different shapes, {reference.shape} and {prediction.shape}")
    others = None if axis is None else tuple(a for a in range(reference.ndim) if a != axis)
    counts = (
        np.asarray(np.count_nonzero(mask, axis=others), dtype=np.int64)
        for mask in (reference, prediction, reference & prediction)
    )
    return Overlap(*counts)


def dice(overlap: Overlap) -> FloatArray:
    """Twice the shared voxels over the sum of both masks: 0 nothing shared, 1 identical.

    Source: Dice, Ecology 26 (1945), 297.
    """
    ratio = _ratio(2 * overlap.shared, overlap.reference + overlap.prediction)
    return settle("dice", ratio, overlap.reference, overlap.prediction)


def iou(overlap: Overlap) -> FloatArray:
    """Shared voxels over the voxels of either mask (Jaccard index), from 0 to 1."""
    union = overlap.reference + overlap.prediction - overlap.shared
    return settle("iou", _ratio(overlap.shared, union), overlap.reference, overlap.prediction)


def volume_difference_ml(overlap: Overlap, voxel_volume_mm3: float) -> FloatArray:
    """Volume of the prediction minus that of the reference; positive means too large."""
    return np.asarray((overlap.prediction - overlap.reference) * voxel_volume_mm3 / 1000)


def volume_difference_percent(overlap: Overlap) -> FloatArray:
    """The difference in volume as a percentage of the reference's volume, with its sign."""
    percent = 100 * _ratio(overlap.prediction - overlap.reference, overlap.reference)
    return settle("volume_difference_percent", percent, overlap.reference, overlap.prediction)


def _ratio(numerator: CountArray, denominator: CountArray) -> FloatArray:
    return np.asarray(numerator / np.maximum(denominator, 1))
