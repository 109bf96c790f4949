"""The quality a prediction is expected to have, and the verdict on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.predict.quality.calibration import (
    Calibration,
    LabelCalibration,
    distance_mm_of,
    share_of,
)
from voxloop.predict.quality.features import CaseFeatures, LabelFeatures
from voxloop.predict.quality.flags import Flag, case_flags, label_flags
from voxloop.predict.quality.regression import COVERAGE, MIN_CASES, JackknifePlus

__all__ = ["CaseQuality", "QualityEstimate", "estimate_quality"]

FloatArray = npt.NDArray[np.float64]
Three = tuple[float | None, float | None, float | None]

_NOTHING: Three = (None, None, None)

_FEW = 50
"""With fewer calibration cases the coverage depends noticeably on which these happened to be."""


@dataclass(frozen=True)
class QualityEstimate:
    """What one label of a prediction is expected to be worth; None where nothing can be said.

    Attributes:
        label: its name.
        dice: expected, 0 to 1.
        dice_low: lower bound of the interval.
        dice_high: upper bound.
        surface_mm: expected mean distance to the true surface (ASSD).
        surface_low: lower bound, mm.
        surface_high: upper bound, mm.
        n_calibration: cases that the Dice rests on.
        flags: what is odd about it.
        note: how sure the interval is, or why there is none, in words.
        part_dice: where no Dice is expected for lack of cases annotated as a whole, the one
            expected on voxels like those that were looked at. It puts predictions in order and
            promises nothing.
    """

    label: str
    dice: float | None
    dice_low: float | None
    dice_high: float | None
    surface_mm: float | None
    surface_low: float | None
    surface_high: float | None
    n_calibration: int
    flags: tuple[Flag, ...]
    note: str
    part_dice: float | None = None

    @property
    def order(self) -> float | None:
        """The lower, the sooner it is worth a look; None where nothing tells."""
        return self.part_dice if self.dice is None else self.dice

    def to_json(self) -> dict[str, Any]:
        """As a JSON-ready document."""
        return {**vars(self), "flags": [flag.to_json() for flag in self.flags]}


@dataclass(frozen=True)
class CaseQuality:
    """What a prediction is expected to be worth, label by label, and as a whole.

    Attributes:
        labels: one per label of the model.
        novelty: how far the case lies outside the training cases; above 1 it is unlike them.
        flags: in what it is unlike them.
    """

    labels: tuple[QualityEstimate, ...]
    novelty: float
    flags: tuple[Flag, ...]

    @property
    def check_before_use(self) -> bool:
        """True if anything is odd."""
        return bool(self.reasons)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why to check, in words: the scan's reasons first, then its labels'."""
        found = [*self.flags, *(flag for label in self.labels for flag in label.flags)]
        return tuple(flag.reason for flag in found)

    @property
    def verdict(self) -> str:
        """One sentence."""
        if not self.check_before_use:
            return "nothing unusual"
        return f"check before use: {'; '.join(self.reasons)}"

    def to_json(self) -> dict[str, Any]:
        """As a JSON-ready document."""
        return {
            "check_before_use": self.check_before_use,
            "verdict": self.verdict,
            "novelty": self.novelty,
            "flags": [flag.to_json() for flag in self.flags],
            "labels": [label.to_json() for label in self.labels],
        }


def estimate_quality(features: CaseFeatures, calibration: Calibration) -> CaseQuality:
    """Estimate what a prediction is worth from how the calibration's predictions fared.

    Intervals hold for cases like those calibrated on; for a case that is flagged as unlike them
    nothing is promised.
    """
    novelty = max(calibration.novelty(features).values(), default=0.0)
    names = {value: name for name, value in calibration.labels.items()}
    return CaseQuality(
        labels=tuple(
            _within(
                _estimate(names[label.value], label, calibration, max(novelty, 1e-3)),
                _longest_mm(features),
            )
            for label in features.labels
            if label.value in names
        ),
        novelty=novelty,
        flags=case_flags(features, calibration),
    )


def _estimate(
    name: str, label: LabelFeatures, calibration: Calibration, novelty: float
) -> QualityEstimate:
    known = calibration.by_label[label.value]
    dice = surface = part = _NOTHING
    if not label.is_empty:
        inputs = known.inputs(label, novelty)
        dice = _expected(known.dice, inputs, share_of)
        part = _expected(known.part, inputs, share_of)
        surface = _expected(known.surface, inputs, distance_mm_of)
    return QualityEstimate(
        name,
        *dice,
        *surface,
        n_calibration=known.dice_cases,
        flags=label_flags(name, label, calibration),
        note=_note(label, known),
        part_dice=part[0],
    )


def _longest_mm(features: CaseFeatures) -> float:
    """From one corner of the field of view to the other: no surface is further off."""
    return math.hypot(*(math.exp(length) for length in features.extent[:3])) or math.inf


def _within(estimate: QualityEstimate, longest_mm: float) -> QualityEstimate:
    """The same with distances that are possible, however far from all training cases it lies."""
    middle, low, high = (
        None if mm is None else min(mm, longest_mm)
        for mm in (estimate.surface_mm, estimate.surface_low, estimate.surface_high)
    )
    return replace(estimate, surface_mm=middle, surface_low=low, surface_high=high)


def _expected(
    regression: JackknifePlus | None, inputs: FloatArray, back: Callable[[float], float]
) -> Three:
    if regression is None:
        return _NOTHING
    middle, low, high = map(back, regression.predict(inputs))
    return middle, low, high


def _note(label: LabelFeatures, known: LabelCalibration) -> str:
    n = known.dice_cases
    if label.is_empty:
        return "not predicted anywhere: there is nothing to estimate from"
    if known.dice is None:
        text = f"n = {n} is too small to calibrate; it takes {MIN_CASES} cases left out"
        if known.part_cases:
            text += f", annotated as a whole about the label; {known.part_cases} were in part"
        if known.part is not None:
            text += ", which is enough to put predictions in order"
        return text
    text = f"calibrated on {n} cases: the interval holds the truth in about {COVERAGE:.0%} of such"
    if n < _FEW:
        text += f"; with so few that may really be {COVERAGE - _slack(n):.0%}"
    if known.surface is None:
        text += f"; n = {known.surface_cases} whole surfaces are too few to calibrate distances"
    return text


def _slack(n: int) -> float:
    """A standard deviation of the coverage, given the calibration cases that happened to be drawn.

    It is distributed as Beta(k, n + 1 - k) with k the order statistic taken (Vovk 2012).
    """
    k = math.ceil(COVERAGE * (n + 1))
    a, b = k, n + 1 - k
    return math.sqrt(a * b / ((a + b) ** 2 * (a + b + 1)))
