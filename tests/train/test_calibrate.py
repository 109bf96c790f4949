"""Evidence from cases left out: what they were worth, what helps them, and that nothing is lost."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import pytest

from phantoms import ellipsoid_mask, oblique_geometry
from plans import narrow_networks
from voxloop.dataset.annotation import Target, annotate_region, merge
from voxloop.io.formats import read_label_map
from voxloop.metrics.score import score_case
from voxloop.model.checkpoint import load_checkpoint
from voxloop.predict.postprocess import apply
from voxloop.predict.predictor import Predictor
from voxloop.predict.quality.assess import Assessor
from voxloop.predict.quality.calibration import Calibration
from voxloop.predict.views import VIEWS
from voxloop.train import calibrate as calibrate_module
from voxloop.train.calibrate import (
    calibrate,
    choose_postprocessing,
    judge_prediction,
)
from voxloop.train.config import TrainConfig
from voxloop.train.fold_model import Folders
from voxloop.train.prepare import AnnotatedCase
from voxloop.train.score import score_annotated
from voxloop.train.validate import Validation, validate
from voxloop.volume.boxes import Box
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelArray, LabelMap, Volume

GEOMETRY = oblique_geometry((14, 16, 9), spacing_mm=(1.6, 1.8, 2.5))
LABELS = LabelTable({3: "body", 7: "core"})
WHOLE = Box.whole(GEOMETRY.shape)
BOTH = frozenset({3, 7})


class KilledError(Exception):
    """Stands for a model that must not be needed."""


CONFIG = TrainConfig(steps=2, save_seconds=0.0, learning_rate=2e-2)


@pytest.fixture(scope="module", autouse=True)
def _small_network() -> Iterator[None]:
    with narrow_networks("voxloop.train.fold_model"):
        yield


def _truth(number: int = 0) -> LabelArray:
    offset = (0.5 * number, -0.4 * number, 0.3)
    array = np.where(ellipsoid_mask(GEOMETRY, (7.0, 8.0, 7.0), offset), 3, 0)
    return np.where(ellipsoid_mask(GEOMETRY, (3.0, 3.5, 4.0), offset), 7, array).astype(np.uint8)


def _map(array: LabelArray) -> LabelMap:
    return LabelMap(array, GEOMETRY, LABELS)


def _target(truth: LabelArray, box: Box = WHOLE, asked: frozenset[int] = BOTH) -> Target:
    return merge([annotate_region(_map(truth), [box], asked)], GEOMETRY.shape, LABELS)


def test_a_wholly_annotated_case_is_judged_as_any_evaluation_would() -> None:
    predicted = np.roll(_truth(), 1, axis=0)
    expected = score_case("a", _map(_truth()), _map(predicted))
    found = judge_prediction(_target(_truth()), _map(predicted))
    for outcome, score in zip(found, expected, strict=True):
        assert outcome.value == score.value
        assert outcome.dice == pytest.approx(score.dice)
        assert outcome.surface_mm == pytest.approx(score.assd_mm)
        assert outcome.reference_ml == pytest.approx(score.reference_ml)
        assert outcome.shown


def test_a_few_slices_show_a_dice_but_neither_surface_nor_volume() -> None:
    slices = Box((0, 0, 3), (14, 16, 5))
    predicted = np.roll(_truth(), 1, axis=0)
    (body,) = judge_prediction(_target(_truth(), slices, frozenset({3})), _map(predicted))
    a, b = (array[:, :, 3:5] == 3 for array in (_truth(), predicted))
    assert body.dice == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
    assert body.compared_vox == a.sum() + b.sum()
    assert math.isnan(body.surface_mm)
    assert math.isnan(body.reference_ml)


def test_a_box_around_the_structure_shows_its_surface() -> None:
    box = Box((1, 1, 0), (13, 15, 9))
    predicted = _truth()
    core = judge_prediction(_target(_truth(), box), _map(predicted))[1]
    assert core.surface_mm == 0
    assert core.reference_ml == pytest.approx(_map(_truth()).volume_ml(7))


def _crumbled(truth: LabelArray, count: int, seed: int) -> LabelArray:
    found = truth.copy()
    free = np.argwhere(truth == 0)
    chosen = np.random.default_rng(seed).choice(len(free), count, replace=False)
    found[tuple(free[chosen].T)] = 7
    return found


def _chosen(judged: list[tuple[Target, LabelMap]]) -> Any:
    return choose_postprocessing(iter(judged), LABELS, {3: 2.0, 7: 0.5}).rules


def test_crumbs_that_are_always_wrong_are_removed() -> None:
    judged = [
        (_target(_truth(n)), _map(_crumbled(_truth(n), 12 + 2 * n, n))) for n in range(6)
    ]  # fmt: skip
    body, core = _chosen(judged)
    assert body.does_nothing
    assert core.largest_only or core.least_ml
    assert not core.fill_holes
    assert core.reason.startswith("Dice of 6 cases left out +0.")


def test_holes_that_are_always_wrong_are_filled() -> None:
    judged = []
    for number in range(6):
        holed = _truth(number)
        inner = np.argwhere(holed == 7).mean(axis=0).round().astype(int)
        holed[tuple(inner)] = 0
        judged.append((_target(_truth(number)), _map(holed)))
    body, core = _chosen(judged)
    assert core.fill_holes
    assert not core.largest_only
    assert core.least_ml == 0
    assert body.does_nothing, "the hole is enclosed by the core, not by the body"


def test_what_helps_one_case_only_or_harms_the_rest_is_not_chosen() -> None:
    judged = [(_target(_truth(n)), _map(_truth(n))) for n in range(7)]
    judged[0] = (_target(_truth()), _map(_crumbled(_truth(), 40, 0)))
    assert all(rule.does_nothing for rule in _chosen(judged))
    two = [_crumbled(_truth(n), 15, n) for n in range(6)]
    harmed = [(_target(truth), _map(truth)) for truth in two]  # the crumbs are right
    assert all(rule.does_nothing for rule in _chosen(harmed))
    few = _chosen(judged[:4])
    assert "n = 4 cases left out are too few" in few[0].reason


def _case(number: int) -> AnnotatedCase:
    noise = np.random.default_rng(number).normal(0, 0.2, GEOMETRY.shape)
    volume = Volume((_truth(number % 5) / 3 + noise).astype(np.float32), GEOMETRY)
    target = _target(_truth(number % 5))
    return AnnotatedCase(f"case{number:02d}", lambda: (volume,), GEOMETRY, target, f"s{number}")


@dataclass(frozen=True, eq=False)
class Validated:
    """Five cases, each predicted by a model that did not learn from it."""

    cases: list[AnnotatedCase]
    found: Validation
    folders: Folders


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory, _small_network: None) -> Validated:
    folder = tmp_path_factory.mktemp("validated")
    cases = [_case(number) for number in range(5)]
    folders = Folders(
        lambda number: folder / "folds" / str(number), folder / "predictions", folder / "cache"
    )
    return Validated(
        cases, validate(cases, LABELS, ("CT",), CONFIG, folders, folds=2), folders
    )  # fmt: skip


def test_a_validation_gives_a_calibration_that_judges_the_next_case(validated: Validated) -> None:
    cases, found, folders = validated.cases, validated.found, validated.folders
    calibration, rules = calibrate(found, cases, LABELS, folders, views=VIEWS[6:7])
    assert [case.id for case in calibration.cases] == [case.id for case in cases]
    assert {rule.value for rule in rules.rules} == {3, 7}
    assert all(rule.reason for rule in rules.rules)
    assert calibration.views == ("brighter",)
    by_id = {case.id: case for case in cases}
    for case in calibration.cases:
        raw = read_label_map(folders.label_map(case.id), LABELS)
        cleaned = _map(apply(raw.array, rules, GEOMETRY.spacing_mm))
        for outcome, score in zip(
            case.outcomes, score_annotated(case.id, by_id[case.id].target, cleaned), strict=True
        ):
            assert outcome.dice == pytest.approx(score.dice, nan_ok=True)
    document = json.loads(json.dumps(calibration.to_json(), allow_nan=False))
    assert Calibration.from_json(document).to_json() == calibration.to_json()

    model = load_checkpoint(folders.fold(0) / "model.safetensors")
    predictor, channels = Predictor(model), _case(11).read()
    quality = Assessor(predictor, calibration, rules)(channels, predictor.segment(channels))
    assert {label.label for label in quality.labels} == {"body", "core"}
    json.dumps(quality.to_json(), allow_nan=False)


def test_cases_that_were_measured_are_not_predicted_again(
    validated: Validated, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases, found, folders = validated.cases, validated.found, validated.folders
    first, _ = calibrate(found, cases, LABELS, folders)
    monkeypatch.setattr(calibrate_module, "load_checkpoint", mock.Mock(side_effect=KilledError))
    again, _ = calibrate(found, cases, LABELS, folders)
    assert again.to_json() == first.to_json()
    (folders.predictions / "case01.features.json").write_text("{}")
    with pytest.raises(KilledError, match=r"^$"):
        calibrate(found, cases, LABELS, folders)
