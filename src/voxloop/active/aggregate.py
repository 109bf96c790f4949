"""From a score per voxel to a score per slice.

The mean is the default of the strategies: labelling a slice costs in proportion to its voxels,
so the mean is the slice's total score per unit of cost. The sum suits volumes of one field of
view; the mean of the top share suits structures that fill a small part of their slices, whose
doubtful border a plain mean drowns in certain background.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from voxloop.active.acquisition import ProbArray, ScoreArray

__all__ = ["Aggregation", "class_doubt", "slice_mean", "slice_sum", "slice_top_mean"]

Aggregation = Callable[[ScoreArray, int], ScoreArray]


def slice_mean(scores: ScoreArray, axis: int) -> ScoreArray:
    """Mean score of each slice.

    Args:
        scores: (I, J, K).
        axis: the axis the slices are stacked along.

    Returns:
        (n,), n = length of `axis`, float64.
    """
    return np.asarray(scores.mean(axis=_within(axis), dtype=np.float64))


def slice_sum(scores: ScoreArray, axis: int) -> ScoreArray:
    """Total score of each slice; arguments and result as for `slice_mean`."""
    return np.asarray(scores.sum(axis=_within(axis), dtype=np.float64))


def slice_top_mean(scores: ScoreArray, axis: int, share: float = 0.05) -> ScoreArray:
    """Mean over the highest-scoring voxels of each slice.

    Args:
        scores: (I, J, K).
        axis: the axis the slices are stacked along.
        share: share of the slice's voxels that count, above 0 up to 1; at least one voxel does.

    Returns:
        (n,), float64.
    """
    if not 0 < share <= 1:
        message = f"the share of voxels lies above 0 and up to 1, found {share}"
        raise ValueError(message)
    rows = np.moveaxis(scores, axis, 0).reshape(scores.shape[axis], -1)
    count = math.ceil(share * rows.shape[1])
    top = np.partition(rows, rows.shape[1] - count, axis=1)[:, -count:]
    return np.asarray(top.mean(axis=1, dtype=np.float64))


def class_doubt(probs: ProbArray, axis: int) -> ScoreArray:
    """How much each class is in doubt in each slice: the sum of p (1 - p) over its voxels.

    The two highest classes of a slice are those the model hesitates between.

    Args:
        probs: (C, I, J, K).
        axis: the axis of the volume (0 to 2) the slices are stacked along.

    Returns:
        (C, n), float64.
    """
    return np.stack([slice_sum(channel * (1 - channel), axis) for channel in probs])


def _within(axis: int) -> tuple[int, ...]:
    return tuple(a for a in range(3) if a != axis)
