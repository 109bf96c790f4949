"""The one table that says what a metric is worth when a mask holds no voxel at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

__all__ = ["EMPTY_MASKS", "EmptyRule", "settle"]


@dataclass(frozen=True, slots=True)
class EmptyRule:
    """A metric's value when one mask or both are empty; NaN means undefined.

    Attributes:
        both: neither reference nor prediction holds the structure.
        reference: only the reference is empty: a false alarm.
        prediction: only the prediction is empty: a miss.
    """

    both: float
    reference: float
    prediction: float


_UNIT_SCORE = EmptyRule(both=math.nan, reference=0.0, prediction=0.0)
_DISTANCE = EmptyRule(both=math.nan, reference=math.inf, prediction=math.inf)

EMPTY_MASKS: Mapping[str, EmptyRule] = MappingProxyType(
    {
        "dice": _UNIT_SCORE,
        "iou": _UNIT_SCORE,
        "volume_difference_percent": EmptyRule(math.nan, math.nan, -100.0),
        "hd95_mm": _DISTANCE,
        "assd_mm": _DISTANCE,
        "surface_dice": _UNIT_SCORE,
    }
)
"""Metric to rule; the reasons are in `docs/reference/metrics.md`. The volume difference in
millilitres needs no rule: zero voxels are a volume like any other."""


def settle(
    metric: str,
    value: npt.ArrayLike,
    reference_vox: npt.ArrayLike,
    prediction_vox: npt.ArrayLike,
) -> npt.NDArray[np.float64]:
    """Put the table's entry where a mask is empty and keep the computed value elsewhere.

    Args:
        metric: a key of `EMPTY_MASKS`.
        value: the metric as computed, of any shape; ignored where a mask is empty.
        reference_vox: voxels of the reference, of the same shape.
        prediction_vox: voxels of the prediction, of the same shape.
    """
    rule = EMPTY_MASKS[metric]
    no_reference, no_prediction = np.equal(reference_vox, 0), np.equal(prediction_vox, 0)
    return np.asarray(
        np.select(
            [no_reference & no_prediction, no_reference, no_prediction],
            [rule.both, rule.reference, rule.prediction],
            default=np.asarray(value, dtype=float),
        )
    )
