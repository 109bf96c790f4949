"""From a score per voxel to a score per region.

The mean is the default of the strategies: looking at a region costs in proportion to its voxels,
so the mean is the region's total score per unit of cost. The sum suits a cost that is counted
otherwise; the mean of the top share suits structures that fill a small part of their regions,
whose doubtful border a plain mean drowns in certain background.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from voxloop.active.doubt.acquisition import Members, ScoreArray, class_means
from voxloop.active.pool import CasePool

__all__ = [
    "Aggregation",
    "class_doubt",
    "region_mean",
    "region_sum",
    "region_top_mean",
]

Aggregation = Callable[[ScoreArray, CasePool], ScoreArray]


def region_mean(scores: ScoreArray, case: CasePool) -> ScoreArray:
    """Mean score of each region.

    Args:
        scores: (I, J, K).
        case: whose regions.

    Returns:
        (n,), n = regions of the case, float64.
    """
    return np.asarray(case.sums(scores) / case.voxel_counts)


def region_sum(scores: ScoreArray, case: CasePool) -> ScoreArray:
    """Total score of each region; arguments and result as for `region_mean`."""
    return case.sums(scores)


def region_top_mean(scores: ScoreArray, case: CasePool, share: float = 0.05) -> ScoreArray:
    """Mean over the highest-scoring voxels of each region.

    Args:
        scores: (I, J, K).
        case: whose regions.
        share: share of the region's voxels that count, above 0 up to 1; at least one voxel does.

    Returns:
        (n,), float64.
    """
    if not 0 < share <= 1:
        message = f"the share of voxels lies above 0 and up to 1, found {share}"
        raise ValueError(message)
    found = np.empty(case.region_count)
    for index in range(case.region_count):
        values = scores[case.region(index).slices].ravel()
        count = math.ceil(share * values.size)
        found[index] = np.partition(values, -count)[-count:].mean(dtype=np.float64)
    return found


def class_doubt(members: Members, case: CasePool) -> ScoreArray:
    """How much each class is in doubt in each region: the sum of p (1 - p) over its voxels.

    The two highest classes of a region are those the model hesitates between.

    Args:
        members: (M, C, I, J, K); p is their mean.
        case: whose regions.

    Returns:
        (C, n), float64.
    """
    return np.stack([case.sums(mean * (1 - mean)) for mean in class_means(members)])
