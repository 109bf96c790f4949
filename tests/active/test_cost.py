"""One currency for all regions: what is assumed, what logged times teach, and gain per cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxloop.active.cost.effort import Effort
from voxloop.active.cost.model import CostModel, LoggedTime, per_cost
from voxloop.active.cost.prices import ASSUMED_PRICES, Prices
from voxloop.errors import DataError
from voxloop.volume.boxes import Box

SLICE = Box((0, 0, 3), (10, 10, 4))
SLOW = Prices(10.0, 4.0, 0.0003, 0.35, 2.0, 0.2)
"""Somebody who draws six times slower than assumed, but takes up labels faster."""


def made_up_efforts(count: int, seed: int) -> npt.NDArray[np.float64]:
    """Slices, as unlike as those through a structure and beside it are."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count)
    contour_mm = labels * rng.gamma(3.0, 40.0, count)
    area_mm2 = np.full(count, 4e4)
    correction_mm = contour_mm * rng.uniform(0, 0.6, count)
    return np.stack([np.ones(count), area_mm2, contour_mm, labels, correction_mm], axis=1)


def made_up_times(
    count: int, seed: int, prices: Prices = SLOW, *, noise: float = 0.3, lunches: float = 0.05
) -> list[LoggedTime]:
    efforts, rng = made_up_efforts(count, seed), np.random.default_rng([seed, 1])
    seconds = CostModel("seconds", prices=prices).seconds(efforts)
    seconds = seconds * rng.lognormal(0, noise, count)
    seconds += (rng.random(count) < lunches) * 2400
    return [
        LoggedTime(1000, float(time), Effort.of_row(row))
        for row, time in zip(efforts, seconds, strict=True)
    ]


def test_without_logged_times_each_region_costs_one() -> None:
    model = CostModel.from_times([])
    assert (model.unit, model.calibrated) == ("regions", 0)
    assert model.cost(SLICE, Effort(contour_mm=1e6)) == 1
    assert model.cost(SLICE) == model.cost(Box((0, 0, 0), (9, 9, 9))) == 1
    assert model.by_size(np.array([3, 700])).tolist() == [1, 1]


def test_where_only_voxels_are_known_they_cost_the_median_rate() -> None:
    times = [LoggedTime(100, 30), LoggedTime(200, 64), LoggedTime(100, 3600)]
    model = CostModel.from_times(times)
    assert (model.unit, model.calibrated) == ("seconds", 0)
    assert model.cost(SLICE, Effort(contour_mm=1e6)) == pytest.approx(32)


def test_a_drawn_region_costs_the_sum_of_what_is_to_be_done() -> None:
    model = CostModel("seconds", 1.0, SLOW, calibrated=1)
    effort = Effort(slices=2, area_mm2=1e4, contour_mm=100, labels=3, correction_mm=40)
    assert model.cost(SLICE, effort) == pytest.approx(10 + 8 + 3 + 35 + 6)
    assert model.cost(SLICE, effort, corrected=True) == pytest.approx(10 + 8 + 3 + 8 + 6)
    assert model.cost(SLICE) == 100


@given(
    more=st.tuples(*[st.floats(0, 100)] * 5),
    seed=st.integers(0, 1000),
    count=st.integers(1, 12),
)
def test_more_to_do_never_costs_less(more: tuple[float, ...], seed: int, count: int) -> None:
    model = CostModel.from_times(made_up_times(count, seed))
    assert min(model.prices.row) > 0
    effort = Effort(1, 4e4, 80, 1, 20)
    for corrected in (False, True):
        less = model.cost(SLICE, effort, corrected=corrected)
        assert model.cost(SLICE, effort + Effort(*more), corrected=corrected) >= less


def test_one_log_sets_the_pace_and_keeps_the_proportions() -> None:
    effort = Effort(1, 4e4, 200, 2, 0)
    assumed = CostModel("seconds", calibrated=1).cost(SLICE, effort)
    model = CostModel.from_times([LoggedTime(100, 3 * assumed, effort)])
    assert model.calibrated == 1
    assert 2 * assumed < model.cost(SLICE, effort) < 3.5 * assumed
    factors = model.prices.row / ASSUMED_PRICES.row
    assert factors.max() / factors.min() < 1.3


