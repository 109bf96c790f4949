"""How well estimates agree with the truth: rank correlation, coverage, area under the ROC curve.

Every number comes with n and a 95 % interval: percentiles over resampled cases (or scans, for the
area), Wilson's interval for shares, which counts each case once however many labels it has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["auroc", "coverage", "rank_correlation"]

FloatArray = npt.NDArray[np.float64]
Row = dict[str, Any]

_RESAMPLES = 1000
_LEAST = 5
"""With fewer cases there is no interval worth the name."""

_Z = 1.959964


def rank_correlation(
    expected: npt.ArrayLike, true: npt.ArrayLike, cases: Sequence[Hashable] | None = None
) -> Row:
    """Spearman's, between what was expected and what is true.

    Args:
        expected: (M,) estimates.
        true: (M,).
        cases: of each pair, resampled as a whole; every pair its own where None.
    """
    one, other = np.asarray(expected, dtype=float), np.asarray(true, dtype=float)
    groups = _grouped(range(len(one)) if cases is None else cases)
    rng = np.random.default_rng(0)

    def draw() -> float:
        rows = np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))])
        return _spearman(one[rows], other[rows])

    value, drawn = _spearman(one, other), _resampled(draw, len(groups))
    return {"value": _known(value), "interval": drawn, "n": len(one), "cases": len(groups)}


def coverage(
    low: npt.ArrayLike,
    high: npt.ArrayLike,
    true: npt.ArrayLike,
    cases: Sequence[Hashable] | None = None,
) -> Row:
    """Share of the intervals that hold the truth."""
    held = (np.asarray(low) <= np.asarray(true)) & (np.asarray(true) <= np.asarray(high))
    count = held.size if cases is None else len(set(cases))
    share = float(np.mean(held)) if held.size else math.nan
    return {
        "value": _known(share),
        "interval": _wilson(share, count) if count >= _LEAST else None,
        "n": int(held.size),
        "cases": count,
    }


def auroc(good: npt.ArrayLike, bad: npt.ArrayLike, bad_cases: Sequence[Hashable]) -> Row:
    """Probability that a bad scan scores higher than a good one, ties counting half.

    Args:
        good: (M,) scores of good scans, each of its own case.
        bad: (N,) of bad ones.
        bad_cases: (N,) what these were made of, resampled as a whole.
    """
    low, high = np.asarray(good, dtype=float), np.asarray(bad, dtype=float)
    groups = _grouped(bad_cases)
    rng = np.random.default_rng(0)

    def draw() -> float:
        chosen = [groups[i] for i in rng.integers(0, len(groups), len(groups))]
        return _area(rng.choice(low, len(low)), high[np.concatenate(chosen)])

    drawn = _resampled(draw, min(len(low), len(groups)))
    return {
        "value": _area(low, high),
        "interval": drawn,
        "n_good": len(low),
        "n_bad": len(high),
        "cases_bad": len(groups),
    }


def _grouped(cases: Sequence[Hashable]) -> list[npt.NDArray[np.intp]]:
    """The places of each case."""
    return [np.flatnonzero([case == one for case in cases]) for one in dict.fromkeys(cases)]


def _area(good: FloatArray, bad: FloatArray) -> float:
    low, high = good[:, None], bad[None]
    return float(np.mean((high > low) + 0.5 * (high == low)))


def _spearman(one: FloatArray, other: FloatArray) -> float:
    from scipy.stats import rankdata

    if len(one) < 3 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def _resampled(draw: Callable[[], float], cases: int) -> list[float] | None:
    if cases < _LEAST:
        return None
    found = np.array([draw() for _ in range(_RESAMPLES)])
    found = found[np.isfinite(found)]
    if not found.size:
        return None
    return [round(float(q), 4) for q in np.quantile(found, (0.025, 0.975))]


def _wilson(share: float, count: int) -> list[float]:
    middle = share + _Z**2 / (2 * count)
    reach = _Z * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    scale = 1 + _Z**2 / count
    bounds = ((middle - reach) / scale, (middle + reach) / scale)
    return [round(min(max(bound, 0.0), 1.0), 4) for bound in bounds]


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
