"""Scores of several members against closed forms, identities and scipy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from voxloop.active.doubt.acquisition import (
    Acquisition,
    Members,
    ScoreArray,
    dice_disagreement,
    expected_entropy,
    highest_two,
    least_confidence,
    margin,
    mutual_information,
    predictive_entropy,
    variance,
    vote_entropy,
)
from voxloop.volume.lattice import Lattice

MM = (0.9, 1.1, 2.5)
OF_THE_MEAN = [predictive_entropy, least_confidence, margin]
OF_DISPUTE = [mutual_information, vote_entropy, variance]
ALL = [*OF_THE_MEAN, expected_entropy, *OF_DISPUTE]
each = pytest.mark.parametrize("acquisition", ALL)
some_members = given(
    seed=st.integers(0, 1000), members=st.integers(1, 5), channels=st.integers(2, 6)
)


def dirichlet(seed: int, members: int, channels: int) -> Members:
    rng = np.random.default_rng(seed)
    return np.moveaxis(rng.dirichlet(np.full(channels, 0.3), size=(members, 3, 4, 5)), -1, 1)


def certain(*classes: int, channels: int) -> Members:
    """Each member sure of one class everywhere."""
    members = np.zeros((len(classes), channels, 2, 2, 2), dtype=np.float32)
    members[range(len(classes)), classes] = 1
    return members


@pytest.mark.parametrize("channels", [2, 3, 9])
@pytest.mark.parametrize(
    ("acquisition", "highest"),
    [
        (predictive_entropy, np.log),
        (expected_entropy, np.log),
        (least_confidence, lambda c: 1 - 1 / c),
        (margin, lambda _: 1.0),
    ],
)
def test_all_classes_alike_gives_the_highest_score_there_is(
    acquisition: Acquisition, highest: Callable[[int], float], channels: int
) -> None:
    alike = np.full((3, channels, 2, 3, 4), 1 / channels, dtype=np.float32)
    np.testing.assert_allclose(acquisition(alike, MM), highest(channels), rtol=1e-6)


@each
def test_members_certain_of_one_class_give_exactly_zero(acquisition: Acquisition) -> None:
    members = certain(2, 2, 2, channels=4).astype(np.float16)
    scores = acquisition(members, MM)
    assert scores.dtype == np.float32
    assert scores.shape == (2, 2, 2)
    assert not scores.any()


@pytest.mark.parametrize("count", [2, 3, 5])
def test_members_certain_of_different_classes_dispute_as_much_as_can_be(count: int) -> None:
    members = certain(*range(count), channels=count + 1)
    for acquisition in (mutual_information, vote_entropy, predictive_entropy):
        np.testing.assert_allclose(acquisition(members, MM), math.log(count), rtol=1e-6)
    np.testing.assert_allclose(variance(members, MM), 1 - 1 / count, rtol=1e-6)
    np.testing.assert_array_equal(expected_entropy(members, MM), 0)


@pytest.mark.parametrize("acquisition", OF_DISPUTE)
@given(seed=st.integers(0, 1000), count=st.sampled_from([1, 2, 4]))
def test_members_that_say_the_same_dispute_nothing(
    acquisition: Acquisition, seed: int, count: int
) -> None:
    one = dirichlet(seed, 1, 4).astype(np.float32)
    np.testing.assert_array_equal(acquisition(np.repeat(one, count, axis=0), MM), 0)


@some_members
def test_all_doubt_is_what_members_share_and_what_they_dispute(
    seed: int, members: int, channels: int
) -> None:
    probs = dirichlet(seed, members, channels)
    shared, disputed = expected_entropy(probs, MM), mutual_information(probs, MM)
    np.testing.assert_allclose(predictive_entropy(probs, MM), shared + disputed, atol=1e-12)
    assert (disputed >= 0).all()
    assert (disputed <= math.log(min(members, channels)) + 1e-12).all()


def test_a_small_dispute_is_not_lost_in_rounding() -> None:
    members = np.zeros((2, 2, 1, 1, 1), dtype=np.float32)
    members[:, 0, 0, 0, 0] = 0.5 - 2.0**-12, 0.5 + 2.0**-12
    members[:, 1] = 1 - members[:, 0]
    found = mutual_information(members, MM).item()
    assert found == pytest.approx(2 * 2.0**-24, rel=1e-2)  # to the second order


@some_members
def test_scores_of_the_mean_are_what_scipy_and_sorting_give(
    seed: int, members: int, channels: int
) -> None:
    probs = dirichlet(seed, members, channels)
    mean, ascending = probs.mean(axis=0), np.sort(probs.mean(axis=0), axis=0)
    np.testing.assert_allclose(predictive_entropy(probs, MM), stats.entropy(mean), atol=1e-12)
    np.testing.assert_allclose(margin(probs, MM), 1 - (ascending[-1] - ascending[-2]))
    np.testing.assert_allclose(least_confidence(probs, MM), 1 - ascending[-1])
    np.testing.assert_array_equal(highest_two(probs)[2], mean.argmax(axis=0))


@some_members
def test_spread_and_votes_are_what_numpy_counts(seed: int, members: int, channels: int) -> None:
    probs = dirichlet(seed, members, channels)
    np.testing.assert_allclose(variance(probs, MM), probs.var(axis=0).sum(axis=0), atol=1e-12)
    votes = probs.argmax(axis=1)
    counts = [(votes == label).sum(axis=0) for label in range(channels)]
    np.testing.assert_allclose(vote_entropy(probs, MM), stats.entropy(counts), atol=1e-12)


@each
@given(seed=st.integers(0, 1000), order=st.permutations(range(4)))
def test_neither_the_order_of_members_nor_that_of_classes_matters(
    acquisition: Acquisition, seed: int, order: list[int]
) -> None:
    members = dirichlet(seed, 4, 4)
    scores = acquisition(members, MM)
    np.testing.assert_allclose(acquisition(members[order], MM), scores, atol=1e-12)
    np.testing.assert_allclose(acquisition(members[:, order], MM), scores, atol=1e-12)


@each
def test_a_broken_probability_stays_visible(acquisition: Acquisition) -> None:
    members = np.full((2, 3, 1, 1, 3), 1 / 3)
    members[1, 0, 0, 0, 1] = np.nan
    members[:, :, 0, 0, 2] = np.nan
    scores = acquisition(members, MM)
    np.testing.assert_array_equal(np.isnan(scores), [[[False, True, True]]])


@each
def test_rounding_gives_no_negative_and_no_infinite_score(acquisition: Acquisition) -> None:
    tiny = np.float32(1e-45)  # half of it is zero
    above = np.nextafter(np.float32(1), np.float32(2))
    members = np.array([[above, tiny], [1, 0]], dtype=np.float32).reshape(2, 2, 1, 1, 1)
    assert acquisition(members, MM) == pytest.approx(0, abs=2e-7)
    if acquisition not in {least_confidence, margin}:
        assert acquisition(members, MM) >= 0


@each
@pytest.mark.parametrize("shape", [(2, 1, 2, 2, 2), (0, 2, 2, 2, 2), (3, 2, 2, 2)])
def test_something_other_than_members_is_refused(
    acquisition: Acquisition, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="members have shape"):
        acquisition(np.ones(shape), MM)


def hard(*segmentations: list[int]) -> Members:
    """Members sure of the classes (of three) of four voxels in a row."""
    members = np.zeros((len(segmentations), 3, 1, 1, 4), dtype=np.float32)
    for member, classes in zip(members, segmentations, strict=True):
        member[classes, 0, 0, range(4)] = 1
    return members


def disagreement(members: Members, length: int) -> ScoreArray:
    return dice_disagreement(members, Lattice.of_sides((1, 1, 4), (1, 1, length)))


def test_members_disagree_by_one_minus_dice_with_their_mean() -> None:
    members = hard([1, 1, 2, 0], [1, 1, 2, 0], [0, 1, 2, 2])  # the mean is 1, 1, 2, 0
    label_1, label_2 = 1 - 2 / 3, 1 - 2 / 3
    np.testing.assert_allclose(disagreement(members, 4), [(label_1 + label_2) / 2 / 3])
    apart = [(1 - 2 / 3) / 2 / 3, (1 - 2 / 3) / 2 / 3]  # a label absent from both is agreed upon
    np.testing.assert_allclose(disagreement(members, 2), apart)


def test_members_that_agree_or_see_nothing_do_not_disagree() -> None:
    assert not disagreement(hard([0, 1, 1, 2]), 1).any()
    assert not disagreement(hard([0, 0, 0, 0], [0, 0, 0, 0]), 2).any()


def test_a_label_only_one_of_the_two_shows_is_all_disagreement() -> None:
    members = hard([0, 0, 0, 0], [0, 0, 0, 0], [2, 0, 0, 0])
    np.testing.assert_allclose(disagreement(members, 1), [1 / 2 / 3, 0, 0, 0])


def test_a_broken_probability_spoils_the_disagreement_of_its_region_only() -> None:
    members = hard([0, 1, 1, 2], [0, 1, 1, 2])
    members[1, 0, 0, 0, 3] = np.nan
    np.testing.assert_array_equal(np.isnan(disagreement(members, 2)), [False, True])
