"""Seconds per unit of a person's effort: what is assumed, and what logged times teach."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, fields

import numpy as np
import numpy.typing as npt

__all__ = ["ASSUMED_PRICES", "LearnedPrices", "Prices", "learn_prices"]

FloatArray = npt.NDArray[np.float64]

_LEAST = 0.02
"""No price falls below this share of the assumed one: nothing is free because few logs say so."""

_PACE_SPREAD = 1.0
"""People's pace as a whole about the assumed one, as a standard deviation of its logarithm."""

_SLOWEST = -20.0
"""Far below any logarithm of a pace; the solver wants a lower bound for everything."""

_SHAPE_SPREAD = 0.7
"""How far one price may be off the others, as a standard deviation relative to it."""

_ASSUMED_ERROR = 0.35
_ASSUMED_LOGS = 5
"""The relative error of a single time, and how many logs this assumption weighs as."""

_LARGEST_ERROR = 0.7
"""Times of like work that differ by more than this, twofold, were not all spent on the work."""

_TAIL = 4.0
"""Degrees of freedom of the errors' t distribution: a lunch break is an error of 5 and counts
as little."""

_HALF_LIFE = 15
"""So many logs later a log counts half: people get faster."""

_ROUNDS = 100
_SETTLED = 1e-6


@dataclass(frozen=True)
class Prices:
    """Seconds per unit of effort, none negative.

    Attributes:
        per_query: finding the place; once for each region.
        per_slice: turning to a slice and judging it.
        per_mm2: looking over an area.
        per_contour_mm: drawing an outline.
        per_label: taking up a label in a slice.
        per_correction_mm: drawing an outline anew that is wrong in a proposal.

    Raises:
        ValueError: if one is negative or not finite, or all are zero.
    """

    per_query: float
    per_slice: float
    per_mm2: float
    per_contour_mm: float
    per_label: float
    per_correction_mm: float

    def __post_init__(self) -> None:
        for field, value in zip(fields(self), astuple(self), strict=True):
            if not (math.isfinite(value) and value >= 0):
                message = f"prices: {field.name} is finite and not negative, found {value}"
                raise ValueError(message)
        if not any(astuple(self)):
            message = "prices: at least one is above zero"
            raise ValueError(message)

    @property
    def row(self) -> FloatArray:
        """The prices in the order of the fields, (6,)."""
        return np.array(astuple(self), dtype=np.float64)


ASSUMED_PRICES = Prices(
    per_query=3.0,
    per_slice=3.0,
    per_mm2=0.0001,
    per_contour_mm=0.06,
    per_label=3.0,
    per_correction_mm=0.09,
)
"""Assumptions, not measurements: a hand that draws 17 mm in a second, eyes that search 100 cm2
in one, three seconds for whatever needs a click and a thought, and correcting half as slow again
as drawing. Their order of magnitude is that of published times for whole organs; a person's own
pace replaces them with the first logged times."""


@dataclass(frozen=True)
class LearnedPrices:
    """Prices that explain logged times.

    Attributes:
        prices: such that their sum over a region's effort is the mean time, not the median.
        relative_error: standard deviation of the logarithm of a single time about it, breaks
            not counted; about the relative error.
    """

    prices: Prices
    relative_error: float


def learn_prices(
    counts: FloatArray, seconds: FloatArray, assumed: Prices = ASSUMED_PRICES
) -> LearnedPrices:
    """Fit prices to logged times.

    Times are compared by their ratio, since a person is off by a share and not by seconds. The
    errors are taken to be heavy-tailed (Student's t), so that a clock that ran over lunch is
    all but left out; later times count more, since people get faster. The pace as a whole
    follows from the first log on; one price moves against the others only as far as many logs
    ask for it, and what no log tells apart keeps the proportions that were assumed.

    Args:
        counts: (n, 6), how often each price was due, in the order of the fields of `Prices`;
            at least one above zero in each row; oldest first.
        seconds: (n,), above zero.
        assumed: what is believed before any log, all above zero.
    """
    worth = counts * assumed.row
    if not (len(seconds) and worth.sum(axis=1).min() > 0 and seconds.min() > 0):
        message = "logged times need an effort and seconds above zero"
        raise ValueError(message)
    logs, ages = np.log(seconds), np.arange(len(seconds))[::-1]
    weights = 0.5 ** (ages / _HALF_LIFE)
    # the assumption votes as one more log, so that a single lunch does not set the start
    pace = np.median(np.append(logs - np.log(worth.sum(axis=1)), 0.0))
    found, error = np.append(pace, np.ones(worth.shape[1])), _ASSUMED_ERROR
    for _ in range(_ROUNDS):
        before = found
        residuals = logs - found[0] - np.log(worth @ found[1:])
        error = _typical(residuals, weights)
        # half of the way: the weights and the error move with it
        found = (before + _step(worth, before, residuals, error, weights)) / 2
        if np.abs(found - before).max() < _SETTLED:
            break
    mean = np.exp(found[0] + error**2 / 2)  # of errors that are log-normal
    return LearnedPrices(Prices(*(mean * found[1:] * assumed.row).tolist()), error)


def _step(
    worth: FloatArray,
    before: FloatArray,
    residuals: FloatArray,
    error: float,
    weights: FloatArray,
) -> FloatArray:
    """Logarithm of the pace and the factors on the prices, (7,), one Gauss-Newton step further."""
    from scipy.optimize import nnls

    shares = worth / (worth @ before[1:])[:, None]
    model = np.insert(shares, 0, 1.0, axis=1)
    weight = np.sqrt(weights * (_TAIL + 1) / (_TAIL + (residuals / error) ** 2))
    # no more than a factor e at once: the logarithm is no straight line
    aim = np.clip(residuals, -1, 1) + model @ before
    keep = np.diag(error / np.append(_PACE_SPREAD, np.full(len(before) - 1, _SHAPE_SPREAD)))
    believed = np.append(0.0, np.ones(len(before) - 1))
    least = np.append(_SLOWEST, np.full(len(before) - 1, _LEAST))
    rows = np.concatenate([weight[:, None] * model, keep])
    aims = np.concatenate([weight * aim, keep @ believed])
    above, _ = nnls(rows, aims - rows @ least)
    return np.asarray(least + above)


def _typical(residuals: FloatArray, weights: FloatArray) -> float:
    """Their spread, breaks not counted; a single one says nothing of it."""
    spread = 1.4826 * float(np.median(np.abs(residuals)))
    free = max(0.0, float(weights.sum()) - 1)
    total = free * spread**2 + _ASSUMED_LOGS * _ASSUMED_ERROR**2
    return min(_LARGEST_ERROR, math.sqrt(total / (free + _ASSUMED_LOGS)))
