"""Why a prediction should be looked at before it is used, in words and in numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from voxloop.predict.quality.calibration import Calibration, LabelCalibration
from voxloop.predict.quality.features import CaseFeatures, LabelFeatures
from voxloop.predict.quality.groups import GROUP_WORDS, logit
from voxloop.predict.quality.novelty import upper_limit

__all__ = ["Flag", "FlagKind", "case_flags", "label_flags"]

_LEAST_SHARE = 0.02
"""Crumbs smaller than this share, or so small a contact with the border, change no decision."""

_LEAST_VOLUME_SD = 0.05
"""Volumes in training vary by so much at least (logarithm)."""


class FlagKind(StrEnum):
    """What is odd about a prediction."""

    UNLIKE = "unlike_training"
    FRAGMENTED = "fragmented"
    CUT = "cut_by_field_of_view"
    VOLUME = "volume_out_of_range"
    DISAGREEMENT = "members_disagree"
    DOUBT = "model_unsure"
    EMPTY = "empty"


@dataclass(frozen=True)
class Flag:
    """One reason to look before use.

    Attributes:
        kind: for programs.
        reason: for a person, a clause that needs no other.
        value: what was found.
        limit: what cases like the training ones stay within.
    """

    kind: FlagKind
    reason: str
    value: float
    limit: float

    def to_json(self) -> dict[str, Any]:
        """As a JSON-ready document."""
        return {
            "kind": self.kind.value,
            "reason": self.reason,
            "value": self.value,
            "limit": self.limit,
        }


def case_flags(features: CaseFeatures, calibration: Calibration) -> tuple[Flag, ...]:
    """In what the scan as a whole is unlike the training cases, the worst first."""
    found = calibration.novelty(features)
    return tuple(
        Flag(FlagKind.UNLIKE, GROUP_WORDS[name], ratio, 1.0)
        for name, ratio in sorted(found.items(), key=lambda item: -item[1])
        if ratio > 1
    )


def label_flags(name: str, label: LabelFeatures, calibration: Calibration) -> tuple[Flag, ...]:
    """What is odd about the prediction of one label.

    Limits are those that the next case like the training cases stays within, all checks of all
    labels together in most cases; with one or two training cases there are none.
    """
    known = calibration.by_label[label.value]
    if label.is_empty:
        if not known.always_present:
            return ()
        present = len(calibration.cases)
        reason = f"no {name} was found, which all {present} training cases have"
        return (Flag(FlagKind.EMPTY, reason, 0.0, 0.0),)
    quantile = calibration.label_quantile
    checks = (
        _fragmented(name, label, known, quantile),
        _cut(name, label, known, quantile),
        _volume(name, label, known, quantile),
        _disagreement(name, label, known, quantile),
        _doubt(name, label, known, quantile),
    )
    return tuple(flag for flag in checks if flag is not None)


def _fragmented(
    name: str, label: LabelFeatures, known: LabelCalibration, quantile: float
) -> Flag | None:
    limit = max(_LEAST_SHARE, upper_limit([f.scattered for f in known.features], quantile))
    if label.scattered <= limit:
        return None
    reason = (
        f"the {name} is in {label.components} pieces, {label.scattered:.0%} of it outside the "
        "largest"
    )
    return Flag(FlagKind.FRAGMENTED, reason, label.scattered, limit)


def _cut(name: str, label: LabelFeatures, known: LabelCalibration, quantile: float) -> Flag | None:
    limit = max(_LEAST_SHARE, upper_limit([f.cut for f in known.features], quantile))
    if label.cut <= limit:
        return None
    reason = f"the {name} is cut off: {label.cut:.0%} of its surface is the scan's border"
    return Flag(FlagKind.CUT, reason, label.cut, limit)


def _volume(
    name: str, label: LabelFeatures, known: LabelCalibration, quantile: float
) -> Flag | None:
    logs = np.log(known.volumes_ml)
    if len(logs) < 3:
        return None
    middle, size = float(logs.mean()), math.log(label.volume_ml)
    # one more than the deviation seen, so that equal volumes still leave some room
    around = [*(logs - middle), *(middle - logs)]
    reach = max(upper_limit(around, quantile), 2 * _LEAST_VOLUME_SD)
    if abs(size - middle) <= reach:
        return None
    low, high = math.exp(middle - reach), math.exp(middle + reach)
    reason = f"the {name} has {label.volume_ml:.3g} ml, in training {low:.3g} to {high:.3g} ml"
    return Flag(FlagKind.VOLUME, reason, label.volume_ml, high if size > middle else low)


def _disagreement(
    name: str, label: LabelFeatures, known: LabelCalibration, quantile: float
) -> Flag | None:
    limit = upper_limit([f.disagreement for f in known.features], quantile)
    if math.isnan(label.disagreement) or label.disagreement <= max(limit, _LEAST_SHARE):
        return None
    reason = f"models or views agree on the {name} with a Dice of {1 - label.disagreement:.2f} only"
    return Flag(FlagKind.DISAGREEMENT, reason, label.disagreement, limit)


def _doubt(
    name: str, label: LabelFeatures, known: LabelCalibration, quantile: float
) -> Flag | None:
    seen = [-logit(feature.expected_dice) for feature in known.features]
    limit = 1 / (1 + math.exp(min(upper_limit(seen, quantile), 700.0)))
    if label.expected_dice >= limit or label.expected_dice > 1 - _LEAST_SHARE:
        return None
    reason = (
        f"the model itself expects a Dice of {label.expected_dice:.2f} for the {name}, less than "
        "in any training case"
    )
    return Flag(FlagKind.DOUBT, reason, label.expected_dice, limit)
