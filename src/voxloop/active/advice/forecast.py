"""What further labels are going to bring: the learning curve carried on, with an interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.errors import UsageError

__all__ = ["LEVEL", "MIN_ROUNDS", "Forecast", "LearningCurve", "Measured", "measured_rounds"]

FloatArray = npt.NDArray[np.float64]

LEVEL = 0.9
"""Nominal coverage of a forecast's intervals."""

MIN_ROUNDS = 3
"""Fewer rounds do not tell a curve that bends from one that goes on."""

# What is believed before any round, chosen on campaigns whose cases are kept for choosing and on
# made-up curves of many shapes; `benchmarks/active/forecast_coverage.py` measures what comes of it.
_PLATEAU = (0.88, 0.1)  # mean and deviation of the score that endless labels would reach
_DISTANCE = 0.12  # deviation of what is missing to the plateau now
_POWERS = np.geomspace(0.1, 6.0, 13)  # from hardly bending to flat after the next round
_PROGRESS = np.array([0.3, 1.0, 4.0, 1e6])  # past the steepest part: from not yet to long ago
_SCATTERS = np.geomspace(0.001, 0.064, 7)  # of one round's score about its curve
_BENDS = np.array([0.002, 0.005, 0.012, 0.03, 0.06])  # what real curves leave the formula by
_LIKELY_POWER, _LIKELY_SCATTER, _LIKELY_BEND = (1.3, 1.5), (0.005, 2.0), (0.01, 2.0)
"""Median and factor of a deviation, of a log-normal each."""
_YOUNGER = 2.5
"""Logarithm of how much less likely each earlier stage of progress is."""

_DRAWS = 48  # per combination of the four above


