"""Strategies side by side, on grids whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from voxloop.active.trial.comparison import compare
from voxloop.active.trial.results import DiceGrid

SLICES = (10, 20, 40)


def grid(**ahead: tuple[float, float]) -> DiceGrid:
    """Each strategy with its lead over the first from the second round on, and its price."""
    rng = np.random.default_rng(0)
    begins = np.array([0.6, 0.7, 0.8])[:, None] + rng.normal(0, 0.02, (6, 1, 8))  # seed, -, case
    noise = rng.normal(0, 0.001, (len(ahead), 6, 3, 8))
    dice = begins[None] + noise
    seconds = np.empty((len(ahead), 6, 3))
    for k, (lead, price) in enumerate(ahead.values()):
        dice[k, :, 1:] += lead
        seconds[k] = 100 + price * (np.array(SLICES) - SLICES[0])
    dice[:, :, 0] = dice[0, :, 0]  # all begin with the same model
    cases = tuple(f"case {c}" for c in range(8))
    share = tuple(s / 1000 for s in SLICES)
    full = np.full((1, 8), 0.85)
    return DiceGrid(tuple(ahead), tuple(range(6)), cases, SLICES, share, seconds, dice, full)


def test_a_steady_lead_is_significant_and_no_lead_is_not() -> None:
    found = compare(
        grid(plain=(0.0, 10.0), alike=(0.0, 10.0), better=(0.02, 10.0)), np.random.default_rng(1)
    )
    # half of the first third of the budgets, all of the other two thirds
    assert found.area_pair("better", "plain").difference == pytest.approx(-0.02 * 5 / 6, abs=5e-4)
    assert found.area_pair("plain", "better").is_significant
    assert not found.area_pair("plain", "alike").is_significant
    assert found.wins.tolist() == [[0, 0, 0], [0, 0, 0], [2, 2, 0]]
    best = max(found.standings, key=lambda s: s.area.value)
    assert (best.strategy, best.area_rank, best.final_rank) == ("better", 1.0, 1.0)
    assert best.full_share == pytest.approx(0.82 / 0.85, abs=0.01)


def test_what_is_ahead_by_slices_may_be_behind_by_time() -> None:
    """A lead of 0.02 with slices that take twice as long: half as far up the curve by then."""
    found = compare(grid(plain=(0.0, 10.0), dear=(0.02, 20.0)), np.random.default_rng(1))
    (by_slices,), (by_time,) = found.areas, found.times
    assert by_slices.difference < 0 < by_time.difference
    assert by_slices.is_significant
    assert by_time.is_significant
    plain, dear = found.standings
    assert plain.time_area is not None
    assert dear.time_area is not None
    # until second 400: the plain one's mean is (100 * 0.65 + 200 * 0.75) / 300
    assert plain.time_area.value == pytest.approx(0.7167, abs=0.02)
    assert plain.time_area.value - dear.time_area.value == pytest.approx(by_time.difference)


def test_without_rounds_there_is_no_time_to_compare() -> None:
    one = grid(plain=(0.0, 0.0), other=(0.0, 0.0))
    found = compare(one, np.random.default_rng(1))
    assert found.times == ()
    assert [s.time_area for s in found.standings] == [None, None]
