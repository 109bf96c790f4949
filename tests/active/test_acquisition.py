"""Scores per voxel and per slice against closed forms and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from voxloop.active.acquisition import (
    Acquisition,
    ProbArray,
    least_confidence,
    margin,
    predictive_entropy,
)
from voxloop.active.aggregate import class_doubt, slice_mean, slice_sum, slice_top_mean

ALL = [predictive_entropy, least_confidence, margin]


def dirichlet(seed: int, channels: int) -> ProbArray:
    rng = np.random.default_rng(seed)
    return np.moveaxis(rng.dirichlet(np.full(channels, 0.3), size=(3, 4, 5)), -1, 0)


@pytest.mark.parametrize("channels", [2, 3, 9])
@pytest.mark.parametrize(
    ("acquisition", "highest"),
    [
        (predictive_entropy, np.log),
        (least_confidence, lambda c: 1 - 1 / c),
        (margin, lambda _: 1.0),
    ],
)
def test_all_classes_alike_gives_the_highest_score_there_is(
    acquisition: Acquisition, highest: np.ufunc, channels: int
) -> None:
    alike = np.full((channels, 2, 3, 4), 1 / channels, dtype=np.float32)
    np.testing.assert_allclose(acquisition(alike), highest(channels), rtol=1e-6)


@pytest.mark.parametrize("acquisition", ALL)
def test_a_certain_class_gives_exactly_zero(acquisition: Acquisition) -> None:
    certain = np.zeros((4, 2, 2, 2), dtype=np.float16)
    certain[2] = 1
    scores = acquisition(certain)
    assert scores.dtype == np.float32
    assert not scores.any()


def test_a_probability_rounded_above_one_does_not_give_a_negative_entropy() -> None:
    probs = np.array([np.nextafter(np.float32(1), np.float32(2)), 0], dtype=np.float32)
    assert predictive_entropy(probs.reshape(2, 1, 1, 1)) == 0


@given(seed=st.integers(0, 1000), channels=st.integers(2, 7))
def test_entropy_is_what_scipy_computes(seed: int, channels: int) -> None:
    probs = dirichlet(seed, channels)
    np.testing.assert_allclose(predictive_entropy(probs), stats.entropy(probs), atol=1e-12)


@given(seed=st.integers(0, 1000), channels=st.integers(2, 7))
def test_margin_and_least_confidence_are_what_sorting_gives(seed: int, channels: int) -> None:
    probs = dirichlet(seed, channels)
    ascending = np.sort(probs, axis=0)
    np.testing.assert_allclose(margin(probs), 1 - (ascending[-1] - ascending[-2]))
    np.testing.assert_allclose(least_confidence(probs), 1 - ascending[-1])


@pytest.mark.parametrize("acquisition", ALL)
def test_the_order_of_the_classes_does_not_matter(acquisition: Acquisition) -> None:
    probs = dirichlet(3, 5)
    np.testing.assert_allclose(acquisition(probs), acquisition(probs[[4, 2, 0, 1, 3]]), atol=1e-12)


@pytest.mark.parametrize("acquisition", ALL)
def test_a_broken_probability_stays_visible(acquisition: Acquisition) -> None:
    probs = np.full((2, 1, 1, 2), 0.5)
    probs[:, 0, 0, 1] = np.nan
    np.testing.assert_array_equal(np.isnan(acquisition(probs)), [[[False, True]]])


@pytest.mark.parametrize("shape", [(1, 2, 2, 2), (3, 2, 2)])
def test_something_other_than_class_probabilities_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="probabilities have shape"):
        predictive_entropy(np.ones(shape))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_aggregated_one_by_one(axis: int) -> None:
    scores = np.random.default_rng(1).random((3, 4, 5)).astype(np.float32)
    planes = [scores.take(i, axis=axis).astype(float) for i in range(scores.shape[axis])]
    top = [np.sort(plane.ravel())[-3:].mean() for plane in planes]
    np.testing.assert_allclose(slice_mean(scores, axis), [p.mean() for p in planes])
    np.testing.assert_allclose(slice_sum(scores, axis), [p.sum() for p in planes])
    share = 2.5 / planes[0].size  # rounded up to three voxels
    np.testing.assert_allclose(slice_top_mean(scores, axis, share), top)


def test_the_whole_slice_is_its_own_top_share() -> None:
    scores = np.random.default_rng(2).random((3, 4, 5))
    np.testing.assert_allclose(slice_top_mean(scores, 1, 1.0), slice_mean(scores, 1))
    with pytest.raises(ValueError, match="above 0 and up to 1"):
        slice_top_mean(scores, 1, 0)


def test_the_classes_in_doubt_are_those_the_probability_is_split_between() -> None:
    probs = np.zeros((4, 2, 2, 3))
    probs[0] = 1
    probs[:, 0, 0, 1] = [0, 0.4, 0, 0.6]
    probs[:, 0, 0, 2] = [0.5, 0, 0.5, 0]
    expected = [[0, 0, 0.25], [0, 0.24, 0], [0, 0, 0.25], [0, 0.24, 0]]
    np.testing.assert_allclose(class_doubt(probs, 2), expected, atol=1e-12)
