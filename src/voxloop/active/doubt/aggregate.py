"""Between which classes a model hesitates, region by region."""

from __future__ import annotations

import numpy as np

from voxloop.active.doubt.acquisition import Members, ScoreArray, class_means
from voxloop.active.pool import CasePool

__all__ = ["class_doubt"]


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
