"""The schedule: up, then down to zero; minutes measured on this machine."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxloop.train.config import TrainConfig
from voxloop.train.schedule import Schedule, decide_steps, fall_per_doubling


@given(st.integers(1, 3000))
def test_the_rate_rises_stays_and_falls_towards_zero(steps: int) -> None:
    schedule = Schedule(steps)
    rates: list[float] = []
    fall: int | None = None
    while len(rates) < schedule.end(fall):
        fall = schedule.falls_from([1.0] * len(rates), fall)
        rates.append(schedule.rate(len(rates), fall))
    assert len(rates) == steps
    peak = rates.index(max(rates))
    assert steps < 2 or max(rates) == pytest.approx(1.0)
    assert peak <= 0.05 * steps + 1
    assert all(a < b for a, b in itertools.pairwise(rates[: peak + 1]))
    assert all(a >= b for a, b in itertools.pairwise(rates[peak:]))
    assert min(rates) > 0
    assert steps < 100 or rates[-1] <= 0.02
    assert rates.count(max(rates)) >= 0.4 * steps - 2


def _course(steps: int, exponent: float, floor: float = 0.0) -> list[float]:
    """A noisy power law."""
    noise = np.random.default_rng(0).normal(1, 0.05, steps)
    return list((floor + np.arange(1, steps + 1) ** -exponent) * noise)


@pytest.mark.parametrize("exponent", [0.1, 0.3, 0.6])
def test_the_fall_per_doubling_is_that_of_the_power_law(exponent: float) -> None:
    found = fall_per_doubling(_course(20_000, exponent))
    assert found == pytest.approx(1 - 2**-exponent, abs=0.02)


def test_steps_without_a_finite_loss_do_not_disturb_the_outlook() -> None:
    losses = _course(3000, 0.3)
    spoiled = [math.inf if n % 7 == 0 else loss for n, loss in enumerate(losses)]
    assert fall_per_doubling(spoiled) == pytest.approx(fall_per_doubling(losses), abs=0.02)
    assert fall_per_doubling([math.inf] * 30) == fall_per_doubling([]) == 0.0


def test_a_flat_loss_ends_the_run_early_and_a_falling_one_does_not() -> None:
    flat, falling = _course(10_000, 0.6, floor=5.0), _course(10_000, 0.3)
    for losses, stops in ((flat, True), (falling, False)):
        schedule = Schedule(10_000, may_stop=True)
        fall: int | None = None
        for done in range(schedule.planned_fall + 1):
            fall = schedule.falls_from(losses[:done], fall)
            if fall is not None:
                break
        assert fall is not None
        assert (fall < 4000) == stops
        assert schedule.end(fall) == (2 * fall if stops else 10_000)
    assert Schedule(10_000).falls_from(flat[:4000], None) is None, "exactly as many as asked for"


def test_minutes_are_divided_by_the_time_of_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    waits = iter([9.0, 2.5, 2.0, 2.2, *[50.0] * 8])

    def try_step() -> None:
        now[0] += next(waits)

    monkeypatch.setattr("voxloop.train.schedule.time.monotonic", lambda: now[0])
    config = TrainConfig(minutes=10)
    assert decide_steps(config, try_step, tmp_path, "run") == int(600 / (2.0 * 1.03))
    assert decide_steps(config, try_step, tmp_path, "run") == int(600 / (2.0 * 1.03))
    assert decide_steps(config, try_step, tmp_path, "another run") == 11
    (tmp_path / "schedule.json").write_text('{"identity": ')
    assert decide_steps(config, try_step, tmp_path, "another run") == 11
    assert decide_steps(TrainConfig(steps=5), try_step, tmp_path, "run") == 5
