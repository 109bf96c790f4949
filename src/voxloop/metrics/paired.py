"""Is one method better than another on the same seeds and cases: paired tests, and many at once."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt

__all__ = ["EXACT_UP_TO", "holm", "paired_t", "sign_flip"]

FloatArray = npt.NDArray[np.float64]

EXACT_UP_TO = 14
"""Up to so many pairs all sign patterns are tried, above it a sample of them."""

_RESAMPLES = 19_999
_ROUNDING = 1e-12


def paired_t(differences: npt.ArrayLike) -> float:
    """Two-sided p of Student's t-test that the mean of paired differences is zero.

    With a handful of independent pairs (seeds) this is the test that can still tell something;
    it takes the differences to be about normal, which means over many cases are.

    Args:
        differences: (n,), one per independent pair.

    Returns:
        0 to 1; 1 if all are zero; NaN with fewer than two, or if all are the same other value:
        without spread there is nothing to measure the mean by.
    """
    sample = np.asarray(differences, dtype=float)
    if sample.size < 2:
        return math.nan
    if not sample.any():
        return 1.0
    spread = float(sample.std(ddof=1))
    if spread <= _ROUNDING * float(np.abs(sample).max()):
        return math.nan

    from scipy import special

    statistic = abs(float(sample.mean())) / (spread / math.sqrt(sample.size))
    return float(2 * special.stdtr(sample.size - 1, -statistic))


def sign_flip(differences: npt.ArrayLike, *, rng: np.random.Generator) -> float:
    """Two-sided p of the permutation test that paired differences lie evenly around zero.

    If the two methods do not differ, each difference could as well have the other sign. p is the
    share of sign patterns whose mean is at least as far from zero. Exact up to `EXACT_UP_TO`
    pairs; then from random patterns, the one observed among them. It assumes no distribution,
    but cannot go below 2 / 2^n: five pairs never reach 0.05.

    Args:
        differences: (n,), one per independent pair.
        rng: source of the patterns where there are too many to try all.

    Returns:
        Above 0, up to 1; NaN without any pair.

    Source: Fisher, The Design of Experiments (1935), section 21.
    """
    sizes = np.sort(np.abs(np.asarray(differences, dtype=float)))
    if sizes.size == 0:
        return math.nan
    observed = abs(float(np.asarray(differences, dtype=float).sum())) - _ROUNDING * sizes.sum()
    if sizes.size <= EXACT_UP_TO:
        # the first sign stands for both: a pattern and its mirror are equally far from zero
        others = sizes.size - 1
        patterns = np.array(list(itertools.product((1.0, -1.0), repeat=others)))
        sums = sizes[0] + patterns.reshape(2**others, others) @ sizes[1:]
        return float(np.mean(np.abs(sums) >= observed))
    signs = rng.choice((-1.0, 1.0), size=(_RESAMPLES, sizes.size))
    extreme = np.count_nonzero(np.abs(signs @ sizes) >= observed)
    return float((1 + extreme) / (1 + _RESAMPLES))


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """Correct p values for being many: one false claim among all is then as rare as stated.

    Args:
        p_values: of any shape, 0 to 1; NaN where there was no test.

    Returns:
        Of the same shape: at least the raw value, at most 1, in the same order; NaN stays and
        does not count.

    Source: Holm, Scand. J. Statist. 6 (1979), 65.
    """
    raw = np.asarray(p_values, dtype=float)
    flat = raw.ravel()
    tested = np.flatnonzero(~np.isnan(flat))
    order = tested[np.argsort(flat[tested], kind="stable")]
    corrected = np.full_like(flat, np.nan)
    factors = np.arange(order.size, 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(factors * flat[order]))
    return corrected.reshape(raw.shape)
