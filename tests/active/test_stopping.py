"""When stopping is suggested, and that the reason says why."""

from __future__ import annotations

import pytest

from voxloop.active.advice.forecast import LearningCurve, Measured
from voxloop.active.advice.stopping import StoppingRule, advise
from voxloop.errors import UsageError


def _curve(*scores: float) -> LearningCurve | None:
    return LearningCurve.through(Measured(16.0 * n, s) for n, s in enumerate(scores, start=1))


def test_stopping_is_suggested_on_a_plateau_and_not_on_a_slope() -> None:
    flat = advise(_curve(*[0.85] * 8), 144, "16 more slices")
    steep = advise(_curve(0.4, 0.5, 0.58, 0.65, 0.7), 96, "16 more slices")
    assert flat.stop
    assert "16 more slices bring less than 0.005 with a probability of" in flat.reason
    assert not steep.stop
    assert "80% would be enough to suggest stopping" in steep.reason


def test_a_stricter_rule_goes_on_for_longer() -> None:
    curve = _curve(0.8, 0.84, 0.85, 0.85)
    chance = advise(curve, 72, "more").probability
    assert chance is not None
    assert advise(curve, 72, "more", StoppingRule(probability=chance - 0.01)).stop
    assert not advise(curve, 72, "more", StoppingRule(probability=chance + 0.01)).stop
    smaller = advise(curve, 72, "more", StoppingRule(gain=0.001)).probability
    assert smaller is not None
    assert smaller < chance


def test_nothing_is_suggested_before_three_rounds() -> None:
    early = advise(_curve(0.4, 0.5), 48, "16 more slices")
    assert (early.stop, early.probability) == (False, None)
    assert "fewer than 3 rounds" in early.reason


def test_nonsense_is_refused() -> None:
    with pytest.raises(UsageError, match="a gain between 0 and 1"):
        StoppingRule(gain=0)
    with pytest.raises(UsageError, match="not beyond 48"):
        advise(_curve(0.4, 0.5, 0.6), 48, "no more slices")
