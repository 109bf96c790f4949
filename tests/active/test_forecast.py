"""The learning curve carried on: honest with few rounds, never above 1, never falling."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxloop.active.advice import forecast as module
from voxloop.active.advice.forecast import MIN_ROUNDS, LearningCurve, Measured, measured_rounds
from voxloop.errors import UsageError

BUDGETS = (16.0, 32.0, 48.0, 64.0, 96.0, 128.0)
SHAPES: dict[str, Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]] = {
    "power law": lambda x: 0.9 - 0.4 * x**-0.8,
    "exponential": lambda x: 0.85 - 0.5 * np.exp(-0.5 * x),
    "flat": lambda x: np.full(x.shape, 0.7),
}


def _curve(scores: list[float], budgets: tuple[float, ...] = BUDGETS) -> LearningCurve:
    rounds = [Measured(b, s) for b, s in zip(budgets, scores, strict=False)]
    curve = LearningCurve.through(rounds)
    assert curve is not None
    return curve


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=MIN_ROUNDS, max_size=6))
def test_whatever_the_scores_the_forecast_rises_and_stays_possible(scores: list[float]) -> None:
    curve = _curve(scores)
    found = [curve.at(curve.now * growth) for growth in (1.0, 1.3, 2.0, 10.0, 1000.0)]
    for one in found:
        assert 0 <= one.low <= one.value <= one.high <= 1
        assert one.gain_low <= one.gain <= one.gain_high
        assert one.gain >= 0
    assert all(a.value <= b.value for a, b in itertools.pairwise(found))
    chances = [curve.chance_below(curve.now * 2, g) for g in (-1.0, 0.0, 0.01, 1.1)]
    assert chances == sorted(chances)
    assert chances[0] == pytest.approx(0, abs=1e-6)
    assert chances[-1] == pytest.approx(1)


def test_the_posterior_is_that_of_drawing_from_the_prior_and_weighting() -> None:
    budgets, scores = np.array([10.0, 20.0, 40.0]), np.array([0.70, 0.78, 0.80])
    error = 0.03  # large, so that enough draws from the prior come near the scores
    curve = LearningCurve.through(
        [Measured(b, s, error) for b, s in zip(budgets, scores, strict=True)]
    )
    assert curve is not None
    rng = np.random.default_rng(1)
    n = 400_000

    def drawn(grid: npt.NDArray[np.float64], median: float, factor: float) -> Any:
        chance = np.exp(-0.5 * (np.log(grid / median) / np.log(factor)) ** 2)
        return rng.choice(grid, n, p=chance / chance.sum())

    power, scatter = drawn(module._POWERS, 1.3, 1.5), drawn(module._SCATTERS, 0.005, 2.0)
    bend = drawn(module._BENDS, 0.01, 2.0)
    chance = np.exp(-2.5 * np.array([3, 2, 1, 0]))
    progress = rng.choice(module._PROGRESS, n, p=chance / chance.sum())
    a, b = rng.normal(0.88, 0.1, n), np.abs(rng.normal(0, 0.12, n))
    # the departure, as a walk backwards from the last round
    steps = np.sqrt(np.log(2)) * bend * rng.standard_normal((2, n))
    walk = np.array([steps[0] + steps[1], steps[1], np.zeros(n)])

    def missing(growth: float) -> npt.NDArray[np.float64]:
        return np.asarray((1 + progress) / (1 + progress * growth**power))

    logs = np.where(a <= 1, 0.0, -np.inf)
    for budget, score, away in zip(budgets, scores, walk, strict=True):
        variance = scatter**2 + error**2
        rest = score - (a - b * missing(budget / 40) + away)
        logs -= 0.5 * (rest**2 / variance + np.log(variance))
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    assert 1 / np.sum(weights**2) > 3000, "too few draws count"

    found = curve.at(80.0)
    assert found.value == pytest.approx(float(weights @ (a - b * missing(2.0))), abs=0.003)
    gain = b * (1 - missing(2.0)) + np.sqrt(np.log(2)) * bend * rng.standard_normal(n)
    order = np.argsort(gain)
    low, high = gain[order][np.searchsorted(np.cumsum(weights[order]), [0.05, 0.95])]
    assert found.gain_low == pytest.approx(low, abs=0.004)
    assert found.gain_high == pytest.approx(high, abs=0.006)


@pytest.mark.parametrize("shape", SHAPES)
def test_most_intervals_cover_what_comes(shape: str) -> None:
    rng = np.random.default_rng(3)
    budgets = np.array([8.0, 16.0, 24.0, 32.0, 40.0, 80.0])
    covered = []
    for _ in range(20):
        scores = SHAPES[shape](budgets / budgets[0]) + 0.006 * rng.standard_normal(budgets.size)
        found = _curve(scores[:-1].tolist(), tuple(budgets[:-1])).at(budgets[-1])
        covered.append(found.low <= scores[-1] <= found.high)
    assert np.mean(covered) >= 0.8


def test_more_rounds_and_less_scatter_narrow_the_interval() -> None:
    truth = SHAPES["power law"](np.array(BUDGETS) / 16)
    few, many = _curve(truth[:3].tolist()), _curve(truth.tolist())
    rough = _curve((truth + 0.02 * np.array([1, -1, 1, -1, 1, -1])).tolist())
    widths = [c.at(2 * c.now).high - c.at(2 * c.now).low for c in (many, few, rough)]
    assert widths[0] < widths[1]
    assert widths[0] < widths[2]
    assert many.at(256).value == pytest.approx(0.9 - 0.4 * 16**-0.8, abs=0.02)


def test_a_flat_curve_promises_little_and_a_steep_one_much() -> None:
    flat, steep = _curve([0.8] * 6), _curve([0.3, 0.42, 0.5, 0.57, 0.66, 0.73])
    assert flat.at(192).gain < 0.005
    assert steep.at(192).gain > 0.03
    assert flat.chance_below(160, 0.01) > 0.8
    assert steep.chance_below(160, 0.01) < 0.2


def test_a_falling_curve_is_expected_to_hold_but_may_go_on_falling() -> None:
    found = _curve([0.9, 0.85, 0.8, 0.75]).at(96)
    assert found.gain >= 0
    assert found.gain_low < 0


def test_the_unit_of_the_budget_does_not_matter_nor_the_order_of_the_rounds() -> None:
    scores = [0.6, 0.7, 0.75]
    seconds = LearningCurve.through(
        [Measured(30 * b, s) for b, s in reversed(list(zip(BUDGETS, scores, strict=False)))]
    )
    assert seconds is not None
    in_seconds, in_slices = seconds.at(30 * 96), _curve(scores).at(96)
    assert in_seconds.value == pytest.approx(in_slices.value)
    assert in_seconds.in_words() == in_slices.in_words()


def test_too_few_rounds_give_no_curve_and_bad_ones_are_refused() -> None:
    assert LearningCurve.through([Measured(1, 0.5), Measured(2, 0.6)]) is None
    with pytest.raises(UsageError, match="a budget of its own"):
        LearningCurve.through([Measured(1, 0.5), Measured(1, 0.6)])
    with pytest.raises(UsageError, match="a score from 0 to 1"):
        Measured(1, 1.5)
    with pytest.raises(UsageError, match="a forecast is for 48 or more"):
        _curve([0.5, 0.6, 0.7]).at(40)


def test_a_rounds_error_leaves_out_that_some_cases_are_hard() -> None:
    rng = np.random.default_rng(5)
    rest = rng.normal(0, 0.02, (4, 30))
    cases = [f"case_{i}" for i in range(30)]

    def errors(hardness: npt.NDArray[np.float64]) -> list[float]:
        tables = [dict(zip(cases, row, strict=True)) for row in 0.6 + rest + hardness]
        return [m.error for m in measured_rounds([1, 2, 3, 4], tables)]

    alike, unlike = errors(np.zeros(30)), errors(np.linspace(-0.3, 0.3, 30))
    assert alike == pytest.approx(unlike)
    assert alike[0] == pytest.approx(0.02 / np.sqrt(30), rel=0.15)


def test_rounds_of_other_cases_still_have_a_mean_each() -> None:
    found = measured_rounds([1, 2], [{"a": 0.5}, {"a": 0.6, "b": 0.8}])
    assert [m.score for m in found] == pytest.approx([0.5, 0.7])
    assert measured_rounds([], []) == ()