@dataclass(frozen=True, slots=True)
class Measured:
    """The score of one round's model.

    Attributes:
        budget: spent on labels up to then, above zero, in any one unit (slices, seconds).
        score: 0 to 1, such as the mean Dice over cases.
        error: standard error of the score, 0 or more, of that part of its uncertainty that
            differs from round to round; what all rounds share, such as hard cases, is no part.

    Raises:
        UsageError: if a number is not so.
    """

    budget: float
    score: float
    error: float = 0.0

    def __post_init__(self) -> None:
        sound = (
            math.isfinite(self.budget) and self.budget > 0,
            0 <= self.score <= 1,
            math.isfinite(self.error) and self.error >= 0,
        )
        if not all(sound):
            raise UsageError(
                "a round has a budget above 0, a score from 0 to 1 and an error of 0 or more; "
                f"found {self.budget}, {self.score}, {self.error}"
            )


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the model is expected to reach with a larger budget; intervals at `LEVEL`.

    Attributes:
        budget: spent by then, in the unit of the rounds.
        value: expected score.
        low: lower bound of the score that one round would then be given, its scatter included.
        high: upper bound, at most 1.
        gain: expected change against now, of the curve itself without a round's scatter.
        gain_low: lower bound; below zero where more labels may as well do harm.
        gain_high: upper bound.
    """

    budget: float
    value: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float

    def in_words(self) -> str:
        """The gain with its interval, such as `+0.012 [0.004, 0.019]`."""
        return f"{self.gain:+.3f} [{self.gain_low:.3f}, {self.gain_high:.3f}]"


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """A saturating curve through the scores of a few rounds, with all that is not known of it.

    The score at budget g times that of now is a - b (1 + w) / (1 + w g^c), with a at most 1, b at
    least 0, c and w above 0: what is missing to the plateau a falls as a power law once w is
    large, and along an S before that, as young models learn. To this come a departure that grows
    with the distance on the logarithmic axis (Brownian, since real curves keep to no formula) and
    each round's scatter. The posterior is summed over a grid of c, w, and the sizes of departure
    and scatter, and is exact for a and b, which are drawn by a fixed sequence: there is no chance
    in it, the same rounds give the same answer.

    Attributes:
        now: the budget of the last round.
        rounds: how many it rests on.
    """

    now: float
    rounds: int
    _weights: FloatArray  # (N,), summing to 1, of each draw of ...
    _missing: FloatArray  # (N,) b
    _level: FloatArray  # (N,) the curve at `now`
    _powers: FloatArray  # (N,) c
    _progress: FloatArray  # (N,) w
    _bends: FloatArray  # (N,) departure per square root of log budget, times a normal draw
    _scatters: FloatArray  # (N,) scatter, times a normal draw

    @classmethod
    def through(cls, rounds: Iterable[Measured]) -> LearningCurve | None:
        """The curve of the rounds measured so far; None with fewer than `MIN_ROUNDS`.

        Args:
            rounds: in any order.

        Raises:
            UsageError: if two rounds have the same budget.
        """
        known = sorted(rounds, key=lambda r: r.budget)
        budgets = np.array([r.budget for r in known])
        if np.unique(budgets).size < budgets.size:
            raise UsageError(f"every round needs a budget of its own, found {budgets.tolist()}")
        if len(known) < MIN_ROUNDS:
            return None
        scores = np.array([r.score for r in known])
        errors = np.array([r.error for r in known])
        cells = _cells()
        plateau, distance = _given(cells, np.log(budgets / budgets[-1]), scores, errors)
        normal = _normal_draws(len(cells) * _DRAWS, 4).reshape(len(cells), _DRAWS, 4)
        b, mass_b = _truncated(*distance.marginal, normal[..., 0], above=0.0)
        a, mass_a = _truncated(*plateau(b), normal[..., 1], below=1.0)
        with np.errstate(divide="ignore"):
            logs = distance.log_evidence + np.log(mass_b) + np.log(mass_a)
        weights = np.exp(logs - logs.max()).ravel()
        power, progress, scatter, bend = (
            np.broadcast_to(c[:, None], b.shape).ravel() for c in cells.T
        )
        return cls(
            now=float(budgets[-1]),
            rounds=len(known),
            _weights=weights / weights.sum(),
            _missing=b.ravel(),
            _level=(a - b).ravel(),
            _powers=power,
            _progress=progress,
            _bends=bend * normal[..., 2].ravel(),
            _scatters=scatter * normal[..., 3].ravel(),
        )

    def at(self, budget: float) -> Forecast:
        """The score to expect once `budget` is spent.

        Its expectation never falls with the budget, and neither does that of the gain.

        Raises:
            UsageError: if the budget is below that of the last round.
        """
        mean_gain, gain = self._gain(budget)
        value = float(self._weights @ (self._level + mean_gain))
        low, high = self._interval(np.clip(self._level + gain + self._scatters, 0, 1))
        rise = float(self._weights @ mean_gain)
        rise_low, rise_high = self._interval(np.minimum(gain, 1 - self._level))
        return Forecast(
            budget=budget,
            value=value,
            low=min(low, value),
            high=max(high, value),
            gain=rise,
            gain_low=min(rise_low, rise),
            gain_high=max(rise_high, rise),
        )

    def chance_below(self, budget: float, threshold: float) -> float:
        """How probable it is that the gain up to `budget` stays below `threshold`, 0 to 1."""
        return float(self._weights[self._gain(budget)[1] < threshold].sum())

    def _gain(self, budget: float) -> tuple[FloatArray, FloatArray]:
        """Per draw, the formula's gain and that with its departure."""
        if not (math.isfinite(budget) and budget >= self.now):
            raise UsageError(f"a forecast is for {self.now:g} or more, found {budget}")
        log_growth = math.log(budget / self.now)
        formula = self._missing * (1 - _still_missing(self._powers, self._progress, log_growth))
        return formula, formula + self._bends * math.sqrt(log_growth)

    def _interval(self, values: FloatArray) -> tuple[float, float]:
        order = np.argsort(values, kind="stable")
        below = np.cumsum(self._weights[order])
        tail = (1 - LEVEL) / 2
        low, high = values[order][np.searchsorted(below, [tail, 1 - tail]).clip(0, len(order) - 1)]
        return float(low), float(high)


def measured_rounds(
    budgets: Sequence[float], scores: Sequence[Mapping[str, float]]
) -> tuple[Measured, ...]:
    """Rounds with the standard error of their mean score, from the scores of single cases.

    What is peculiar to a case in every round is taken out first: that a case is hard does not
    make a round's place on the curve uncertain.

    Args:
        budgets: of each round.
        scores: of each round, by case, 0 to 1, none of them empty; cases may come and go.
    """
    if not scores:
        return ()
    cases = sorted(set().union(*scores))
    table = np.array([[one.get(case, np.nan) for case in cases] for one in scores])
    means = np.nanmean(table, axis=1)
    counts = np.isfinite(table).sum(axis=1)
    above = table - means[:, None]
    rest = above - np.nanmean(above, axis=0)
    freedom = int(counts.sum()) - len(scores) - len(cases) + 1
    spread = math.sqrt(float(np.nansum(rest**2)) / freedom) if freedom > 0 else 0.0
    return tuple(
        Measured(budget, float(mean), spread / math.sqrt(count))
        for budget, mean, count in zip(budgets, means, counts, strict=True)
    )


@dataclass(frozen=True, eq=False)
class _Distance:
    """What is known of b in each cell.

    Attributes:
        marginal: mean and deviation, (M, 1) each, not yet cut off at zero.
        log_evidence: of the cell, (M, 1).
    """

    marginal: tuple[FloatArray, FloatArray]
    log_evidence: FloatArray


