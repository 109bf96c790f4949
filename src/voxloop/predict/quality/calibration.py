"""What predictions of cases left out turned out to be worth, and what follows for the next one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.compute.atomic import write_json
from voxloop.errors import DataError, Problem
from voxloop.predict.quality.features import CaseFeatures, LabelFeatures
from voxloop.predict.quality.groups import EDGE, GROUP_WORDS, case_groups, logit
from voxloop.predict.quality.novelty import Reference
from voxloop.predict.quality.regression import JackknifePlus, fit_jackknife_plus

__all__ = [
    "Calibration",
    "CalibrationCase",
    "LabelCalibration",
    "Outcome",
    "distance_mm_of",
    "load_calibration",
    "save_calibration",
    "share_of",
]

FloatArray = npt.NDArray[np.float64]

_FORMAT = "voxloop-calibration-1"

_FALSE_ALARMS = 0.05
"""Of cases like the training ones, about so many may be flagged, all checks taken together."""

LABEL_CHECKS = 6
"""Kinds of flags that one label can raise."""

_INPUTS = 7
"""Numbers that the regressions look at."""

_LEAST_MM = 0.05
"""Surface errors are not told apart below about this."""


@dataclass(frozen=True)
class Outcome:
    """What a prediction of one label of a case left out turned out to be worth.

    Attributes:
        value: of the label.
        dice: on the voxels where somebody looked for it; NaN if undefined.
        surface_mm: mean distance of the surfaces (ASSD); NaN where the annotation shows no whole
            surface.
        compared_vox: voxels of annotation and prediction that the Dice rests on.
        reference_ml: annotated volume; NaN where only a part was annotated.
        shown: the annotation shows the label.
    """

    value: int
    dice: float
    surface_mm: float
    compared_vox: int
    reference_ml: float
    shown: bool

    @property
    def is_whole(self) -> bool:
        """True if the label was looked for on every voxel about annotation and prediction."""
        return not math.isnan(self.reference_ml)


@dataclass(frozen=True)
class CalibrationCase:
    """A case left out: what its prediction looked like, and what it was worth.

    Attributes:
        id: of the case.
        features: of the prediction.
        outcomes: of the labels that were asked for in it.
    """

    id: str
    features: CaseFeatures
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True)
class LabelCalibration:
    """What is known of one label; a regression is None with too few cases.

    Attributes:
        volumes_ml: of the label in training, annotated where all of it was, else predicted.
        features: of each prediction that holds the label.
        centre: (p,), mean of the regressions' inputs.
        dice: gives the logit of the Dice.
        dice_cases: how many cases it rests on: those annotated as a whole about the label. What a
            prediction is worth on slices that somebody chose, say because the structure is in
            them, tells little of what it is worth elsewhere.
        part_cases: how many more were annotated in part.
        part: gives the logit of the Dice on voxels like those looked at, whole or in part: enough
            to put predictions in order, too little to promise; only where there is no `dice`.
        surface: gives the logarithm of the surface error in mm.
        surface_cases: how many cases it rests on.
        always_present: every training case has the label.
    """

    volumes_ml: tuple[float, ...]
    features: tuple[LabelFeatures, ...]
    centre: FloatArray
    dice: JackknifePlus | None
    dice_cases: int
    part_cases: int
    part: JackknifePlus | None
    surface: JackknifePlus | None
    surface_cases: int
    always_present: bool

    def inputs(self, label: LabelFeatures, novelty: float) -> FloatArray:
        """What the regressions look at, for a prediction of this label."""
        return _inputs(label, novelty, self.volumes_ml) - self.centre


@dataclass(frozen=True)
class Calibration:
    """The evidence, from which all else is derived when it is asked for.

    Attributes:
        labels: name to value.
        cases: left out in turn, ascending by id.
        source: hashes of the models that predicted them, so that it is known what it is about.
        views: names of the views through which the cases were also predicted, to see whether the
            model agrees with itself; the next case is to be measured through the same ones.
    """

    labels: Mapping[str, int]
    cases: tuple[CalibrationCase, ...]
    source: tuple[str, ...] = ()
    views: tuple[str, ...] = ()

    @cached_property
    def references(self) -> dict[str, Reference]:
        """For each group of numbers that all cases have, how the training cases lie in it."""
        rows = [case_groups(case.features) for case in self.cases]
        found = {}
        quantile = 1 - _FALSE_ALARMS / 2 / len(GROUP_WORDS)
        for name in GROUP_WORDS:
            sizes = {len(row[name]) for row in rows}
            if len(sizes) == 1 and sizes != {0}:
                found[name] = Reference(np.array([row[name] for row in rows]), quantile)
        return found

    @property
    def label_quantile(self) -> float:
        """What one check of one label lets pass, so that few cases raise any."""
        return 1 - _FALSE_ALARMS / 2 / (LABEL_CHECKS * max(len(self.labels), 1))

    @cached_property
    def by_label(self) -> dict[int, LabelCalibration]:
        """What is known of each label."""
        strange = np.zeros(len(self.cases))
        for reference in self.references.values():
            strange = np.maximum(strange, reference.left_out_ratios)
        return {
            value: self._calibrate(value, np.maximum(strange, 1e-3))
            for value in self.labels.values()
        }

    def novelty(self, features: CaseFeatures) -> dict[str, float]:
        """By group, how far outside the training cases a case lies: above 1 it is outside."""
        groups = case_groups(features)
        return {name: self.references[name].ratio(groups[name]) for name in self.references}

    def to_json(self) -> dict[str, Any]:
        """As a JSON-ready document."""
        return {
            "format": _FORMAT,
            "labels": dict(self.labels),
            "source": list(self.source),
            "views": list(self.views),
            "cases": [
                {
                    "id": case.id,
                    "features": case.features.to_json(),
                    "outcomes": [_nulled(vars(outcome)) for outcome in case.outcomes],
                }
                for case in self.cases
            ],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any], where: str = "calibration") -> Calibration:
        """Read what `to_json` wrote.

        Raises:
            DataError: if the document is not a calibration of this version.
        """
        try:
            _check_format(document)
            cases = tuple(
                CalibrationCase(
                    entry["id"],
                    CaseFeatures.from_json(entry["features"]),
                    tuple(Outcome(**_with_nan(outcome)) for outcome in entry["outcomes"]),
                )
                for entry in document["cases"]
            )
            source, views = tuple(document["source"]), tuple(document["views"])
            return cls(dict(document["labels"]), cases, source, views)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            remedy = "run `voxloop validate` again"
            raise DataError(Problem(where, f"a {_FORMAT} document", f"{error}", remedy)) from error

    def _calibrate(self, value: int, strange: FloatArray) -> LabelCalibration:
        known = [
            (label, outcome, float(novelty))
            for case, novelty in zip(self.cases, strange, strict=True)
            for label in case.features.labels
            for outcome in case.outcomes
            if label.value == outcome.value == value
        ]
        volumes = tuple(
            volume
            for label, outcome, _ in known
            if (volume := _known_or(outcome.reference_ml, label.volume_ml)) > 0
        )
        drawn = [row for row in known if not row[0].is_empty]
        x = np.array([_inputs(label, novelty, volumes) for label, _, novelty in drawn])
        x = x.reshape(len(drawn), _INPUTS)
        finite = np.isfinite(x)
        centre = np.where(finite, x, 0).sum(axis=0) / np.maximum(finite.sum(axis=0), 1)
        anywhere = np.array([logit(outcome.dice) for _, outcome, _ in drawn])
        is_whole = np.array([outcome.is_whole for _, outcome, _ in drawn], dtype=bool)
        whole = np.where(is_whole, anywhere, math.nan)
        surface = np.array([math.log(outcome.surface_mm + _LEAST_MM) for _, outcome, _ in drawn])
        weights = _weights([outcome.compared_vox for _, outcome, _ in drawn])
        dice = _fit(x - centre, whole, weights, -1.0)
        return LabelCalibration(
            volumes_ml=volumes,
            features=tuple(label for label, _, _ in drawn),
            centre=centre,
            dice=dice,
            dice_cases=int(np.isfinite(whole).sum()),
            part_cases=int((~is_whole).sum()),
            part=None if dice is not None else _fit(x - centre, anywhere, weights, -1.0),
            surface=_fit(x - centre, surface, weights, 1.0),
            surface_cases=int(np.isfinite(surface).sum()),
            always_present=bool(known) and all(o.shown or not f.is_empty for f, o, _ in known),
        )


def load_calibration(path: Path) -> Calibration:
    """Read a calibration that `save_calibration` wrote.

    Raises:
        DataError: if the file is missing, is not JSON, or is no calibration of this version.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        remedy = "run `voxloop validate` again"
        raise DataError(Problem(str(path), "a calibration", f"{error}", remedy)) from error
    return Calibration.from_json(document, str(path))


