"""How far a case lies from those learned from: shrunk Gaussians, judged by leaving one out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

__all__ = ["Reference", "upper_limit"]

FloatArray = npt.NDArray[np.float64]

_FEWEST = 3
"""From two cases no spread can be told."""

_LEAST_SPREAD = 0.05
"""What is the same in all training cases may still differ by about so much (5 % for logarithms,
a twentieth of a standard deviation for intensities, half a millimetre for places, a twentieth of a
structure's size for how structures lie to one another)."""


@dataclass(frozen=True, eq=False)
class Reference:
    """One group of numbers as the training cases have them.

    Attributes:
        rows: (n, p), one row per case; NaN where a case lacks a number.
        quantile: of what training cases would reach, above which a case is new.
    """

    rows: FloatArray
    quantile: float = 0.99

    @cached_property
    def left_out(self) -> FloatArray:
        """(n,), how far each case lies from all the others."""
        n = len(self.rows)
        if n < _FEWEST + 1 or not self.rows.shape[1]:
            return np.zeros(n)
        keep = ~np.eye(n, dtype=bool)
        return np.array([_Gaussian(self.rows[k]).distance(self.rows[~k][0]) for k in keep])

    @cached_property
    def limit(self) -> float:
        """The distance that a case like the others stays below; infinite with too few cases."""
        if len(self.rows) < _FEWEST + 1 or not self.rows.shape[1]:
            return math.inf
        logs = np.log(np.maximum(self.left_out, 1e-3))
        return math.exp(upper_limit(logs, self.quantile))

    def ratio(self, row: npt.ArrayLike) -> float:
        """Distance of a case (p,) as a multiple of the limit: above 1 it is unlike the others."""
        values = np.asarray(row, dtype=float)
        if not math.isfinite(self.limit) or values.shape != self.rows.shape[1:]:
            return 0.0
        return self._whole.distance(values) / self.limit

    @cached_property
    def left_out_ratios(self) -> FloatArray:
        """`ratio` of each case of the reference to the others."""
        return np.asarray(self.left_out / self.limit)

    @cached_property
    def _whole(self) -> _Gaussian:
        return _Gaussian(self.rows)


def upper_limit(values: npt.ArrayLike, quantile: float = 0.99) -> float:
    """What the next value stays below with a chance of `quantile`, if it is like those seen.

    The normal distribution's prediction bound with mean and deviation both estimated, and never
    below the largest value seen; infinite with fewer than three values.
    """
    seen = np.asarray(values, dtype=float)
    seen = seen[np.isfinite(seen)]
    if len(seen) < _FEWEST:
        return math.inf
    from scipy import special

    n = len(seen)
    reach = float(special.stdtrit(n - 1, quantile)) * math.sqrt(1 + 1 / n)
    return max(float(seen.max()), float(seen.mean() + reach * seen.std(ddof=1)))


class _Gaussian:
    """Mean and shrunk covariance (Ledoit and Wolf, J. Multivar. Anal. 88 (2004), 365)."""

    def __init__(self, rows: FloatArray) -> None:
        known = np.isfinite(rows)
        counts = np.maximum(known.sum(axis=0), 1)
        self._centre = np.where(known, rows, 0).sum(axis=0) / counts
        away = np.where(known, rows - self._centre, 0)
        self._scale = np.maximum(np.sqrt((away**2).sum(axis=0) / counts), _LEAST_SPREAD)
        z = away / self._scale
        n, p = z.shape
        plain = z.T @ z / n
        mean = float(np.trace(plain)) / p
        spread = float(((plain - mean * np.eye(p)) ** 2).sum())
        noise = float(((z**2).sum(axis=1) ** 2).sum() - n * (plain**2).sum()) / n**2
        share = 1.0 if spread <= 0 else min(1.0, max(noise, 0.0) / spread)
        shrunk = (1 - share) * plain + share * mean * np.eye(p)
        # directions that never varied are certain to a rounding only
        self._inverse = np.linalg.inv(shrunk + 0.01 * np.eye(p))

    def distance(self, row: FloatArray) -> float:
        """Mahalanobis distance per dimension."""
        z = np.where(np.isfinite(row), row - self._centre, 0) / self._scale
        return math.sqrt(max(float(z @ self._inverse @ z), 0.0) / len(z))
