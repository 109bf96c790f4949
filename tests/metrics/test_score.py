from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.errors import DataError, UsageError
from voxloop.metrics.overlap import dice, measure_overlap
from voxloop.metrics.score import score_case, score_slices
from voxloop.metrics.surface import surface_scores
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import IGNORE, LabelTable
from voxloop.volume.volume import LabelMap

LABELS = LabelTable({2: "liver", 5: "spleen"})
GEOMETRY = oblique_geometry()


def two_organs(geometry: Geometry = GEOMETRY, offset_mm: float = 0.0) -> LabelMap:
    array = np.zeros(geometry.shape, dtype=np.uint8)
    array[ellipsoid_mask(geometry, (4.0, 6.0, 8.0), (-4.0 + offset_mm, 0.0, 0.0))] = 2
    array[ellipsoid_mask(geometry, (3.0, 3.0, 5.0), (5.0, offset_mm, 0.0))] = 5
    return LabelMap(array, geometry, LABELS)


def with_array(label_map: LabelMap, array: npt.NDArray[Any]) -> LabelMap:
    return LabelMap(array.astype(np.uint8), label_map.geometry, label_map.labels)


def test_every_label_is_scored_by_the_metrics_of_its_masks() -> None:
    reference, prediction = two_organs(), two_organs(offset_mm=1.5)
    scores = score_case("c1", reference, prediction, tolerance_mm=0.7)
    assert [(s.case_id, s.value, s.name) for s in scores] == [
        ("c1", 2, "liver"),
        ("c1", 5, "spleen"),
    ]
    for score in scores:
        masks = reference.mask(score.value), prediction.mask(score.value)
        surface = surface_scores(*masks, GEOMETRY, tolerance_mm=0.7)
        assert score.dice == dice(measure_overlap(*masks))
        assert 0 < score.dice < 1
        assert score.iou == pytest.approx(score.dice / (2 - score.dice))
        assert (score.hd95_mm, score.assd_mm) == (surface.hd95_mm, surface.assd_mm)
        assert (score.surface_dice, score.tolerance_mm) == (surface.surface_dice, 0.7)
        assert score.reference_ml == pytest.approx(reference.volume_ml(score.value))
        difference_ml = score.prediction_ml - score.reference_ml
        assert score.volume_difference_ml == pytest.approx(difference_ml)


def test_a_perfect_prediction_has_perfect_scores() -> None:
    for score in score_case("c", two_organs(), two_organs(), tolerance_mm=0):
        assert (score.dice, score.iou, score.surface_dice) == (1, 1, 1)
        assert (score.hd95_mm, score.assd_mm, score.volume_difference_percent) == (0, 0, 0)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_what_is_predicted_where_nobody_looked_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference, prediction = two_organs(), two_organs(offset_mm=1.5)
    ignored = rng.random(GEOMETRY.shape) < 0.4
    partial = with_array(reference, np.where(ignored, IGNORE, reference.array))
    noise = rng.choice([0, 2, 5, IGNORE], size=GEOMETRY.shape)
    noisy = with_array(prediction, np.where(ignored, noise, prediction.array))
    for score in (score_case, lambda *maps: score_slices(*maps, axis=0)):
        before, after = score("c", partial, prediction), score("c", partial, noisy)
        np.testing.assert_equal(repr(after), repr(before))


def test_slices_nobody_looked_at_are_not_scored() -> None:
    reference, prediction = two_organs(), two_organs(offset_mm=1.5)
    array = np.full(GEOMETRY.shape, IGNORE)
    array[..., [4, 7]] = reference.array[..., [4, 7]]
    partial = with_array(reference, array)
    scores = score_slices("c", partial, prediction, axis=2)
    assert [(s.value, s.index) for s in scores] == [(2, 4), (2, 7), (5, 4), (5, 7)]
    whole = score_slices("c", reference, prediction, axis=2)
    assert set(map(repr, scores)) <= set(map(repr, whole))


def test_the_background_is_scored_on_request_by_overlap_only() -> None:
    reference, prediction = two_organs(), two_organs(offset_mm=1.5)
    background, *labels = score_case("c", reference, prediction, with_background=True)
    overlap = measure_overlap(reference.array == 0, prediction.array == 0)
    assert (background.value, background.name) == (0, "background")
    assert background.dice == dice(overlap)
    assert math.isnan(background.hd95_mm)
    assert tuple(labels) == score_case("c", reference, prediction)


def test_labels_that_were_not_asked_for_are_not_scored() -> None:
    reference, prediction = two_organs(), two_organs(offset_mm=1.5)
    background, spleen = score_case("c", reference, prediction, asked={5}, with_background=True)
    assert spleen == score_case("c", reference, prediction)[1]
    overlap = measure_overlap(reference.array != 5, prediction.array != 5)
    assert background.dice == dice(overlap)


def test_another_grid_and_another_label_table_are_refused_together() -> None:
    other = Geometry.from_affine(GEOMETRY.shape, GEOMETRY.matrix * [[2], [2], [2], [1]])
    prediction = LabelMap(two_organs().array, other, LabelTable({2: "spleen", 5: "liver"}))
    with pytest.raises(DataError, match='case "c7": expected the prediction on the grid') as caught:
        score_case("c7", two_organs(), prediction)
    assert len(caught.value.problems) == 2
    assert "label table" in caught.value.problems[1].expected


def test_a_prediction_that_leaves_known_voxels_undecided_is_refused() -> None:
    array = two_organs().array.copy()
    array[3, 3, 3:5] = IGNORE
    with pytest.raises(DataError, match="found 2 ignored voxels"):
        score_case("c", two_organs(), with_array(two_organs(), array))


def test_a_reference_without_a_known_voxel_is_refused() -> None:
    nothing = with_array(two_organs(), np.full(GEOMETRY.shape, IGNORE))
    with pytest.raises(DataError, match="found only ignored voxels"):
        score_case("c", nothing, two_organs())


def test_values_and_axes_that_do_not_exist_are_refused() -> None:
    with pytest.raises(UsageError, match=r"labels \[3\] were asked for"):
        score_case("c", two_organs(), two_organs(), asked={3})
    with pytest.raises(UsageError, match="axis must be 0, 1 or 2, found 3"):
        score_slices("c", two_organs(), two_organs(), axis=3)
