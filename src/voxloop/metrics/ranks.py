"""Many methods side by side: their ranks, and who beats whom how often."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from voxloop.metrics.paired import holm, paired_t

__all__ = ["mean_ranks", "significant_wins"]

FloatArray = npt.NDArray[np.float64]


def mean_ranks(values: npt.ArrayLike) -> FloatArray:
    """Mean rank of each method, 1 for the best; equals share the mean of their ranks.

    Args:
        values: (methods, repetitions), higher is better, without NaN.

    Returns:
        (methods,), 1 to their number.
    """
    from scipy import stats

    ranks = stats.rankdata(-np.asarray(values, dtype=float), axis=0)
    return np.asarray(ranks.mean(axis=1), dtype=float)


def significant_wins(values: npt.ArrayLike, level: float = 0.05) -> npt.NDArray[np.int64]:
    """At how many budgets each method is significantly above each other one.

    Paired t-tests over seeds, with Holm's correction over all pairs and budgets together. What is
    missing from the number of budgets in (i, j) and (j, i) together are ties.

    Args:
        values: (methods, seeds, budgets).
        level: p values below it count, after the correction.

    Returns:
        (methods, methods): entry (i, j) is the number of budgets at which i is above j.

    Source: the pairwise penalty matrix of Ash et al., ICLR 2020 (BADGE), whose tests are not
    corrected for their number.
    """
    array = np.asarray(values, dtype=float)
    methods, _, budgets = array.shape
    upper = [(i, j) for i in range(methods) for j in range(i + 1, methods)]
    differences = np.array([array[i] - array[j] for i, j in upper])
    raw = [[paired_t(pair[:, b]) for b in range(budgets)] for pair in differences]
    significant = holm(np.array(raw).reshape(len(upper), budgets)) < level
    wins = np.zeros((methods, methods), dtype=np.int64)
    for (i, j), pair, sure in zip(upper, differences, significant, strict=True):
        means = pair.mean(axis=0)
        wins[i, j] = np.count_nonzero(sure & (means > 0))
        wins[j, i] = np.count_nonzero(sure & (means < 0))
    return wins
