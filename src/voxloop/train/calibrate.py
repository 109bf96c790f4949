"""Quality estimates and post-processing, both learned from predictions of cases left out."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.compute.atomic import write_json
from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.dataset.annotation import Target
from voxloop.io.formats import read_label_map
from voxloop.metrics.overlap import dice, measure_overlap
from voxloop.metrics.surface import surface_distances
from voxloop.model.checkpoint import load_checkpoint
from voxloop.predict.postprocess import LabelRule, PostProcessing, apply, apply_rule
from voxloop.predict.predictor import Predictor
from voxloop.predict.quality.assess import measure_case
from voxloop.predict.quality.calibration import Calibration, CalibrationCase, Outcome
from voxloop.predict.quality.features import CaseFeatures
from voxloop.predict.views import View
from voxloop.train.fold_model import Folders
from voxloop.train.loop import MODEL_FILE
from voxloop.train.prepare import AnnotatedCase
from voxloop.train.score import labels_shown
from voxloop.train.validate import Validation
from voxloop.volume.boxes import bounding_box
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelArray, LabelMap

__all__ = ["calibrate", "choose_postprocessing", "judge_prediction"]

Mask = npt.NDArray[np.bool_]
Judged = tuple[Target, LabelMap]

_FORMAT = "voxloop-prediction-features-1"

_CRUMBS = (0.01, 0.05, 0.2)
"""Least sizes of a piece that are tried, as shares of the label's median volume."""

_FEWEST_CASES = 5
"""With fewer cases no rule is chosen."""

_SURENESS = 2.0
"""A rule must improve the mean Dice by so many standard errors, since the best of several is
taken; one case alone, however much improved, never suffices."""


def calibrate(
    validation: Validation,
    cases: Sequence[AnnotatedCase],
    labels: LabelTable,
    folders: Folders,
    *,
    views: tuple[View, ...] = (),
    progress: ProgressSink = silent,
) -> tuple[Calibration, PostProcessing]:
    """Learn from a finished validation how to judge and to clean the next prediction.

    What is judged are cleaned predictions, since these are what is handed out. Each case is
    looked at once more by the model that did not learn from it; what was measured lies beside
    its predicted label map, so an interrupted call continues.

    Args:
        validation: what `validate` returned.
        cases: the same cases.
        labels: the label table.
        folders: the same folders.
        views: through which each case is predicted again, to see whether the model agrees with
            itself; each takes as long as a prediction.
        progress: receives cases done.

    Raises:
        DataError: if a fold's model or a prediction is missing or damaged.
        LimitError: if memory does not suffice.
    """
    by_id = {case.id: case for case in cases}
    folds = [fold for fold in enumerate(validation.folds) if fold[1].model]
    ids = sorted(case_id for _, fold in folds for case_id in fold.cases.validation)

    def predictions() -> Iterator[Judged]:
        for case_id in ids:
            yield by_id[case_id].target, read_label_map(folders.label_map(case_id), labels)

    rules = choose_postprocessing(predictions(), labels, _typical_ml(predictions(), labels))
    scored = {(score.case_id, score.value) for score in validation.scores}
    recipe = _Recipe(rules, views)
    found: list[CalibrationCase] = []
    for number, fold in folds:
        left_out = [by_id[case_id] for case_id in fold.cases.validation]
        model = folders.fold(number) / MODEL_FILE
        for case, features in _measured(left_out, folders, model, fold.model, recipe):
            raw = read_label_map(folders.label_map(case.id), labels)
            cleaned = apply(raw.array, rules, raw.geometry.spacing_mm)
            outcomes = judge_prediction(case.target, LabelMap(cleaned, raw.geometry, labels))
            kept = tuple(o for o in outcomes if (case.id, o.value) in scored)
            found.append(CalibrationCase(case.id, features, kept))
            progress(Progress("calibrating", len(found), len(ids), case.id))
    found.sort(key=lambda case: case.id)
    source = tuple(fold.model for _, fold in folds)
    names = tuple(view.name for view in views)
    return Calibration(labels.to_json(), tuple(found), source, names), rules


def judge_prediction(target: Target, prediction: LabelMap) -> tuple[Outcome, ...]:
    """What a prediction is worth by what was annotated, for each label that was asked for.

    The surface and the annotated volume count only where somebody looked for the label on every
    voxel of the box around annotation and prediction: a few slices show neither.
    """
    shown = labels_shown(target)
    found = []
    for value in target.labels.values:
        row_asks = np.array([value in asked for asked in target.asked_sets])
        if not row_asks.any():
            continue
        known: Mask = np.asarray(row_asks[target.asked])
        reference, predicted = known & (target.values == value), prediction.mask(value)
        overlap = measure_overlap(reference, known & predicted)
        whole = _is_whole(known, reference | predicted)
        surface_mm, reference_ml = math.nan, math.nan
        if whole:
            reference_ml = int(overlap.reference) * prediction.geometry.voxel_volume_mm3 / 1000
            surface_mm = surface_distances(reference, predicted, prediction.geometry).assd_mm()
        found.append(
            Outcome(
                value=value,
                dice=float(dice(overlap)),
                surface_mm=surface_mm,
                compared_vox=int(overlap.reference + overlap.prediction),
                reference_ml=reference_ml,
                shown=value in shown,
            )
        )
    return tuple(found)


