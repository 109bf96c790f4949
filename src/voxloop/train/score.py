"""Scores on partly annotated cases: each label where somebody looked for it, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from voxloop.dataset.annotation import Target
from voxloop.metrics.overlap import measure_overlap
from voxloop.metrics.score import LabelScore
from voxloop.volume.volume import LabelMap

__all__ = ["labels_asked", "labels_shown", "score_annotated"]


def labels_asked(target: Target) -> frozenset[int]:
    """Labels that somebody looked for, somewhere in the case."""
    return frozenset[int]().union(*target.asked_sets)


def labels_shown(target: Target) -> frozenset[int]:
    """Labels that at least one annotated voxel carries."""
    counts = np.bincount(target.values.ravel(), minlength=256)
    return frozenset(value for value in target.labels.values if counts[value])


def score_annotated(
    case_id: str, target: Target, prediction: LabelMap, values: Collection[int] | None = None
) -> tuple[LabelScore, ...]:
    """Score labels on the voxels at which somebody looked for them, in ascending order of value.

    Each label is compared with everything else, so a predicted label that was not asked for
    counts as background, as it does in training. Labels that were asked for nowhere in the case
    are not scored; where reference and prediction both lack a label the Dice is NaN (undefined).
    Surface metrics are NaN: a few slices do not show a surface.

    Args:
        case_id: the case.
        target: what is known of its labels.
        prediction: on the same grid.
        values: labels to score; all that were asked for where None.
    """
    voxel_mm3 = prediction.geometry.voxel_volume_mm3
    scores = []
    for value, name in target.labels.names.items():
        row_asks = np.array([value in asked for asked in target.asked_sets])
        if not row_asks.any() or (values is not None and value not in values):
            continue
        where = row_asks[target.asked]
        overlap = measure_overlap(where & (target.values == value), where & prediction.mask(value))
        scores.append(LabelScore.of(case_id, (value, name), overlap, voxel_mm3))
    return tuple(scores)
