"""Uncertain slices: the right ones, apart from one another, with true reasons."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pools import context_of, made_up_prediction, pool_of
from scipy import stats

from voxloop.active.cost.model import CostModel
from voxloop.active.cost.prices import Prices
from voxloop.active.doubt.acquisition import ProbArray
from voxloop.active.query import Query
from voxloop.active.spread.diversity import Spread, pick_spread
from voxloop.active.strategies.registry import SCORERS, STRATEGIES
from voxloop.active.strategies.uncertain import UncertainRegions

ENTROPY = STRATEGIES["entropy"]


def loose(gap_mm: float = 0.0, most_per_case: int = 99) -> UncertainRegions:
    return UncertainRegions("loose", SCORERS["entropy"], gap_mm=gap_mm, most_per_case=most_per_case)


def indices(queries: tuple[Query, ...]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for query in queries:
        found.setdefault(query.case_id, []).append(query.region.start[2])
    return found


def test_without_demands_the_slices_of_highest_entropy_are_chosen() -> None:
    pool = pool_of(9, 7, 8)
    predict = made_up_prediction(pool)
    expected = sorted(
        (float(stats.entropy(predict(c.case_id)[0]).sum(axis=(0, 1))[i]), c.case_id, i)
        for c in pool.cases
        for i in c.open_regions
    )[:-7:-1]
    queries = loose().query(context_of(pool, 6, predict=predict))
    assert [(q.case_id, q.region.start[2]) for q in queries] == [e[1:] for e in expected]
    np.testing.assert_allclose([q.score for q in queries], [e[0] for e in expected], rtol=1e-5)


def test_the_reason_tells_value_rank_and_what_the_model_hesitates_between() -> None:
    pool = pool_of(12)

    def predict(_: str) -> ProbArray:
        probs = np.zeros((3, 4, 5, 12), dtype=np.float32)
        probs[0] = 1
        probs[:, :, :, 7] = np.array([0, 0.5, 0.5])[:, None, None]
        probs[:, 0, 0, 2] = np.array([0.5, 0, 0.5])
        return probs

    first, second = ENTROPY.query(context_of(pool, 2, predict=predict))
    assert first.score == pytest.approx(20 * np.log(2))  # of 4 x 5 voxels
    assert first.reason.startswith(
        "mean entropy 0.69 nats, with its size the highest of 12 regions; "
        "the model hesitates between anterior and posterior; 5 mm or more"
    )
    assert "2nd highest of 12 regions" in second.reason
    assert "between background and posterior" in second.reason


def test_slices_of_a_case_keep_their_distance_also_to_annotated_ones() -> None:
    pool = pool_of(40, 40, step_mm=2.5, taken=(20,))
    strategy = loose(gap_mm=10)
    chosen = indices(strategy.query(context_of(pool, 10, predict=made_up_prediction(pool))))
    for case in chosen.values():
        assert all(abs(a - b) * 2.5 >= 10 for a, b in itertools.combinations([*case, 20], 2))


def test_no_case_gives_more_than_twice_its_even_share() -> None:
    pool = pool_of(*[40] * 5)
    doubtful = {c.case_id: 1 / 3 if c.case_id == "c03" else 0.01 for c in pool.cases}

    def predict(case_id: str) -> ProbArray:
        p = doubtful[case_id]
        probs = np.full((3, 4, 5, 40), p, dtype=np.float32)
        probs[0] = 1 - 2 * p
        return probs

    queries = ENTROPY.query(context_of(pool, 10, predict=predict))
    assert Counter(q.case_id for q in queries)["c03"] == 4
    assert {q.case_id for q in queries[:4]} == {"c03"}


def test_demands_that_cannot_be_met_yield_and_the_reason_says_which() -> None:
    pool = pool_of(4, 20, step_mm=1.0)
    crowded = loose(gap_mm=50, most_per_case=2)
    queries = crowded.query(context_of(pool, 6, predict=made_up_prediction(pool)))
    assert len(queries) == 6
    said = Counter(
        next(word for word in ("mm or more", "nearer than 50 mm", "beyond 2 per case") if word in r)
        for r in (q.reason for q in queries)
    )
    assert said == {"mm or more": 2, "nearer than 50 mm": 2, "beyond 2 per case": 2}


@given(st.lists(st.integers(0, 29), unique=True, min_size=1), st.integers(1, 30), st.floats(0, 20))
def test_the_best_candidate_is_always_picked_and_the_count_is_met(
    ranking: list[int], count: int, gap_mm: float
) -> None:
    pool = pool_of(30)
    candidates = [pool.candidates[i] for i in ranking]
    picks = pick_spread(pool, candidates, count, Spread(gap_mm, 3))
    assert next(iter(picks)) == candidates[0]
    assert len(picks) == min(count, len(candidates))
    strict = [c.index for c, met in picks.items() if met == Spread(gap_mm, 3)]
    assert len(strict) <= 3
    assert all(abs(a - b) * 2.5 >= gap_mm - 1e-6 for a, b in itertools.combinations(strict, 2))


def test_half_the_gap_is_tried_before_none() -> None:
    pool = pool_of(9, step_mm=1.0)
    ranking = [pool.candidates[i] for i in (0, 1, 4)]
    picks = pick_spread(pool, ranking, 2, Spread(8.0, None))
    assert {c.index: met.gap_mm for c, met in picks.items()} == {0: 8.0, 4: 4.0}


def test_impossible_demands_are_refused() -> None:
    with pytest.raises(ValueError, match="gap of 0 mm or more"):
        Spread(-1.0, 3)
    with pytest.raises(ValueError, match="1 slice per case or more"):
        Spread(1.0, 0)


def test_an_ordinal_reads_as_people_say_it() -> None:
    pool = pool_of(130, step_mm=10.0)
    queries = loose().query(context_of(pool, 125, predict=made_up_prediction(pool)))
    said = [q.reason.partition(", ")[2].partition(" of ")[0] for q in queries]
    picked = [said[i - 1] for i in (1, 2, 3, 4, 11, 12, 13, 21, 112, 123)]
    numbers = ["2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th", "123rd"]
    words = ["the highest", *(f"{number} highest" for number in numbers)]
    assert picked == [f"with its size {word}" for word in words]


def test_two_thirds_go_round_the_labels() -> None:
    pool = pool_of(40, 40, 40, step_mm=9.0)
    predict = made_up_prediction(pool, members=3)
    by_class = STRATEGIES["entropy_class"].query(context_of(pool, 9, predict=predict))
    of_label = ["for anterior" in q.reason or "for posterior" in q.reason for q in by_class]
    assert sum(of_label) == 6


def test_doubt_in_a_small_label_is_asked_for_although_a_large_one_is_in_more_doubt() -> None:
    pool = pool_of(20, step_mm=9.0)

    def predict(_: str) -> ProbArray:
        probs = np.zeros((3, 4, 5, 20), dtype=np.float32)
        probs[0] = 1
        probs[:, :, :, 2:12] = np.array([0.4, 0.6, 0])[:, None, None, None]  # large, in doubt
        probs[:, 0, 0, 15] = np.array([0.45, 0, 0.55])  # one voxel of the small one
        return probs

    plain = indices(STRATEGIES["entropy"].query(context_of(pool, 3, predict=predict)))
    assert 15 not in plain["c00"]
    by_class = indices(STRATEGIES["entropy_class"].query(context_of(pool, 3, predict=predict)))
    assert 15 in by_class["c00"]


def test_gain_for_cost_ranks_otherwise_than_gain_alone_where_cost_is_known() -> None:
    pool = pool_of(12, step_mm=9.0)

    def predict(_: str) -> ProbArray:
        probs = np.zeros((3, 4, 5, 12), dtype=np.float32)
        probs[0] = 1
        probs[:, 1::2, ::2, 4] = np.array([0.46, 0.54, 0])[:, None, None]  # islands: tangled
        probs[:, 1::2, 1::2, 4] = np.array([0.46, 0, 0.54])[:, None, None]
        probs[:, :, 2:4, 8] = np.array([0.38, 0.62, 0])[:, None, None]  # one block
        return probs

    context = context_of(pool, 1, predict=predict)
    assert indices(ENTROPY.query(context)) == {"c00": [4]}
    prices = Prices(1.0, 0.0, 0.0, 1.0, 0.0, 1.0)  # a second for each millimetre drawn
    model = CostModel("seconds", 0.1, prices, calibrated=5, relative_error=0.3)
    by_time = replace(context, costs=model)
    assert indices(ENTROPY.query(by_time)) == {"c00": [8]}
    (query,) = ENTROPY.query(by_time)
    assert (query.unit, query.cost) != ("voxels", 20)
