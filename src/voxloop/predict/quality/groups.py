"""A case's numbers in groups that mean something to a person, so that a reason can be given."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from voxloop.predict.quality.features import CaseFeatures, LabelFeatures

__all__ = ["EDGE", "GROUP_WORDS", "case_groups", "logit"]

FloatArray = npt.NDArray[np.float64]

GROUP_WORDS = {
    "intensity": "its intensities are unlike those of the training scans",
    "texture": "it is noisier or smoother than the training scans",
    "extent": "its field of view or its spacing is unlike the training scans'",
    "size": "its structures have a size or a shape that none had in training",
    "place": "its structures lie where none lay in training",
    "arrangement": "its structures lie to one another as none did in training",
    "appearance": "its structures are as bright or as dark as none were in training",
    "doubt": "the model is less sure of it than of any training scan",
    "embedding": "the network sees in it what it did not see in training",
}
"""The groups, and what it means if a case lies outside."""

EDGE = 0.01
"""Shares are not told apart nearer to 0 or 1 than this."""


def case_groups(features: CaseFeatures) -> dict[str, FloatArray]:
    """The numbers of a case by group; NaN where a label is not predicted."""
    labels = features.labels
    seen = [label.centre_cm for label in labels if not label.is_empty]
    middle = np.mean(seen, axis=0) if seen else np.zeros(3)
    centres = [_triple(label.centre_cm) for label in labels]
    # in sizes of the structures, so that growth does not hide what is upside down
    sizes = [float(np.linalg.norm(label.spread_cm)) for label in labels if not label.is_empty]
    unit_cm = max(float(np.mean(sizes)), EDGE) if sizes else 1.0
    apart = [(centre - middle) / unit_cm for centre in centres]
    width = max((len(label.appearance) for label in labels), default=0)
    return {
        "intensity": np.array(features.intensity),
        "texture": np.array(features.texture),
        "extent": np.array(features.extent),
        "size": _joined(_size(label) for label in labels),
        "place": _joined(centres),
        "arrangement": _joined(apart) if len(labels) > 1 else np.array([]),
        "appearance": _joined(
            label.appearance or np.full(width, math.nan) for label in labels
        ),
        "doubt": _joined(
            (logit(label.expected_dice), _log(label.displacement_mm), logit(label.entropy))
            for label in labels
        ),
        "embedding": np.array(features.embedding),
    }  # fmt: skip


def logit(share: float) -> float:
    """Of a share from 0 to 1, finite; NaN stays NaN."""
    if math.isnan(share):
        return math.nan
    kept = min(max(share, EDGE), 1 - EDGE)
    return math.log(kept / (1 - kept))


def _size(label: LabelFeatures) -> FloatArray:
    if label.is_empty:
        return np.full(4, math.nan)
    return np.log([label.volume_ml, *(spread + 0.01 for spread in label.spread_cm)])


def _triple(values: tuple[float, ...]) -> FloatArray:
    return np.array(values) if values else np.full(3, math.nan)


def _log(value: float) -> float:
    return math.log(value + EDGE)


def _joined(parts: Iterable[npt.ArrayLike]) -> FloatArray:
    return np.concatenate([np.empty(0), *(np.asarray(part, dtype=float) for part in parts)])
