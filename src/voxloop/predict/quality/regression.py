"""Ridge regression on few cases, with jackknife+ intervals that need no assumption on errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["COVERAGE", "MIN_CASES", "JackknifePlus", "fit_jackknife_plus"]

FloatArray = npt.NDArray[np.float64]

COVERAGE = 0.9
"""Share of cases whose truth the intervals are to hold."""

MIN_CASES = 10
"""With fewer than nine, no finite interval holds nine cases of ten; one more, since a regression
takes something as well."""

_PENALTIES = np.geomspace(0.01, 1000, 11)
"""Tried, as multiples of the number of cases; the last weighs all inputs alike."""


@dataclass(frozen=True, eq=False)
class JackknifePlus:
    """A regression, and the same regression with each case left out in turn.

    The interval at x runs between order statistics of m_i(x) - r_i and of m_i(x) + r_i, m_i
    fitted without case i and r_i its error on that case. If cases are exchangeable it holds the
    truth with probability 1 - 2a, whatever the errors are like, and in practice with 1 - a.

    Attributes:
        whole: (p + 1,), intercept and slopes of the fit to all cases.
        left_out: (n, p + 1), of the fits without each case.
        residuals: (n,), absolute error of each of these on the case it lacks.

    Source: Barber, Candes, Ramdas, Tibshirani, Ann. Stat. 49 (2021), 486.
    """

    whole: FloatArray
    left_out: FloatArray
    residuals: FloatArray

    def predict(self, x: npt.ArrayLike, coverage: float = COVERAGE) -> tuple[float, float, float]:
        """The expected outcome at x (p,), and the interval's lower and upper bound.

        What is NaN in x counts as average; bounds are infinite with too few cases to have any.
        """
        row = np.concatenate([[1.0], np.asarray(x, dtype=float)])
        known = np.isfinite(row)
        fits = self.left_out[:, known] @ row[known]
        n = len(fits)
        rank = math.ceil(coverage * (n + 1))
        middle = float(self.whole[known] @ row[known])
        if rank > n:
            return middle, -math.inf, math.inf
        low = np.sort(fits - self.residuals)[n - rank]
        high = np.sort(fits + self.residuals)[rank - 1]
        return middle, min(float(low), middle), max(float(high), middle)


def fit_jackknife_plus(
    x: npt.ArrayLike, y: npt.ArrayLike, weights: npt.ArrayLike, sign: float = 1.0
) -> JackknifePlus | None:
    """Fit to calibration cases, choosing the inputs and the penalty anew in every fit.

    Only slopes of the expected sign are kept: with a dozen cases some input always seems to say
    that the more doubtful prediction is the better one.

    Args:
        x: (n, p), centred near zero, so that 0 stands for an average case; NaN counts as 0.
        y: (n,), finite.
        weights: (n,), above 0: how much each case counts in the fits.
        sign: 1 if the outcome can only rise with every input, -1 if it can only fall.

    Returns:
        The fits; None with fewer than `MIN_CASES` cases.
    """
    rows = np.nan_to_num(np.asarray(x, dtype=float)) * sign
    outcome, share = np.asarray(y, dtype=float), np.asarray(weights, dtype=float)
    n = len(outcome)
    if n < MIN_CASES:
        return None
    keep = ~np.eye(n, dtype=bool)
    left_out = np.stack([_rising(rows[k], outcome[k], share[k]) for k in keep])
    fits = left_out[:, 0] + (left_out[:, 1:] * rows).sum(axis=1)
    residuals = np.abs(outcome - fits)
    signs = np.array([1.0] + [sign] * rows.shape[1])
    return JackknifePlus(_rising(rows, outcome, share) * signs, left_out * signs, residuals)


def _rising(x: FloatArray, y: FloatArray, weights: FloatArray) -> FloatArray:
    """Intercept and slopes, none of them negative: inputs that would have such a one are left out.

    All of them at a time, again and again until none is left.
    """
    used = np.ones(x.shape[1], dtype=bool)
    while True:
        fit = _ridge(x * used, y, weights)
        wrong = fit[1:] < 0
        if not wrong.any():
            return fit
        used &= ~wrong


def _ridge(x: FloatArray, y: FloatArray, weights: FloatArray) -> FloatArray:
    """Intercept and slopes with the penalty of least leave-one-out error (PRESS, closed form).

    What is penalised is to weigh the standardised inputs differently: few cases cannot tell
    weights, but an even mean of inputs that all point one way does nearly as well as the right
    ones (Dawes, Am. Psychol. 34 (1979), 571).
    """
    total = weights.sum()
    centre, level = weights @ x / total, float(weights @ y / total)
    scale = np.sqrt(weights @ (x - centre) ** 2 / total)
    usable = scale > 1e-9
    scale = np.where(usable, scale, 1.0)
    root = np.sqrt(weights)
    z = root[:, None] * ((x - centre) / scale * usable)
    even = z.sum(axis=1)
    length = max(float(np.linalg.norm(even)), 1e-12)
    along = even / length
    target = root * (y - level)
    rise = float(along @ target)
    rest, uneven = target - rise * along, z - np.outer(along, along @ z)
    u, d, vt = np.linalg.svd(uneven, full_matrices=False)
    d = np.where(d > 1e-6 * max(length, 1.0), d, 0.0)  # what was projected out leaves a rounding
    shrunk = d**2 / (d**2 + total * _PENALTIES[:, None])  # (penalties, p)
    fits = (shrunk * (u.T @ rest)) @ u.T
    leverage = shrunk @ (u**2).T + along**2 + weights / total
    errors = (((rest - fits) / np.maximum(1 - leverage, 1e-3)) ** 2).sum(axis=1)
    penalty = total * _PENALTIES[int(np.argmin(errors))]
    differing = vt.T @ (d / (d**2 + penalty) * (u.T @ rest))
    evenly = (rise - along @ z @ differing) / length
    slopes = (differing + evenly) / scale * usable
    return np.concatenate([[level - centre @ slopes], slopes])