def choose_postprocessing(
    judged: Iterable[Judged], labels: LabelTable, typical_ml: Mapping[int, float]
) -> PostProcessing:
    """Choose for each label what improves the Dice of cases left out beyond doubt, or nothing.

    First among ways to remove crumbs, then whether holes are filled. Dice is that of annotated
    voxels; where annotation and prediction both lack the label it counts as 1 here, so that a
    false alarm removed is a gain.

    Args:
        judged: what is known of each case, and its prediction; gone through once.
        labels: the label table.
        typical_ml: for each label its median volume, by which crumbs are small.
    """
    options = {value: _options(value, typical_ml.get(value, 0.0)) for value in labels.values}
    rows: dict[int, list[list[float]]] = {value: [] for value in labels.values}
    for target, prediction in judged:
        for value, rules in options.items():
            scores = _scores(target, prediction, rules)
            if scores is not None:
                rows[value].append(scores)
    return PostProcessing(
        tuple(_choice(options[value], np.array(rows[value])) for value in labels.values)
    )


@dataclass(frozen=True)
class _Recipe:
    """How predictions are cleaned and looked at before they are measured."""

    rules: PostProcessing
    views: tuple[View, ...]

    def to_json(self) -> dict[str, Any]:
        return {"rules": self.rules.to_json(), "views": [view.name for view in self.views]}


def _measured(
    cases: Sequence[AnnotatedCase],
    folders: Folders,
    model: Path,
    sha256: str,
    recipe: _Recipe,
) -> Iterator[tuple[AnnotatedCase, CaseFeatures]]:
    predictor: Predictor | None = None
    for case in cases:
        path = folders.predictions / f"{case.id}.features.json"
        key = {"format": _FORMAT, "scan": case.content, "model": sha256, **recipe.to_json()}
        features = _read_features(path, key)
        if features is None:
            predictor = predictor or Predictor(load_checkpoint(model))
            features = measure_case(predictor, case.read(), recipe.rules, recipe.views)
            write_json(path, {**key, "features": features.to_json()})
        yield case, features


def _read_features(path: Path, key: Mapping[str, Any]) -> CaseFeatures | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        document = json.loads(path.read_text(encoding="utf-8"))
        if all(document[name] == value for name, value in key.items()):
            return CaseFeatures.from_json(document["features"])
    return None


def _is_whole(known: Mask, structure: Mask) -> bool:
    i, j, k = known.shape
    box = bounding_box(structure)
    place = (slice(None),) * 3 if box is None else box.padded(1, (i, j, k)).slices
    return bool(known[place].all())


def _typical_ml(judged: Iterable[Judged], labels: LabelTable) -> dict[int, float]:
    """Median volume of each label over the cases that have it: annotated, or else predicted."""
    volumes: dict[int, list[float]] = {value: [] for value in labels.values}
    for target, prediction in judged:
        for outcome in judge_prediction(target, prediction):
            predicted = prediction.volume_ml(outcome.value)
            annotated = outcome.reference_ml
            volumes[outcome.value].append(predicted if math.isnan(annotated) else annotated)
    present = {value: [ml for ml in found if ml > 0] for value, found in volumes.items()}
    return {value: float(np.median(found)) for value, found in present.items() if found}


def _options(value: int, typical_ml: float) -> list[LabelRule]:
    """In pairs, with holes and with holes filled; the first pair leaves crumbs alone."""
    crumbs = [(False, 0.0), *((False, share * typical_ml) for share in _CRUMBS), (True, 0.0)]
    return [
        LabelRule(value, round(least_ml, 6), largest_only, fill)
        for largest_only, least_ml in crumbs
        for fill in (False, True)
    ]


def _scores(target: Target, prediction: LabelMap, rules: Sequence[LabelRule]) -> list[float] | None:
    """Dice under each rule; None if nobody looked for the label."""
    value = rules[0].value
    row_asks = np.array([value in asked for asked in target.asked_sets])
    if not row_asks.any():
        return None
    known = row_asks[target.asked]
    reference = known & (target.values == value)
    found: list[float] = []
    before: LabelArray | None = None
    for rule in rules:
        after = apply_rule(prediction.array, rule, prediction.geometry.spacing_mm)
        if after is not before:
            score = float(dice(measure_overlap(reference, known & (after == value))))
        before = after
        found.append(1.0 if math.isnan(score) else score)
    return found


def _choice(rules: Sequence[LabelRule], scores: npt.NDArray[np.float64]) -> LabelRule:
    """The rule that is chosen by Dice (cases, rules), with the reason."""
    plain, cases = rules[0], len(scores)
    if cases < _FEWEST_CASES:
        return _with_reason(plain, f"n = {cases} cases left out are too few to choose a rule")
    candidates = range(2, len(rules), 2)
    best = max(candidates, key=lambda index: float(scores[:, index].mean()))
    crumbs = best if _is_better(scores[:, best], scores[:, 0]) else 0
    chosen = crumbs
    if _is_better(scores[:, crumbs + 1], scores[:, crumbs]):
        chosen = crumbs + 1
    if chosen == 0:
        most = max(float(scores[:, index].mean()) for index in range(1, len(rules)))
        change = most - float(scores[:, 0].mean())
        return _with_reason(
            plain, f"no rule improves the Dice of {cases} cases beyond doubt ({change:+.4f})"
        )
    gain = scores[:, chosen] - scores[:, 0]
    error = float(gain.std(ddof=1)) / math.sqrt(cases)
    reason = f"Dice of {cases} cases left out {gain.mean():+.4f}, standard error {error:.4f}"
    return _with_reason(rules[chosen], reason)


def _is_better(scores: npt.NDArray[np.float64], than: npt.NDArray[np.float64]) -> bool:
    gain = scores - than
    error = float(gain.std(ddof=1)) / math.sqrt(len(gain))
    return float(gain.mean()) > max(_SURENESS * error, 1e-9)


def _with_reason(rule: LabelRule, reason: str) -> LabelRule:
    return LabelRule(rule.value, rule.least_ml, rule.largest_only, rule.fill_holes, reason)
