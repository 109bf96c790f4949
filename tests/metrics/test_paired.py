"""Paired tests against SciPy and enumeration by hand; Holm's correction by its properties."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from voxloop.metrics.paired import EXACT_UP_TO, holm, paired_t, sign_flip
from voxloop.metrics.ranks import mean_ranks, significant_wins

DIFFERENCES = arrays.arrays(
    float, st.integers(1, 9), elements=st.integers(-60, 60).map(lambda n: n / 8)
)
P_VALUES = arrays.arrays(float, st.integers(1, 12), elements=st.floats(0, 1))


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_the_t_test_is_scipys() -> None:
    for count in (2, 5, 30):
        a, b = np.random.default_rng(count).normal([[0.4], [0.0]], 1, (2, count))
        assert paired_t(a - b) == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-12)


def test_without_spread_or_pairs_there_is_no_t_test() -> None:
    assert math.isnan(paired_t([0.3]))
    assert math.isnan(paired_t([0.1, 0.1, 0.1]))
    assert paired_t([0.0, 0.0]) == 1.0


@given(DIFFERENCES)
def test_sign_flips_are_exact_for_few_pairs(differences: np.ndarray) -> None:
    observed = abs(differences.sum())
    patterns = itertools.product((1, -1), repeat=differences.size)
    sums = [abs((differences * signs).sum()) for signs in patterns]  # eighths: no rounding
    assert sign_flip(differences, rng=rng()) == np.mean([s >= observed for s in sums])


def test_sign_flips_agree_with_scipys_permutation_test() -> None:
    differences = np.random.default_rng(0).normal(0.3, 1, EXACT_UP_TO)
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=2**EXACT_UP_TO
    ).pvalue
    assert sign_flip(differences, rng=rng()) == pytest.approx(expected, rel=1e-9)


def test_many_pairs_are_sampled_closely_enough() -> None:
    differences = np.random.default_rng(1).normal(0.25, 1, 60)
    assert sign_flip(differences, rng=rng()) == pytest.approx(paired_t(differences), abs=0.01)
    assert sign_flip(np.ones(60), rng=rng()) == 1 / 20_000  # the observed pattern counts


@pytest.mark.parametrize("count", [8, 40])
def test_p_depends_on_neither_order_nor_direction(count: int) -> None:
    differences = np.random.default_rng(2).normal(0.3, 1, count)
    for test in (paired_t, lambda d: sign_flip(d, rng=rng())):
        assert test(differences[::-1]) == pytest.approx(test(differences), rel=1e-9)
        assert test(-differences) == pytest.approx(test(differences), rel=1e-9)


def test_no_difference_is_rarely_called_one() -> None:
    source = np.random.default_rng(5)
    samples = source.normal(size=(400, 6))
    for test in (paired_t, lambda d: sign_flip(d, rng=source)):
        assert np.mean([test(sample) < 0.05 for sample in samples]) < 0.08


def test_holm_by_hand() -> None:
    found = holm([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(found, [0.03, 0.06, 0.06, 0.02])
    table = holm(np.array([[0.02, np.nan], [0.5, 0.9]]))
    np.testing.assert_allclose(table, np.array([[0.06, np.nan], [1.0, 1.0]]))


@given(P_VALUES)
def test_holm_is_never_below_the_raw_value_and_keeps_the_order(raw: np.ndarray) -> None:
    found = holm(raw)
    assert np.all((found >= raw) & (found <= 1))
    order = np.argsort(raw, kind="stable")
    assert np.all(np.diff(found[order]) >= 0)
    np.testing.assert_array_equal(holm(raw[::-1]), found[::-1])
    assert found.min() == pytest.approx(min(1.0, raw.size * raw.min()))


def test_ranks_share_ties_and_sum_up() -> None:
    values = np.array([[0.9, 0.5, 0.7], [0.9, 0.6, 0.7], [0.1, 0.7, 0.7]])
    np.testing.assert_allclose(mean_ranks(values), [6.5 / 3, 5.5 / 3, 6 / 3])


def test_only_clear_differences_are_wins() -> None:
    source = np.random.default_rng(0)
    values = source.normal(0.8, 0.004, (3, 5, 4))
    values[0] += 0.1
    values[2, :, 1] -= 0.1
    np.testing.assert_array_equal(significant_wins(values), [[0, 4, 4], [0, 0, 1], [0, 0, 0]])
