from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from voxloop.metrics.bootstrap import MIN_CASES, estimate, estimate_mean

FloatArray = npt.NDArray[np.float64]


def test_the_interval_is_the_one_scipy_computes() -> None:
    values = np.random.default_rng(0).beta(9, 1, size=25)
    ours = estimate_mean(values, rng=np.random.default_rng(1))
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=9999, method="BCa", rng=np.random.default_rng(2)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.value == pytest.approx(values.mean())
    assert ours.interval == pytest.approx((theirs.low, theirs.high), abs=0.05 * width)
    assert (ours.cases, ours.note) == (25, "")


def test_the_same_generator_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).normal(size=8)
    first, second = (estimate_mean(values, rng=np.random.default_rng(5)) for _ in range(2))
    assert first == second


def test_intervals_of_twenty_cases_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        interval = estimate_mean(rng.beta(9, 1, size=20), rng=rng).interval
        assert interval is not None
        covered += interval[0] <= 0.9 <= interval[1]
    assert 0.87 <= covered / 200 <= 0.98


def test_slices_of_one_case_are_resampled_together() -> None:
    rng = np.random.default_rng(4)
    cases = np.repeat(np.arange(15), 10)
    covered = np.zeros(2)
    for _ in range(40):
        values = np.repeat(rng.normal(size=15), 10) + 0.1 * rng.normal(size=150)
        by_case = estimate_mean(values, cases.tolist(), rng=rng)
        by_slice = estimate_mean(values, rng=rng)
        assert by_case.cases == 15
        assert by_case.value == pytest.approx(by_slice.value)
        for which, found in enumerate((by_case, by_slice)):
            assert found.interval is not None
            covered[which] += found.interval[0] <= 0 <= found.interval[1]
    assert covered[0] >= 32
    assert covered[1] <= 26


def test_the_mean_over_slices_weighs_every_slice_alike() -> None:
    rng = np.random.default_rng(0)
    found = estimate_mean([1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"], rng=rng)
    assert found.value == 0.75
    assert found.cases == 2


def test_any_statistic_of_cases_can_be_estimated() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=40)
    y = 2 * x + 0.1 * rng.normal(size=40)

    def slope(x: FloatArray, y: FloatArray, axis: int) -> FloatArray:
        return np.asarray((x * y).sum(axis=axis) / (x * x).sum(axis=axis))

    found = estimate(x, y, statistic=slope, rng=rng)
    assert found.interval is not None
    assert found.interval[0] < 2 < found.interval[1]
    assert found.interval[1] - found.interval[0] < 0.1


@pytest.mark.parametrize("cases", range(1, MIN_CASES))
def test_few_cases_have_a_mean_but_no_interval(cases: int) -> None:
    found = estimate_mean(np.arange(cases), rng=np.random.default_rng(0))
    assert found.value == (cases - 1) / 2
    assert found.interval is None
    assert found.note == f"n = {cases} is too small to claim an interval"


def test_equal_values_have_no_interval_rather_than_one_of_no_width() -> None:
    found = estimate_mean(np.full(12, 0.1), rng=np.random.default_rng(0))
    assert found.value == pytest.approx(0.1)
    assert found.interval is None
    assert "do not differ" in found.note


def test_one_differing_value_suffices_for_an_interval() -> None:
    found = estimate_mean([1, 1, 1, 1, 0.5], rng=np.random.default_rng(0))
    assert found.interval is not None
    assert 0.5 <= found.interval[0] < found.value < found.interval[1] <= 1


def test_an_infinite_value_makes_the_mean_infinite_and_leaves_no_interval() -> None:
    found = estimate_mean([1.0, 2.0, 3.0, 4.0, 5.0, math.inf], rng=np.random.default_rng(0))
    assert found.value == math.inf
    assert found.interval is None


def test_no_case_has_no_mean() -> None:
    found = estimate_mean([], [], rng=np.random.default_rng(0))
    assert math.isnan(found.value)
    assert (found.interval, found.cases) == (None, 0)
