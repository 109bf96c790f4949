"""Foreground-aware random: its share, its turns, its mixture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pools import LABELS, context_of, pool_of

from voxloop.active.doubt.acquisition import ProbArray
from voxloop.active.pool import Pool
from voxloop.active.strategies.foreground import ForegroundRandom

POOL = pool_of(30, 30, 30, 30)
ANTERIOR, POSTERIOR = {4, 5, 6, 7, 8, 9, 10, 11}, {20}


def predict(case_id: str) -> ProbArray:
    """Anterior in eight slices of each case, posterior in one voxel of one slice of each."""
    probs = np.zeros((3, *POOL.by_id[case_id].shape), dtype=np.float32)
    probs[0] = 0.6
    probs[1] = 0.4
    probs[:, 0, 0, sorted(ANTERIOR)] = np.array([[0.3], [0.7], [0]])
    probs[:, 1, 1, sorted(POSTERIOR)] = np.array([[0.2], [0.2], [0.6]])
    return probs


def test_two_thirds_are_drawn_from_predicted_foreground_label_by_label() -> None:
    queries = ForegroundRandom().query(context_of(POOL, 9, predict=predict))
    seen = [q for q in queries if "in which the model sees" in q.reason]
    assert len(seen) == 6
    for name, slices in (("anterior", ANTERIOR), ("posterior", POSTERIOR)):
        drawn = [q.region.start[2] for q in seen if f"the model sees {name}" in q.reason]
        assert len(drawn) == 3
        assert set(drawn) <= slices
    reasons = {q.reason for q in queries}
    assert (
        "drawn at random from the 4 of 120 open regions in which the model sees posterior"
        in reasons
    )
    assert "drawn at random from all 120 open regions" in reasons


def test_a_label_that_runs_out_leaves_its_turns_to_the_others() -> None:
    queries = ForegroundRandom(share=1).query(context_of(POOL, 20, predict=predict))
    seen = [q.reason.rpartition(" ")[2] for q in queries]
    assert (seen.count("posterior"), seen.count("anterior")) == (4, 16)


def test_labels_that_share_their_slices_still_take_turns() -> None:
    def both(case_id: str) -> ProbArray:
        probs = np.zeros((3, *POOL.by_id[case_id].shape), dtype=np.float32)
        probs[0] = 1
        probs[:, 0, 0, 3] = np.array([0, 1, 0])
        probs[:, 1, 0, 3] = np.array([0, 0, 1])
        return probs

    for seed in range(10):
        queries = ForegroundRandom(share=1).query(context_of(POOL, 4, seed, both))
        seen = [q.reason.rpartition(" ")[2] for q in queries]
        assert (seen.count("anterior"), seen.count("posterior")) == (2, 2)


def test_more_than_there_is_foreground_is_made_up_for_uniformly() -> None:
    queries = ForegroundRandom(share=1).query(context_of(POOL, 50, predict=predict))
    assert sum("model sees" in q.reason for q in queries) == 4 * 9
    assert sum("from all 120" in q.reason for q in queries) == 14


def test_a_model_that_sees_nothing_leaves_plain_random() -> None:
    def blind(case_id: str) -> ProbArray:
        probs = np.zeros((3, *POOL.by_id[case_id].shape), dtype=np.float32)
        probs[0] = 1
        return probs

    queries = ForegroundRandom().query(context_of(POOL, 9, predict=blind))
    assert len(queries) == 9
    assert all("from all 120" in q.reason for q in queries)


def test_a_list_left_half_done_keeps_the_mixture() -> None:
    early = [
        ["model sees" in q.reason for q in ForegroundRandom().query(context)[:6]]
        for context in (context_of(POOL, 12, seed, predict) for seed in range(200))
    ]
    assert np.mean(early) == pytest.approx(2 / 3, abs=0.05)


def test_the_prediction_of_annotated_slices_does_not_count() -> None:
    done = frozenset(ANTERIOR)
    pool = Pool(tuple(replace(case, annotated=done) for case in POOL.cases))
    queries = ForegroundRandom(share=1).query(context_of(pool, 6, predict=predict))
    seen = {q.reason.rpartition(" ")[2] for q in queries if "model sees" in q.reason}
    assert seen == {"posterior"}


def test_the_labels_follow_the_channels_whatever_their_values() -> None:
    queries = ForegroundRandom(share=1).query(
        replace(context_of(POOL, 4, predict=predict), labels=type(LABELS)({7: "b", 9: "a"}))
    )
    by_name = {q.reason.rpartition(" ")[2]: q.region.start[2] for q in queries}
    assert by_name["a"] in POSTERIOR
    assert by_name["b"] in ANTERIOR


def test_a_share_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"between 0 and 1, together at most 1, .*share=1\.5"):
        ForegroundRandom(share=1.5)


def test_the_second_mixture_draws_a_third_each_along_outlines_inside_and_anywhere() -> None:
    mixture = ForegroundRandom(1 / 3, 1 / 3, key="outline_random")
    queries = mixture.query(context_of(POOL, 9, predict=predict))
    kinds = [
        next(k for k in ("along the outline", "open regions in which", "from all") if k in q.reason)
        for q in queries
    ]
    assert [kinds.count(k) for k in ("along the outline", "open regions in which", "from all")] == [
        3,
        3,
        3,
    ]