def test_many_logs_teach_what_is_dear_to_this_person() -> None:
    efforts = made_up_efforts(200, 99)
    truth = CostModel("seconds", prices=SLOW).seconds(efforts)

    def error(count: int) -> float:
        found = [CostModel.from_times(made_up_times(count, s)).seconds(efforts) for s in range(8)]
        return float(np.median([np.abs(np.log(f / truth)).mean() for f in found]))

    errors = [error(count) for count in (1, 5, 40)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.15
    prices = CostModel.from_times(made_up_times(300, 5)).prices
    assert prices.per_contour_mm == pytest.approx(SLOW.per_contour_mm, rel=0.25)


def test_lunch_is_not_paid_for() -> None:
    honest = made_up_times(20, 3, lunches=0)
    lunched = [replace(t, seconds=t.seconds + 3600 * (i in {4, 9})) for i, t in enumerate(honest)]
    efforts = made_up_efforts(50, 98)
    without, with_lunch = (CostModel.from_times(t).seconds(efforts) for t in (honest, lunched))
    assert with_lunch == pytest.approx(without, rel=0.15)
    effort = Effort(1, 4e4, 200, 2, 0)
    one = CostModel.from_times([LoggedTime(100, 3600, effort)]).cost(SLICE, effort)
    assert one < 3600 / 10  # even if it is all there is to go by


def test_the_relative_error_is_that_of_the_person() -> None:
    for noise in (0.2, 0.5):
        model = CostModel.from_times(made_up_times(200, 7, noise=noise))
        assert model.relative_error == pytest.approx(noise, rel=0.35)


def test_expected_seconds_are_the_mean_and_add_up() -> None:
    times = made_up_times(400, 11, noise=0.5, lunches=0)
    efforts = np.stack([t.effort.row for t in times if t.effort])
    spent = sum(t.seconds for t in times)
    assert CostModel.from_times(times).seconds(efforts).sum() == pytest.approx(spent, rel=0.06)


def test_somebody_who_got_faster_is_expected_at_the_present_pace() -> None:
    times = made_up_times(60, 2, lunches=0)
    slow_start = [replace(t, seconds=2 * t.seconds) for t in times[:20]] + times[20:]
    efforts = made_up_efforts(10, 97)
    steady, sped_up = (CostModel.from_times(t).seconds(efforts) for t in (times, slow_start))
    assert sped_up == pytest.approx(steady, rel=0.15)


def test_the_currency_of_logs_does_not_matter() -> None:
    times, efforts = made_up_times(15, 2), made_up_efforts(10, 97)
    minutes = [replace(t, seconds=60 * t.seconds) for t in times]
    assumed = Prices(*(60 * ASSUMED_PRICES.row))
    first = CostModel.from_times(times).seconds(efforts)
    assert CostModel.from_times(minutes, assumed).seconds(efforts) == pytest.approx(60 * first)


def test_what_was_answered_in_part_or_skipped_teaches_the_same_prices() -> None:
    exact = CostModel("seconds", prices=SLOW)
    whole = [Effort.of_row(row) for row in made_up_efforts(60, 4)]
    done = [e if i % 3 else Effort.of_row(0.4 * e.row) for i, e in enumerate(whole)]
    done = [e if i % 5 else e.reading for i, e in enumerate(done)]
    times = [LoggedTime(9, float(exact.seconds(e.row[None])[0]), e) for e in done]
    efforts = made_up_efforts(30, 96)
    found = CostModel.from_times(times).seconds(efforts)
    assert found == pytest.approx(exact.seconds(efforts), rel=0.12)


def test_a_delivery_of_many_slices_teaches_what_its_slices_would() -> None:
    exact = CostModel("seconds", prices=SLOW)
    rows = made_up_efforts(80, 6)
    seconds = exact.seconds(rows)
    times = [
        LoggedTime(9, float(s.sum()), Effort.of_row(r.sum(axis=0)), regions=len(r))
        for r, s in zip(np.split(rows, 20), np.split(seconds, 20), strict=True)
    ]
    found = CostModel.from_times(times).seconds(rows)
    assert np.median(np.abs(found / seconds - 1)) < 0.1


def test_a_tangled_slice_of_slightly_more_gain_loses_to_a_plain_one() -> None:
    model = CostModel("seconds", 1.0, ASSUMED_PRICES, calibrated=1)
    tangled, plain, empty = Effort(1, 4e4, 900, 6), Effort(1, 4e4, 150, 1), Effort(1, 4e4)
    gains = np.array([1.1, 1.0, 0.05])
    costs = model.seconds(np.stack([e.row for e in (tangled, plain, empty)]))
    assert np.argsort(-gains).tolist() == [0, 1, 2]
    assert np.argsort(-per_cost(gains, costs)).tolist() == [1, 0, 2]  # cheap is not enough
    # two slices for the price of one: the gain of a fixed time is what grows
    assert per_cost(gains, costs)[1] * costs[0] > gains[0]


@given(scores=st.lists(st.floats(0, 1e6), min_size=1, max_size=20), cost=st.floats(0.1, 1e4))
def test_equal_costs_leave_the_ranking(scores: list[float], cost: float) -> None:
    gains = np.round(np.array(scores), 3)
    ranked = np.argsort(-per_cost(gains, np.full(len(gains), cost)), kind="stable")
    assert ranked.tolist() == np.argsort(-gains, kind="stable").tolist()


def test_numbers_that_make_no_sense_are_refused() -> None:
    with pytest.raises(DataError, match="voxels and seconds above zero"):
        LoggedTime(10, 0)
    with pytest.raises(ValueError, match="cost of a voxel"):
        CostModel("seconds", 0)
    with pytest.raises(ValueError, match="learned in seconds, the unit is regions"):
        CostModel(calibrated=3)
    with pytest.raises(ValueError, match="one cost above zero for each"):
        per_cost([1.0, 2.0], [1.0, 0.0])
    with pytest.raises(ValueError, match="gains of 0 or more"):
        per_cost([-1.0], [1.0])
    with pytest.raises(ValueError, match="per_label is finite and not negative"):
        Prices(1, 1, 1, 1, -1, 1)
