"""What every registered strategy promises, whatever the pool."""

from __future__ import annotations

import gc
import weakref
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pools import LABELS, context_of, made_up_prediction, pool_of

from voxloop.active.cost.model import CostModel
from voxloop.active.doubt.acquisition import Members
from voxloop.active.pool import CasePool, Pool
from voxloop.active.query import CONTROL
from voxloop.active.strategies.context import SelectionContext
from voxloop.active.strategies.registry import STRATEGIES, find_strategy
from voxloop.errors import DataError, UsageError

KEYS = sorted(STRATEGIES)
MODEL_KEYS = [key for key in KEYS if STRATEGIES[key].needs_model]


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    """One to five cases with any slices annotated or asked for, at least one of them open."""
    cases = []
    for number in range(draw(st.integers(1, 5))):
        axis, count = draw(st.integers(0, 2)), draw(st.integers(1, 8))
        shape = [3, 2]
        shape.insert(axis, count)
        subset = st.frozensets(st.integers(0, count - 1))
        done, asked = draw(subset), draw(subset)
        if number == 0:
            done, asked = done - {0}, asked - {0}
        grid = (shape[0], shape[1], shape[2]), (0.9, 1.1, 2.5)
        cases.append(CasePool(f"c{number}", *grid, axis, done, asked - done))
    return Pool(tuple(cases))


@pytest.mark.parametrize("key", KEYS)
@settings(max_examples=20, deadline=None)
@given(pool=pools(), query_size=st.integers(1, 12), seed=st.integers(0, 99), random=st.randoms())
def test_a_selection_is_open_complete_repeatable_and_blind_to_case_order(
    key: str, pool: Pool, query_size: int, seed: int, random: Random
) -> None:
    strategy, predict = STRATEGIES[key], made_up_prediction(pool)
    queries = strategy.query(context_of(pool, query_size, seed, predict))
    open_regions = {(c.case_id, c.region(i)) for c in pool.cases for i in c.open_regions}
    chosen = [(q.case_id, q.region) for q in queries]
    assert len(chosen) == min(query_size, len(open_regions))
    assert len(set(chosen)) == len(chosen)
    assert set(chosen) <= open_regions
    assert [q.score for q in queries] == sorted((q.score for q in queries), reverse=True)
    assert {q.strategy for q in queries} <= {key, CONTROL}
    assert all((q.cost, q.unit) == (1, "regions") for q in queries)
    says_so = ["last" in q.reason and "open regions of the pool" in q.reason for q in queries]
    assert says_so == [len(open_regions) <= query_size] * len(queries)

    cases = list(pool.cases)
    random.shuffle(cases)
    assert strategy.query(context_of(Pool(tuple(cases)), query_size, seed, predict)) == queries


@pytest.mark.parametrize("key", sorted(set(KEYS) - {"strided", "coverage", "coreset", "typical"}))
def test_another_seed_gives_another_selection_where_nothing_else_decides(key: str) -> None:
    pool = pool_of(12, 12, 12, 12)
    alike = {c.case_id: np.full((3, *c.shape), 1 / 3, dtype=np.float32) for c in pool.cases}
    selections = {
        frozenset(
            (q.case_id, q.region)
            for q in STRATEGIES[key].query(context_of(pool, 3, seed, alike.__getitem__))
        )
        for seed in range(10)
    }
    assert len(selections) > 1


@pytest.mark.parametrize("key", MODEL_KEYS)
def test_each_case_is_predicted_once_and_let_go_before_the_next(key: str) -> None:
    pool = pool_of(6, 5, 4, taken=())
    full = CasePool("full", (4, 5, 3), (1, 1, 1), 2, frozenset(range(3)))
    pool = Pool((*pool.cases, full))
    make = made_up_prediction(pool)
    alive: list[weakref.ref[Members]] = []
    calls: list[str] = []

    def predict(case_id: str) -> Members:
        gc.collect()
        assert all(reference() is None for reference in alive)
        probs = make(case_id).copy()
        alive.append(weakref.ref(probs))
        calls.append(case_id)
        return probs

    STRATEGIES[key].query(context_of(pool, 4, predict=predict))
    assert calls == ["c00", "c01", "c02"]  # nothing is open in the case named full


@pytest.mark.parametrize("key", KEYS)
def test_only_strategies_that_need_a_model_refuse_to_start_without_one(key: str) -> None:
    context = context_of(pool_of(6, 5), 3)
    if STRATEGIES[key].needs_model:
        with pytest.raises(UsageError, match="needs a trained model"):
            STRATEGIES[key].query(context)
    else:
        assert len(STRATEGIES[key].query(context)) == 3


@pytest.mark.parametrize("key", MODEL_KEYS)
def test_a_prediction_on_another_grid_is_refused(key: str) -> None:
    pool = pool_of(6, 5)
    wrong = made_up_prediction(pool_of(5, 6))
    with pytest.raises(DataError, match=r'prediction of case "c00".*\(3, 4, 5, 6\)'):
        STRATEGIES[key].query(context_of(pool, 3, predict=wrong))


@pytest.mark.parametrize("key", MODEL_KEYS)
def test_a_broken_prediction_is_named_and_never_ranked(key: str) -> None:
    pool = pool_of(6, 6)

    def predict(case_id: str) -> Members:
        probs = made_up_prediction(pool)(case_id)
        if case_id == "c01":
            probs[0, 1, 0, 0, 3] = np.nan
        return probs

    with pytest.raises(DataError, match='prediction of case "c01": expected finite'):
        STRATEGIES[key].query(context_of(pool, 3, predict=predict))


def test_nothing_wanted_or_nothing_left_is_said_before_anything_is_predicted() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(UsageError, match="query size of 1 or more"):
        SelectionContext(pool_of(4), 0, rng, CostModel(), LABELS)
    with pytest.raises(UsageError, match="nothing is left to ask for"):
        SelectionContext(pool_of(2, taken=(0, 1)), 1, rng, CostModel(), LABELS)


def test_seconds_are_the_cost_where_times_were_logged() -> None:
    rng = np.random.default_rng(0)
    context = SelectionContext(pool_of(4), 1, rng, CostModel("seconds", 0.5), LABELS)
    (query,) = STRATEGIES["random_slices"].query(context)
    assert (query.cost, query.unit) == (10, "seconds")  # 4 x 5 voxels at half a second


def test_a_mistyped_key_is_answered_with_the_nearest() -> None:
    assert all(find_strategy(key).key == key for key in KEYS)
    with pytest.raises(UsageError, match="unknown strategy 'entorpy'; did you mean 'entropy'"):
        find_strategy("entorpy")


def test_uniform_draws_meet_every_slice_equally_often() -> None:
    pool = pool_of(3, 9)
    strategy, counts = STRATEGIES["random_slices"], dict.fromkeys(pool.candidates, 0)
    rng = np.random.default_rng(5)
    for _ in range(2000):
        context = SelectionContext(pool, 3, rng, CostModel(), LABELS)
        for query in strategy.query(context):
            index = query.region.start[2]
            counts[next(c for c in counts if (c.case_id, c.index) == (query.case_id, index))] += 1
    expected = 2000 * 3 / 12
    spread = (2000 * 0.25 * 0.75) ** 0.5  # one slice's hits are binomial
    assert all(abs(n - expected) < 5 * spread for n in counts.values())
