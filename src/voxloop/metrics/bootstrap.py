"""How sure a mean can be: BCa bootstrap intervals over cases, or the reason for having none."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["LEVEL", "MIN_CASES", "Estimate", "estimate", "estimate_mean"]

FloatArray = npt.NDArray[np.float64]

LEVEL = 0.95
"""Nominal coverage of every interval."""

MIN_CASES = 5
"""With fewer cases an interval is not worth the name: its bounds are little more than the
smallest and the largest value, and it misses the truth far more often than it says."""

_RESAMPLES = 9999
_BATCH = 500  # resamples held in memory at once
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic of a sample of cases, with its interval or the reason for its absence.

    Attributes:
        value: the statistic of the sample itself; NaN of an empty one.
        interval: lower and upper bound at `LEVEL`, or None.
        cases: independent cases it rests on.
        note: why there is no interval, in words; empty where there is one.
    """

    value: float
    interval: tuple[float, float] | None
    cases: int
    note: str = ""


def estimate(
    *columns: npt.ArrayLike, statistic: Callable[..., Any], rng: np.random.Generator
) -> Estimate:
    """Estimate a statistic with its BCa interval by resampling cases.

    Args:
        columns: one or more arrays (N,) with one entry per independent case, resampled together.
        statistic: `statistic(*columns, axis=...)`, reducing that axis, vectorised.
        rng: source of the resamples.

    Source: Efron, J. Am. Stat. Assoc. 82 (1987), 171; computed by `scipy.stats.bootstrap`.
    """
    sample = [np.asarray(column, dtype=float) for column in columns]
    cases = sample[0].size
    if cases == 0:
        return Estimate(np.nan, None, 0, "no case to estimate from")
    with np.errstate(invalid="ignore"):  # infinities of both signs have no mean
        value = float(statistic(*sample, axis=-1))
    if not np.isfinite(value):
        return Estimate(value, None, cases, "not finite")
    if cases < MIN_CASES:
        return Estimate(value, None, cases, f"n = {cases} is too small to claim an interval")
    interval = _bca(sample, statistic, rng)
    if interval is None:
        return Estimate(value, None, cases, "cases do not differ: no spread to estimate from")
    return Estimate(value, interval, cases)


def estimate_mean(
    values: npt.ArrayLike, cases: Sequence[Hashable] | None = None, *, rng: np.random.Generator
) -> Estimate:
    """Estimate a mean, resampling whole cases.

    Slices of one case resemble each other. Resampling them singly would count each as an
    observation of its own and make the interval far too narrow.

    Args:
        values: (M,), without NaN.
        cases: the case of each value (M,); every value its own case where None.
        rng: source of the resamples.
    """
    flat = np.asarray(values, dtype=float)
    if cases is None:
        return estimate(flat, np.ones_like(flat), statistic=_pooled_mean, rng=rng)
    numbers: dict[Hashable, int] = {}
    index = np.array([numbers.setdefault(case, len(numbers)) for case in cases], dtype=np.intp)
    sums = np.zeros(len(numbers))
    np.add.at(sums, index, flat)
    counts = np.bincount(index, minlength=len(numbers))
    return estimate(sums, counts, statistic=_pooled_mean, rng=rng)


def _pooled_mean(sums: FloatArray, counts: FloatArray, axis: int) -> FloatArray:
    return np.asarray(sums.sum(axis=axis) / counts.sum(axis=axis))


def _bca(
    sample: list[FloatArray], statistic: Callable[..., Any], rng: np.random.Generator
) -> tuple[float, float] | None:
    cases = sample[0].size
    left_out = [
        float(statistic(*(np.delete(column, i) for column in sample), axis=-1))
        for i in range(cases)
    ]
    if np.ptp(left_out) <= _ROUNDING * max(1.0, float(np.abs(left_out).max())):
        return None  # the acceleration is 0/0: no case moves the statistic

    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        result = stats.bootstrap(
            sample,
            statistic,
            n_resamples=_RESAMPLES,
            batch=_BATCH,
            vectorized=True,
            paired=True,
            confidence_level=LEVEL,
            method="BCa",
            rng=rng,
        )
    low, high = (float(bound) for bound in result.confidence_interval)
    return (low, high) if np.isfinite([low, high]).all() else None