@dataclass(frozen=True, eq=False)
class _Plateau:
    """What is known of a in each cell, given b."""

    mean: FloatArray
    slope: FloatArray
    deviation: FloatArray
    b_mean: FloatArray

    def __call__(self, b: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self.mean + self.slope * (b - self.b_mean), self.deviation


def _cells() -> FloatArray:
    """All combinations of power, progress, scatter and departure, (M, 4)."""
    grid = np.meshgrid(_POWERS, _PROGRESS, _SCATTERS, _BENDS, indexing="ij")
    return np.stack(grid, axis=-1).reshape(-1, 4)


def _still_missing(
    power: FloatArray, progress: FloatArray, log_growth: FloatArray | float
) -> FloatArray:
    """What is missing to the plateau, as a multiple of what is missing now."""
    return np.asarray((1 + progress) / (1 + progress * np.exp(power * log_growth)))


def _given(
    cells: FloatArray, logs: FloatArray, scores: FloatArray, errors: FloatArray
) -> tuple[_Plateau, _Distance]:
    """Solve the linear part, a and b, in each cell (a Gaussian prior and Gaussian scatter).

    Args:
        cells: power, progress, scatter, departure, (M, 4).
        logs: logarithm of the budgets over the last one, (n,), ascending to 0.
        scores: (n,).
        errors: standard errors, (n,).
    """
    powers, progress, scatters, bends = cells.T
    shared = np.minimum(-logs[:, None], -logs[None, :])
    noise = (
        bends[:, None, None] ** 2 * shared
        + np.eye(len(logs)) * (scatters[:, None, None] ** 2 + errors**2)
    )  # fmt: skip
    missing = _still_missing(powers[:, None], progress[:, None], logs)
    design = np.stack([np.ones_like(missing), -missing], axis=-1)
    prior = np.diag([_PLATEAU[1] ** 2, _DISTANCE**2])
    start = np.array([_PLATEAU[0], 0.0])
    told = np.linalg.solve(noise, design)
    cover = np.linalg.inv(np.linalg.inv(prior) + design.transpose(0, 2, 1) @ told)
    offset = scores - design @ start
    mean = start + np.einsum("mij,mnj,mn->mi", cover, told, offset)
    total = noise + design @ prior @ design.transpose(0, 2, 1)
    fit = np.einsum("mn,mn->m", offset, np.linalg.solve(total, offset[..., None])[..., 0])
    evidence = -0.5 * (fit + np.linalg.slogdet(total)[1])
    evidence += _believed(cells)
    slope = cover[:, 0, 1] / cover[:, 1, 1]
    rest = np.sqrt(np.maximum(cover[:, 0, 0] - slope * cover[:, 0, 1], 1e-12))
    b_mean = mean[:, 1, None]
    plateau = _Plateau(mean[:, 0, None], slope[:, None], rest[:, None], b_mean)
    return plateau, _Distance((b_mean, np.sqrt(cover[:, 1, 1, None])), evidence[:, None])


def _believed(cells: FloatArray) -> FloatArray:
    """Logarithm of how likely each cell is before any round, (M,), up to a constant."""
    powers, progress, scatters, bends = cells.T
    younger = len(_PROGRESS) - 1 - np.searchsorted(_PROGRESS, progress)
    sizes = (powers, _LIKELY_POWER), (scatters, _LIKELY_SCATTER), (bends, _LIKELY_BEND)
    far = sum((np.log(size / median) / np.log(factor)) ** 2 for size, (median, factor) in sizes)
    return np.asarray(-0.5 * far - _YOUNGER * younger)


def _truncated(
    mean: FloatArray,
    deviation: FloatArray,
    normal: FloatArray,
    *,
    above: float = -np.inf,
    below: float = np.inf,
) -> tuple[FloatArray, FloatArray]:
    """Normal draws turned into draws of a normal cut off, and how much of it is left."""
    from scipy.special import ndtr, ndtri

    low, high = ndtr((above - mean) / deviation), ndtr((below - mean) / deviation)
    inside = np.clip(low + (high - low) * ndtr(normal), 1e-15, 1 - 1e-15)
    drawn = np.clip(mean + deviation * ndtri(inside), above, below)
    return np.asarray(drawn), np.broadcast_to(high - low, drawn.shape)


def _normal_draws(count: int, dimensions: int) -> FloatArray:
    """Evenly spread standard normal numbers (count, dimensions), the same ones every time.

    Source: the additive recurrence on the generalised golden ratio (M. Roberts 2018).
    """
    from scipy.special import ndtri

    ratio = 2.0
    for _ in range(40):
        ratio = (1 + ratio) ** (1 / (dimensions + 1))
    steps = ratio ** -np.arange(1.0, dimensions + 1)
    return np.asarray(ndtri((0.5 + np.arange(1, count + 1)[:, None] * steps) % 1))
