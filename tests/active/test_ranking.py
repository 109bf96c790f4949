"""From scores to an order."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from voxloop.active.doubt.ranking import ScoreRanking

SCORES = np.array([1.0, 2.0, 4.0, 1.0])


def firsts(ranking: ScoreRanking, draws: int = 4000) -> np.ndarray:
    rng = np.random.default_rng(0)
    met = Counter(int(ranking.order(SCORES, rng)[0]) for _ in range(draws))
    return np.array([met[i] for i in range(len(SCORES))])


def test_the_highest_come_first_and_ties_at_random() -> None:
    orders = {tuple(ScoreRanking().order(SCORES, np.random.default_rng(s))) for s in range(20)}
    assert orders == {(2, 1, 0, 3), (2, 1, 3, 0)}


def test_power_draws_in_proportion_to_the_scores_power() -> None:
    for sharpness in (0.5, 1.0, 2.0):
        weights = SCORES**sharpness
        expected = 4000 * weights / weights.sum()
        found = stats.chisquare(firsts(ScoreRanking("power", sharpness)), expected)
        assert found.pvalue > 1e-3


def test_softrank_draws_in_proportion_to_the_inverse_rank() -> None:
    weights = np.array([1 / 3, 1 / 2, 1, 1 / 4])  # ties keep their order
    found = stats.chisquare(firsts(ScoreRanking("softrank")), 4000 * weights / weights.sum())
    assert found.pvalue > 1e-3


def test_sharp_draws_come_close_to_the_highest_first() -> None:
    distinct = np.array([3.0, 1.0, 2.0])
    for kind in ("power", "softrank"):
        order = ScoreRanking(kind, 500.0).order(distinct, np.random.default_rng(1))
        assert order.tolist() == [0, 2, 1]


def test_noise_fades_over_the_rounds() -> None:
    ranking = ScoreRanking("power", 1.0, 100.0, rounds=4)
    found = [ranking.sharpness_at(n) for n in (1, 3, 5, 9)]
    assert found == pytest.approx([1.0, 10.0, 100.0, 100.0])


def test_scores_of_zero_come_last_and_do_no_harm() -> None:
    order = ScoreRanking("power").order(np.array([0.0, 1.0, 0.0]), np.random.default_rng(3))
    assert order[0] == 1
    assert sorted(order.tolist()) == [0, 1, 2]


def test_settings_without_meaning_are_refused() -> None:
    with pytest.raises(ValueError, match="sharpness and rounds above 0"):
        ScoreRanking("power", 0.0)
