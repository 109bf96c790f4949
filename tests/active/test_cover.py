"""Points that stand for many: against closed forms, brute force and chance itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import cdist

from voxloop.active.spread.clusters import k_means, pick_typical, typicality
from voxloop.active.spread.cover import facility_location, k_center, kmeans_plus_plus
from voxloop.active.spread.distances import distance_blocks, nearest


def cloud(n: int, d: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def best_radius(rows: np.ndarray, count: int) -> float:
    table = cdist(rows, rows)
    sets = itertools.combinations(range(len(rows)), count)
    return min(float(table[:, list(centres)].min(axis=1).max()) for centres in sets)


def test_on_a_line_the_ends_follow_the_middle_and_then_the_quarters() -> None:
    line = np.arange(9, dtype=np.float32)[:, None]
    found = k_center(line, 5)
    assert found.picks.tolist() == [4, 0, 8, 2, 6]
    np.testing.assert_allclose(found.reaches, [np.inf, 4, 4, 2, 2])
    np.testing.assert_allclose(found.medians[1:3], [2.5, 2.0])  # of 1 1 2 2 3 3 4 4, then the rest
    assert found.radius == pytest.approx(1)


def test_what_is_taken_counts_as_covered() -> None:
    corners = np.array([[0, 0], [0, 3], [4, 0], [4, 3], [2, 1.5]], dtype=np.float32)
    found = k_center(corners, 2, np.array([0, 1]))
    assert set(found.picks.tolist()) == {2, 3}
    assert found.reaches[0] == pytest.approx(4)
    assert found.radius == pytest.approx(2.5)


@settings(max_examples=40, deadline=None)
@given(st.integers(5, 9), st.integers(1, 3), st.integers(0, 999))
def test_the_radius_is_at_most_twice_the_best_possible(n: int, count: int, seed: int) -> None:
    rows = cloud(n, seed=seed)
    found = k_center(rows, count)
    apart = cdist(rows, rows[found.picks]).min(axis=1).max()
    assert found.radius == pytest.approx(apart, rel=1e-4)
    assert found.radius <= 2 * best_radius(rows, count) * (1 + 1e-5)


def test_the_same_point_many_times_is_chosen_from_without_repeating() -> None:
    rows = np.ones((6, 3), dtype=np.float32)
    assert sorted(k_center(rows, 4, np.array([1])).picks.tolist()) == [0, 2, 3, 4]
    rng = np.random.default_rng(0)
    drawn = kmeans_plus_plus(rows, np.zeros(6), 5, rng, np.array([1])).picks
    assert sorted(drawn.tolist()) == [0, 2, 3, 4, 5]
    assert len(set(pick_typical(rows, np.array([1]), 5, rng).picks.tolist())) == 5


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0), (0.0, 4.0, 1.0, 2.0)])
def test_the_next_is_drawn_by_weight_times_squared_distance(weights: tuple[float, ...]) -> None:
    rows = np.array([[0], [1], [3], [4]], dtype=np.float32)
    expected = np.array(weights) * np.array([0, 1, 9, 16])
    rng = np.random.default_rng(1)
    draws = [
        int(kmeans_plus_plus(rows, np.array(weights), 1, rng, np.array([0])).picks[0])
        for _ in range(3000)
    ]
    counts = np.bincount(draws, minlength=4)
    assert counts[0] == 0
    chances = expected[1:] / expected.sum()
    assert stats.chisquare(counts[1:], 3000 * chances).pvalue > 1e-3


def test_the_first_of_all_is_drawn_by_weight_alone() -> None:
    rng = np.random.default_rng(2)
    weights = np.array([1.0, 0.0, 3.0])
    rows = np.array([[0], [50], [1]], dtype=np.float32)
    draws = [int(kmeans_plus_plus(rows, weights, 1, rng).picks[0]) for _ in range(2000)]
    counts = np.bincount(draws, minlength=3)
    assert counts[1] == 0
    assert stats.binomtest(int(counts[2]), 2000, 0.75).pvalue > 1e-3


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(0, 999))
def test_greedy_representation_reaches_its_bound_and_counts_honestly(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(8, 2))
    similarity = np.exp(-cdist(rows, rows, "sqeuclidean")).astype(np.float32)
    covered = (rng.random(8) * 0.3).astype(np.float32)

    def gain(chosen: tuple[int, ...]) -> float:
        best = np.maximum(similarity[list(chosen)].max(axis=0), covered)
        return float((best - covered).sum(dtype=np.float64))

    found = facility_location(similarity, count, covered)
    best = max(gain(chosen) for chosen in itertools.combinations(range(8), count))
    assert found.gains.sum() == pytest.approx(gain(tuple(found.picks.tolist())), rel=1e-5)
    assert found.gains.sum() >= (1 - 1 / np.e) * best - 1e-6
    assert found.gains[0] == pytest.approx(max(gain((i,)) for i in range(8)), rel=1e-5)
    first = similarity[found.picks[0]]
    assert found.shares[0] == pytest.approx(float((first > covered).mean()))


def test_what_nothing_is_gained_by_is_still_chosen_once_each() -> None:
    similarity = np.zeros((3, 5), dtype=np.float32)
    found = facility_location(similarity, 3, np.ones(5, dtype=np.float32))
    assert sorted(found.picks.tolist()) == [0, 1, 2]
    assert found.shares.tolist() == [0, 0, 0]


def test_the_middle_of_the_dense_crowd_is_most_typical_and_the_outlier_least() -> None:
    crowd = np.concatenate([cloud(200), [[40, 40]], [[0, 0]]]).astype(np.float32)
    found = typicality(crowd, neighbours=10)
    table = np.sort(cdist(crowd, crowd), axis=1)[:, 1:11].mean(axis=1)
    np.testing.assert_allclose(found, 1 / table, rtol=1e-3)
    assert np.linalg.norm(crowd[found.argmax()]) < 0.5
    assert found.argmin() == 200
    sampled = typicality(crowd, neighbours=10, references=100)
    assert np.linalg.norm(crowd[sampled.argmax()]) < 0.7
    assert typicality(crowd[:1]).tolist() == [0]


def test_each_crowd_gives_its_middle_the_largest_first_and_outliers_none() -> None:
    middles = np.array([[0, 0], [10, 0], [0, 10]])
    parts = [0.5 * cloud(n, seed=n) + m for n, m in zip((60, 90, 30), middles, strict=True)]
    rows = np.concatenate([*parts, [[30, 30], [-40, 5]]]).astype(np.float32)
    found = pick_typical(rows, np.zeros(0, dtype=np.int64), 5, np.random.default_rng(0))
    assert found.picks.max() < 180
    groups = np.digitize(found.picks, (60, 150))
    assert set(groups.tolist()) == {0, 1, 2}
    assert found.sizes.tolist()[0] == max(found.sizes)
    assert np.linalg.norm(rows[found.picks[0]] - middles[groups[0]]) < 0.5


def test_a_crowd_with_something_taken_comes_after_the_others() -> None:
    parts = [0.5 * cloud(n, seed=n) + (10 * i, 0) for i, n in enumerate((60, 20))]
    rows = np.concatenate(parts).astype(np.float32)
    found = pick_typical(rows, np.array([5]), 1, np.random.default_rng(0))
    assert found.picks[0] >= 60
    assert (found.sizes.tolist(), found.before.tolist()) == ([20], [0])


def test_far_groups_are_told_apart() -> None:
    rows = np.concatenate([cloud(40, seed=i) + 20 * i for i in range(4)]).astype(np.float32)
    groups = k_means(rows, 4, np.random.default_rng(3)).reshape(4, 40)
    assert (groups == groups[:, :1]).all()
    assert len(set(groups[:, 0].tolist())) == 4


def test_distances_in_blocks_are_those_of_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxloop.active.spread.distances._BLOCK", 50)
    rows, points = cloud(33, 5), cloud(7, 5, seed=1)
    table = cdist(rows, points, "sqeuclidean")
    found = np.concatenate([squared for _, squared in distance_blocks(rows, points)])
    np.testing.assert_allclose(found, table, rtol=1e-5)
    index, squared = nearest(rows, points)
    assert index.tolist() == table.argmin(axis=1).tolist()
    np.testing.assert_allclose(squared, table.min(axis=1), rtol=1e-5)
    assert not nearest(rows, rows)[1].any()
