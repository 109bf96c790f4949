"""What is read off a prediction: against volumes, distances and counts known beforehand."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import numpy.typing as npt
import pytest

from voxloop.predict.postprocess import LabelRule, PostProcessing
from voxloop.predict.quality.features import (
    CaseFeatures,
    LabelFeatures,
    disagreement_of,
    measure_prediction,
    structure_embedding,
)

SPACING_MM = (0.9, 1.1, 2.5)
SHAPE = (40, 36, 20)
VALUES = (2, 7)


def _ball(centre: tuple[int, int, int], radius_mm: float) -> npt.NDArray[np.float64]:
    """Signed distance in mm to a ball's surface, negative inside."""
    axes = [(np.arange(n) - c) * s for n, c, s in zip(SHAPE, centre, SPACING_MM, strict=True)]
    i, j, k = np.meshgrid(*axes, indexing="ij")
    return np.asarray(np.sqrt(i**2 + j**2 + k**2) - radius_mm)


def _probabilities(*labels: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    stacked = np.stack([1 - np.sum(labels, axis=0), *labels])
    return np.asarray(stacked, dtype=np.float32)


def _measure(*labels: npt.NDArray[np.float64], seed: int = 0) -> CaseFeatures:
    image = np.random.default_rng(seed).normal(size=(1, *SHAPE)).astype(np.float32)
    return measure_prediction(_probabilities(*labels), image, SPACING_MM, VALUES)


def _sure(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    return np.where(inside, 1.0, 0.0)


NOTHING = np.zeros(SHAPE)


def test_a_certain_ball_has_its_volume_place_and_no_doubt() -> None:
    inside = _ball((22, 17, 9), 9.0) < 0
    body, core = _measure(_sure(inside), NOTHING).labels
    assert body.value == 2
    assert body.volume_ml == pytest.approx(inside.sum() * 0.9 * 1.1 * 2.5 / 1000)
    assert body.expected_dice == pytest.approx(1)
    assert body.entropy == pytest.approx(0, abs=1e-4)
    assert body.displacement_mm == pytest.approx(0, abs=1e-6)
    assert (body.components, body.scattered, body.cut) == (1, 0.0, 0.0)
    assert body.centre_cm == pytest.approx((2.5 * 0.09, -0.5 * 0.11, -0.5 * 0.25))
    assert math.isnan(body.disagreement)
    assert core.is_empty
    assert math.isnan(core.expected_dice)


def test_expected_dice_is_the_mean_dice_with_truths_drawn_from_the_probabilities() -> None:
    p = np.clip(1 / (1 + np.exp(_ball((20, 18, 10), 10.0) / 1.5)), 0, 1)
    p[p < 0.02] = 0
    body = _measure(p, NOTHING).labels[0]
    rng = np.random.default_rng(3)
    predicted = p > 0.5
    drawn = []
    for _ in range(60):
        truth = rng.random(SHAPE) < p
        drawn.append(2 * (truth & predicted).sum() / (truth.sum() + predicted.sum()))
    assert body.expected_dice == pytest.approx(np.mean(drawn), abs=0.003)


def test_expected_displacement_is_that_of_a_surface_whose_place_is_uncertain() -> None:
    sd_mm = 2.0
    distance = _ball((20, 18, 10), 14.0)
    p = 1 / (1 + np.exp(distance * math.pi / math.sqrt(3) / sd_mm))  # logistic, that deviation
    body = _measure(p, NOTHING).labels[0]
    expected = sd_mm * math.sqrt(3) / math.pi * 2 * math.log(2)  # mean absolute deviation
    assert body.displacement_mm == pytest.approx(expected, rel=0.1)


def test_doubt_of_every_kind_grows_with_the_uncertainty() -> None:
    distance = _ball((20, 18, 10), 10.0)
    one, other = (_measure(1 / (1 + np.exp(distance / w)), NOTHING).labels[0] for w in (0.5, 2.0))
    assert one.expected_dice > other.expected_dice + 0.05
    assert one.entropy < other.entropy
    assert one.displacement_mm < other.displacement_mm


def test_pieces_are_counted_and_what_touches_the_border_is_cut() -> None:
    inside = (_ball((12, 18, 10), 8.0) < 0) | (_ball((30, 18, 10), 4.0) < 0)
    edge = _ball((38, 4, 2), 5.0) < 0
    body, core = _measure(_sure(inside), _sure(edge)).labels
    small = (_ball((30, 18, 10), 4.0) < 0).sum()
    assert body.components == 2
    assert body.scattered == pytest.approx(small / inside.sum())
    assert body.cut == 0
    assert 0.1 < core.cut < 0.6


def test_what_the_rules_remove_is_not_measured() -> None:
    large, small = _ball((12, 18, 10), 8.0) < 0, _ball((30, 18, 10), 4.0) < 0
    image = np.zeros((1, *SHAPE), np.float32)
    probabilities = _probabilities(_sure(large | small), NOTHING)
    rules = PostProcessing((LabelRule(2, largest_only=True),))
    found = measure_prediction(probabilities, image, SPACING_MM, VALUES, rules=rules).labels[0]
    assert (found.components, found.scattered) == (1, 0.0)
    assert found.volume_ml == pytest.approx(large.sum() * 0.9 * 1.1 * 2.5 / 1000)
    assert found.expected_dice < 0.95, "what was removed may be true"


def test_members_disagree_by_one_minus_their_mean_dice() -> None:
    inside = _ball((20, 18, 10), 8.0) < 0
    prediction = np.where(inside, 2, 0).astype(np.uint8)
    half = np.where(np.arange(SHAPE[0]) < 20, 1, 0).astype(np.uint8)[:, None, None] * prediction
    found = disagreement_of(prediction, iter([prediction, half]), VALUES)
    both = int((half == 2).sum()) + int(inside.sum())
    assert found[2] == pytest.approx((1 - 2 * int((half == 2).sum()) / both) / 2)
    assert math.isnan(found[7])
    assert math.isnan(disagreement_of(prediction, [], VALUES)[2])
    image = np.zeros((1, *SHAPE), np.float32)
    probabilities = _probabilities(_sure(inside), NOTHING)
    measured = measure_prediction(probabilities, image, SPACING_MM, VALUES, disagreement=found)
    assert measured.labels[0].disagreement == found[2]


def test_noise_shows_in_the_texture_and_scaling_does_not() -> None:
    smooth = _ball((20, 18, 10), 8.0).astype(np.float32)[None]
    noisy = smooth + np.random.default_rng(0).normal(0, 3, smooth.shape).astype(np.float32)
    probabilities = _probabilities(NOTHING, NOTHING)
    one, louder, other = (
        np.array(measure_prediction(probabilities, image, SPACING_MM, VALUES).texture)
        for image in (smooth, 3 * smooth, noisy)
    )
    np.testing.assert_allclose(one, louder, atol=1e-3)
    assert (other[1::2] > one[1::2] + 0.5).all()


def test_the_embedding_is_the_mean_over_the_structures_voxels() -> None:
    features = np.random.default_rng(0).normal(size=(3, 4, 3, 2)).astype(np.float32)
    label_map = (np.random.default_rng(1).random((10, 7, 5)) < 0.2).astype(np.uint8)
    total = np.zeros(3)
    for i, j, k in np.argwhere(label_map):
        total += features[:, i * 4 // 10, j * 3 // 7, k * 2 // 5]
    assert structure_embedding(features, label_map) == pytest.approx(total / label_map.sum())
    nothing = structure_embedding(features, np.zeros_like(label_map))
    assert nothing == pytest.approx(features.mean(axis=(1, 2, 3)))


def test_features_come_back_from_json_as_they_were() -> None:
    found = _measure(_sure(_ball((20, 18, 10), 8.0) < 0), NOTHING)
    found = dataclasses.replace(found, embedding=(1.5, -2.0))
    back = CaseFeatures.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    assert repr(back) == repr(found)  # NaN is not equal to itself
    assert back.labels[0] == dataclasses.replace(found.labels[0], disagreement=math.nan) or (
        repr(back.labels[0]) == repr(found.labels[0])
    )
    assert back.labels[1].is_empty
    assert isinstance(back.labels[0], LabelFeatures)


def test_one_probability_per_class_is_asked_for() -> None:
    image = np.zeros((1, *SHAPE), np.float32)
    with pytest.raises(ValueError, match="2 probabilities for 2 labels"):
        measure_prediction(_probabilities(NOTHING), image, SPACING_MM, VALUES)