def save_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration as JSON, atomically."""
    write_json(path, calibration.to_json())


def share_of(value: float) -> float:
    """The Dice whose logit a regression gave, 0 to 1; beyond what is told apart it is 0 or 1."""
    share = 1 / (1 + math.exp(-min(max(value, -50.0), 50.0)))
    if math.isinf(value) or not EDGE < share < 1 - EDGE:
        return float(round(share))
    return share


def distance_mm_of(value: float) -> float:
    """The distance in mm whose logarithm a regression gave, 0 or more."""
    return max(math.exp(min(value, 700.0)) - _LEAST_MM, 0.0)


def _inputs(label: LabelFeatures, novelty: float, volumes_ml: tuple[float, ...]) -> FloatArray:
    """Each the larger the more there is to doubt."""
    odd = math.nan
    if len(volumes_ml) > 1 and not label.is_empty:
        logs = np.log(volumes_ml)
        odd = abs(math.log(label.volume_ml) - logs.mean()) / max(float(logs.std()), _LEAST_MM)
    return np.array(
        [
            -logit(label.expected_dice),
            math.log(label.displacement_mm + _LEAST_MM),
            logit(label.entropy),
            logit(label.disagreement),
            math.log(label.scattered + 0.01),
            min(odd, 5.0),
            math.log(novelty),
        ]
    )


def _fit(x: FloatArray, y: FloatArray, weights: FloatArray, sign: float) -> JackknifePlus | None:
    known = np.isfinite(y)
    return fit_jackknife_plus(x[known], y[known], weights[known], sign)


def _weights(compared_vox: list[int]) -> FloatArray:
    """A Dice of few voxels is noisy: its variance falls with their number to that of the cases."""
    counts = np.maximum(np.array(compared_vox, dtype=float), 1)
    return np.asarray(counts / (counts + np.median(counts))) if len(counts) else counts


def _check_format(document: Mapping[str, Any]) -> None:
    if document["format"] != _FORMAT:
        raise ValueError(f"format {document['format']!r}")


def _known_or(value: float, other: float) -> float:
    return other if math.isnan(value) else value


def _nulled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }


def _with_nan(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: math.nan if value is None else value for key, value in document.items()}
