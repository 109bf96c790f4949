"""Strategies of diversity and the cold start: what they promise, and that reasons are true."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pools import context_of, made_up_prediction, made_up_scans, pool_of
from scipy.spatial.distance import cdist

from voxloop.active.cut import Cut, CutKind
from voxloop.active.doubt.acquisition import Members, predictive_entropy
from voxloop.active.doubt.scorer import VoxelScorer
from voxloop.active.pool import CasePool, Pool
from voxloop.active.query import CONTROL, Query
from voxloop.active.spread.features import network_features
from voxloop.active.strategies.context import FeatureArray, Strategy
from voxloop.active.strategies.coverage import CoverRegions
from voxloop.active.strategies.gradient import GradientRegions
from voxloop.active.strategies.suggestive import SuggestiveRegions
from voxloop.active.strategies.typical import TypicalRegions
from voxloop.errors import UsageError
from voxloop.volume.volume import Volume

ENTROPY = VoxelScorer("mean entropy", "nats", predictive_entropy)
COVERAGE, CORESET = CoverRegions(), CoverRegions("coreset", "network")
TYPICAL = TypicalRegions()
BADGE, SUGGESTIVE = GradientRegions("badge", ENTROPY), SuggestiveRegions("suggestive", ENTROPY)
HYBRID = SuggestiveRegions("hybrid", ENTROPY, young=1.0)
ALL: tuple[Strategy, ...] = (COVERAGE, CORESET, TYPICAL, BADGE, SUGGESTIVE)
each = pytest.mark.parametrize("strategy", ALL, ids=lambda strategy: strategy.key)


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    """One to four cases of any shape, cut in any way, with any regions annotated or asked for."""
    kind = draw(st.sampled_from(get_args(CutKind)))
    cases = []
    for number in range(draw(st.integers(1, 4))):
        # planes through a scan one voxel wide are the same region twice
        shape = draw(st.tuples(*[st.integers(2 if kind == "planes" else 1, 6)] * 3))
        case = CasePool(f"c{number}", shape, (0.9, 1.1, 2.5), draw(st.integers(0, 2)))
        case = replace(case, cut=Cut(kind, 3.0))
        subset = st.frozensets(st.integers(0, case.region_count - 1))
        done, asked = draw(subset), draw(subset)
        if number == 0:
            done, asked = done - {0}, asked - {0}
        cases.append(replace(case, annotated=done, asked=asked - done))
    return Pool(tuple(cases))


@each
@settings(max_examples=25, deadline=None)
@given(
    pool=pools(),
    query_size=st.integers(1, 12),
    flat=st.booleans(),
    seed=st.integers(0, 9),
    random=st.randoms(),
)
def test_a_selection_is_open_complete_repeatable_and_blind_to_case_order(
    strategy: Strategy, pool: Pool, query_size: int, *, flat: bool, seed: int, random: Random
) -> None:
    noise = made_up_scans(pool)

    def constant(case_id: str) -> tuple[Volume, ...]:
        (scan,) = noise(case_id)
        return (Volume(np.zeros_like(scan.array), scan.geometry),)

    def same(_: str) -> FeatureArray:
        return np.ones((3, 1, 1, 1), dtype=np.float32)

    scans, embed = (constant, same) if flat else (noise, None)
    predict = made_up_prediction(pool)
    queries = strategy.query(context_of(pool, query_size, seed, predict, scans=scans, embed=embed))
    open_regions = {(c.case_id, c.region(i)) for c in pool.cases for i in c.open_regions}
    chosen = [(q.case_id, q.region) for q in queries]
    assert len(chosen) == len(set(chosen)) == min(query_size, len(open_regions))
    assert set(chosen) <= open_regions
    assert [q.score for q in queries] == sorted((q.score for q in queries), reverse=True)
    assert all(q.strategy == strategy.key for q in queries)
    cases = list(pool.cases)
    random.shuffle(cases)
    other = context_of(Pool(tuple(cases)), query_size, seed, predict, scans=scans, embed=embed)
    assert strategy.query(other) == queries


@pytest.mark.parametrize("strategy", [COVERAGE, TYPICAL, CORESET], ids=lambda s: s.key)
def test_before_there_is_a_model_chance_plays_no_part(strategy: Strategy) -> None:
    pool = pool_of(9, 8, 7, taken=(2,))
    first, second = (context_of(pool, 5, seed) for seed in (1, 2))
    before = first.rng.bit_generator.state
    assert strategy.query(first) == strategy.query(second)
    assert first.rng.bit_generator.state == before


@each
def test_without_features_of_a_network_the_scans_decide(strategy: Strategy) -> None:
    pool = pool_of(9, 8, 7)
    context = context_of(pool, 4, predict=made_up_prediction(pool))
    for query in strategy.query(replace(context, embed=None)):
        assert "judged by the scan" in query.reason
    with pytest.raises(UsageError, match="the scans are not at hand"):
        strategy.query(replace(context, embed=None, scans=None))


@pytest.mark.parametrize("strategy", [BADGE, SUGGESTIVE], ids=lambda s: s.key)
def test_what_needs_a_model_says_so(strategy: Strategy) -> None:
    with pytest.raises(UsageError, match="needs a trained model"):
        strategy.query(context_of(pool_of(5), 2))


def groups_of_scans(pool: Pool) -> dict[str, tuple[Volume, ...]]:
    """Three kinds of scan, six cases of the first, four of the second and one of the third."""
    found: dict[str, tuple[Volume, ...]] = {}
    for number, case in enumerate(pool.cases):
        (scan,) = made_up_scans(pool)(case.case_id)
        kind = int(number >= 6) + int(number >= 10)
        array = scan.array * 0.02
        array[:, kind : kind + 2] += 100
        found[case.case_id] = (Volume(array, scan.geometry),)
    return found


def kinds(queries: tuple[Query, ...]) -> list[int]:
    numbers = [int(query.case_id[1:]) for query in queries]
    return [int(n >= 6) + int(n >= 10) for n in numbers]


def test_coverage_meets_the_odd_case_early_and_typicality_the_common_ones() -> None:
    pool = Pool(tuple(CasePool(f"c{i:02d}", (8, 8, 1), (1, 1, 1), 2) for i in range(11)))
    scans = groups_of_scans(pool).__getitem__
    assert set(kinds(COVERAGE.query(context_of(pool, 3, scans=scans)))) == {0, 1, 2}
    queries = TYPICAL.query(context_of(pool, 3, scans=scans))
    assert kinds(queries)[:2] == [0, 1]
    assert queries[0].reason == (
        "typical of 6 regions that look alike, all new, judged by the scan"
    )


def with_annotated(pool: Pool, *numbers: int) -> Pool:
    """The first region of some of the cases is annotated."""
    return Pool(
        tuple(
            replace(case, annotated=frozenset({0} if number in numbers else ()))
            for number, case in enumerate(pool.cases)
        )
    )


@pytest.mark.parametrize("strategy", [COVERAGE, TYPICAL], ids=lambda s: s.key)
def test_what_looks_like_an_annotated_region_waits_for_the_rest(strategy: Strategy) -> None:
    fresh = Pool(tuple(CasePool(f"c{i:02d}", (8, 8, 1), (1, 1, 1), 2) for i in range(11)))
    scans = groups_of_scans(fresh).__getitem__
    queries = strategy.query(context_of(with_annotated(fresh, 0), 2, scans=scans))
    assert set(kinds(queries)) == {1, 2}
    assert any("1 chosen or annotated" in q.reason or "all new" in q.reason for q in queries)


def test_a_core_set_reason_tells_the_true_distance() -> None:
    pool = pool_of(6, 5, 4, taken=(1,))
    context = context_of(pool, 2, predict=made_up_prediction(pool))
    assert context.embed is not None
    regions = network_features(pool, context.embed)
    apart = cdist(regions.rows[regions.open_rows], regions.rows[regions.taken_rows]).min(axis=1)
    first, _ = CORESET.query(context)
    candidate = pool.candidates[int(apart.argmax())]
    assert (first.case_id, first.region) == (candidate.case_id, pool.region(candidate))
    ratio = apart.max() / np.median(apart)
    assert first.reason == (
        "judged by what the network sees, the least like the 3 chosen or annotated so far: "
        f"{ratio:.2g} times as far from them as the median region"
    )


def doubtful_in(pool: Pool, doubtful: set[str]) -> dict[str, Members]:
    """Even probabilities in some cases, nearly certain ones in the others."""
    found = {}
    for case in pool.cases:
        p = 1 / 3 if case.case_id in doubtful else 1e-9
        members = np.full((1, 3, *case.shape), p, dtype=np.float32)
        members[:, 0] = 1 - 2 * p
        found[case.case_id] = members
    return found


@pytest.mark.parametrize("strategy", [BADGE, replace(SUGGESTIVE, shortlist=1)])
def test_certain_regions_are_left_alone_however_odd_they_look(strategy: Strategy) -> None:
    pool = pool_of(6, 6, 6)
    predict = doubtful_in(pool, {"c01", "c02"}).__getitem__
    for seed in range(5):
        queries = strategy.query(context_of(pool, 6, seed, predict))
        assert {q.case_id for q in queries} <= {"c01", "c02"}
        assert all("mean entropy 1.1 nats" in q.reason for q in queries)


def test_of_the_doubtful_the_one_that_most_are_like_comes_first() -> None:
    fresh = Pool(tuple(CasePool(f"c{i:02d}", (4, 4, 1), (1, 1, 1), 2) for i in range(12)))
    pool = with_annotated(fresh, 11)

    def embed(case_id: str) -> FeatureArray:
        number = int(case_id[1:])
        crowd = 0.0 if number < 9 else 9.0
        return np.full((2, 1, 1, 1), crowd + 0.01 * number, dtype=np.float32)

    predict = doubtful_in(pool, {"c08", "c09", "c10"}).__getitem__
    strategy = replace(SUGGESTIVE, shortlist=3)
    (query,) = strategy.query(context_of(pool, 1, 0, predict, embed=embed))
    assert query.case_id == "c08"
    assert query.reason == (
        "one of the 3 regions of most doubt (mean entropy 1.1 nats); judged by what the network "
        "sees, 75% of the pool is more like it than like anything chosen or annotated so far"
    )


def test_badge_prefers_what_differs_from_the_annotated() -> None:
    pool = with_annotated(pool_of(*[1] * 40), *range(10))

    def embed(case_id: str) -> FeatureArray:
        number = int(case_id[1:])
        side = 0.0 if number < 25 else 5.0
        return np.full((2, 1, 1, 1), side + 0.01 * number, dtype=np.float32)

    predict = doubtful_in(pool, {c.case_id for c in pool.cases}).__getitem__
    firsts = [BADGE.query(context_of(pool, 1, seed, predict, embed=embed)) for seed in range(10)]
    assert all(int(query.case_id[1:]) >= 25 for (query,) in firsts)


@settings(max_examples=25, deadline=None)
@given(pool=pools(), query_size=st.integers(1, 12), round_number=st.integers(1, 5))
def test_the_older_the_model_the_fewer_are_drawn(
    pool: Pool, query_size: int, round_number: int
) -> None:
    predict = made_up_prediction(pool)
    context = context_of(pool, query_size, predict=predict, scans=made_up_scans(pool))
    queries = HYBRID.query(replace(context, round_number=round_number))
    open_regions = {(c.case_id, c.region(i)) for c in pool.cases for i in c.open_regions}
    chosen = {(q.case_id, q.region) for q in queries}
    assert len(chosen) == len(queries) == min(query_size, len(open_regions))
    assert chosen <= open_regions
    drawn = [q for q in queries if "drawn at random" in q.reason]
    assert len(drawn) == round(len(queries) / round_number)
    both = 0 < len(drawn) < len(queries)
    assert all(q.strategy == (CONTROL if both and q in drawn else "hybrid") for q in queries)


def test_what_is_like_what_was_drawn_is_suggested_last() -> None:
    pool = pool_of(30, 30, step_mm=9.0)

    def embed(case_id: str) -> FeatureArray:
        return np.full((2, 1, 1, 1), float(case_id == "c01"), dtype=np.float32)

    predict, met = made_up_prediction(pool), 0
    for seed in range(12):
        context = context_of(pool, 4, seed, predict=predict, embed=embed)
        queries = HYBRID.query(replace(context, round_number=2))
        suggested = [q for q in queries if q.strategy == "hybrid"]
        drawn = {q.case_id for q in queries if q.strategy == CONTROL}
        assert len(suggested) == 2
        met += len(drawn) == 1
        assert len(drawn) == 2 or suggested[0].case_id not in drawn
    assert met, "in none of these were both drawn from one case"
