"""Areas and costs of learning curves that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from voxloop.metrics.budget_curve import area_between, area_under_budget, budget_to_reach


def test_the_area_is_the_mean_height() -> None:
    shares = [0.01, 0.02, 0.05]
    assert area_under_budget(shares, [0.8, 0.8, 0.8]) == pytest.approx(0.8)
    # 0.01 wide at 0.7 on average, 0.03 wide at 0.85
    assert area_under_budget(shares, [0.6, 0.8, 0.9]) == pytest.approx((0.7 + 3 * 0.85) / 4)
    both = area_under_budget(shares, np.array([[0.6, 0.8, 0.9], [0.1, 0.1, 0.1]]))
    np.testing.assert_allclose(both, [0.8125, 0.1])
    assert area_under_budget([0.01], [0.6]) == pytest.approx(0.6)


def test_between_two_budgets_that_were_not_measured_the_curve_is_straight() -> None:
    slices, dice = [10, 20, 40], np.array([[0.5, 0.7, 0.8], [0.4, 0.4, 0.4]])
    assert area_between(slices, dice, 10, 40) == pytest.approx(area_under_budget(slices, dice))
    # from 15 to 20 at 0.65 on average, from 20 to 30 at 0.725
    np.testing.assert_allclose(area_between(slices, dice, 15, 30), [(0.65 + 2 * 0.725) / 3, 0.4])
    np.testing.assert_allclose(area_between(slices, dice, 22, 38), [0.75, 0.4])


def test_the_cost_of_a_score_is_interpolated_or_none() -> None:
    slices, dice = [10, 20, 40], [0.5, 0.7, 0.8]
    assert budget_to_reach(slices, dice, 0.6) == pytest.approx(15)
    assert budget_to_reach(slices, dice, 0.75) == pytest.approx(30)
    assert budget_to_reach(slices, dice, 0.8) == pytest.approx(40)
    assert budget_to_reach(slices, dice, 0.4) == 10
    assert budget_to_reach(slices, dice, 0.81) is None
    # a curve that falls again has reached what it had reached
    assert budget_to_reach(slices, [0.5, 0.9, 0.6], 0.7) == pytest.approx(15)
