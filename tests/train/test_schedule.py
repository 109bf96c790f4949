"""The schedule: up, then down to zero; minutes measured on this machine."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxloop.train.config import TrainConfig
from voxloop.train.schedule import decide_steps, learning_rate


@given(st.integers(1, 3000))
def test_the_rate_rises_to_its_peak_and_falls_towards_zero(steps: int) -> None:
    config = TrainConfig(learning_rate=0.5)
    rates = [learning_rate(config, step, steps) for step in range(steps)]
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.5)
    assert peak <= 0.05 * steps + 1
    assert all(a < b for a, b in itertools.pairwise(rates[: peak + 1]))
    assert all(a >= b for a, b in itertools.pairwise(rates[peak:]))
    assert min(rates) > 0
    assert steps < 100 or rates[-1] < 0.001


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
