"""What can be read off a prediction without knowing the truth: doubt, shape, place, appearance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.predict.postprocess import PostProcessing, apply
from voxloop.volume.boxes import bounding_box
from voxloop.volume.labels import BACKGROUND
from voxloop.volume.volume import LabelArray

__all__ = [
    "CaseFeatures",
    "LabelFeatures",
    "disagreement_of",
    "measure_prediction",
    "structure_embedding",
]

Float32Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
SpacingMm = tuple[float, float, float]
Vector = tuple[float, ...]

_LEAST_DOUBT = 0.01
"""Smaller probabilities count as none: the softmax's tails, summed over a whole scan, would
outweigh a small structure."""

_BAND = 0.05
"""Where a label is at least so probable, or predicted, its entropy counts."""

_AS_PREDICTED = PostProcessing()
_QUANTILES = (1, 5, 25, 50, 75, 95, 99)
_SAMPLE = 50_000
_TINY = 1e-6


@dataclass(frozen=True)
class LabelFeatures:
    """One label of one prediction; what needs voxels of it is NaN where there are none.

    Attributes:
        value: of the label.
        volume_ml: predicted.
        expected_dice: of the prediction with a truth drawn from the probabilities voxel by voxel,
            2 sum(p m) / (sum p + sum m).
        entropy: mean binary entropy where the label is predicted or possible, 0 to 1 bit.
        displacement_mm: expected distance between the predicted and the true surface.
        disagreement: 1 minus the mean Dice of members with the prediction; NaN without members.
        components: pieces that touch nowhere, not even at a corner.
        scattered: share of the voxels outside the largest piece.
        cut: share of the outer faces that lie on the border of the field of view.
        centre_cm: centroid from the middle of the field of view, along the grid's axes.
        spread_cm: standard deviation of the voxels' places along the same axes.
        appearance: per channel mean and deviation inside, and the mean just outside.
    """

    value: int
    volume_ml: float
    expected_dice: float = math.nan
    entropy: float = math.nan
    displacement_mm: float = math.nan
    disagreement: float = math.nan
    components: int = 0
    scattered: float = math.nan
    cut: float = math.nan
    centre_cm: Vector = ()
    spread_cm: Vector = ()
    appearance: Vector = ()

    @property
    def is_empty(self) -> bool:
        """True if the label is predicted nowhere."""
        return self.components == 0

    def to_json(self) -> dict[str, Any]:
        """As a JSON-ready document; NaN becomes null."""
        return {key: _plain(value) for key, value in vars(self).items()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> LabelFeatures:
        """Read what `to_json` wrote."""
        return cls(**{key: _restored(value) for key, value in document.items()})


@dataclass(frozen=True)
class CaseFeatures:
    """A case and what was predicted of it, in numbers.

    Attributes:
        labels: one per label of the plan, in its order.
        intensity: per channel, quantiles of the prepared image.
        texture: per channel and axis, how steep and how rough (logarithms): noise is rough.
        extent: logarithms of the lengths in mm of the field of view, and of the scan's own
            spacing.
        embedding: the network's features over the structures; empty if they were not asked for.
    """

    labels: tuple[LabelFeatures, ...]
    intensity: Vector
    texture: Vector
    extent: Vector
    embedding: Vector = field(default=())

    def to_json(self) -> dict[str, Any]:
        """As a JSON-ready document."""
        document = {key: _plain(value) for key, value in vars(self).items() if key != "labels"}
        return {"labels": [label.to_json() for label in self.labels], **document}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> CaseFeatures:
        """Read what `to_json` wrote."""
        rest = {key: _restored(value) for key, value in document.items() if key != "labels"}
        return cls(tuple(LabelFeatures.from_json(d) for d in document["labels"]), **rest)


def measure_prediction(
    probabilities: Sequence[Float32Array] | Float32Array,
    image: Float32Array,
    spacing_mm: SpacingMm,
    values: tuple[int, ...],
    *,
    source_spacing_mm: SpacingMm | None = None,
    rules: PostProcessing = _AS_PREDICTED,
    disagreement: Mapping[int, float] | None = None,
    embedding: Vector = (),
) -> CaseFeatures:
    """Measure a prediction on the network's grid, where it is cheap.

    Args:
        probabilities: (C, I, J, K), background first, then per label in the order of `values`.
        image: (channels, I, J, K), prepared.
        spacing_mm: of this grid.
        values: the labels' values.
        source_spacing_mm: of the scan's own grid along the same axes; this grid's where None.
        rules: applied to the prediction before it is measured, as they will be to the label map.
        disagreement: by label value, from `disagreement_of`.
        embedding: of the case, see `structure_embedding`.

    Raises:
        ValueError: if there is not one probability per class.
    """
    if len(probabilities) != len(values) + 1:
        raise ValueError(f"{len(probabilities)} probabilities for {len(values)} labels")
    predicted = apply(_most_likely(probabilities, values), rules, spacing_mm)
    scan = _Scan(predicted, image, spacing_mm, disagreement or {})
    extent = [n * s for n, s in zip(predicted.shape, spacing_mm, strict=True)]
    extent += source_spacing_mm or spacing_mm
    return CaseFeatures(
        labels=tuple(
            _measure_label(value, np.asarray(p), scan)
            for value, p in zip(values, probabilities[1:], strict=True)
        ),
        intensity=tuple(q for channel in image for q in _quantiles(channel)),
        texture=tuple(t for channel in image for t in _texture(channel)),
        extent=tuple(math.log(length) for length in extent),
        embedding=embedding,
    )


def disagreement_of(
    prediction: LabelArray, members: Iterable[LabelArray], values: tuple[int, ...]
) -> dict[int, float]:
    """How far members are from the prediction: 1 minus their mean Dice with it, for each label.

    Args:
        prediction: (I, J, K), of any grid.
        members: what each model or each view said, on the same grid, one at a time.
        values: the labels' values; one that is predicted nowhere is NaN, and so are all of them
            without members.
    """
    counts = np.bincount(prediction.ravel(), minlength=256)
    total, number = dict.fromkeys(values, 0.0), 0
    for member in members:
        number += 1
        member_counts = np.bincount(member.ravel(), minlength=256)
        shared = np.bincount(prediction[prediction == member], minlength=256)
        for value in values:
            total[value] += float(
                2 * shared[value] / max(int(counts[value] + member_counts[value]), 1)
            )
    return {
        value: 1 - dice / number if number and counts[value] else math.nan
        for value, dice in total.items()
    }


def structure_embedding(features: Float32Array, label_map: LabelArray) -> Vector:
    """Mean feature vector over all structures; over the whole scan if none is predicted.

    Args:
        features: (F, a, b, c), cells that span the case's own grid evenly.
        label_map: (I, J, K) on that grid.

    Returns:
        F numbers.
    """
    counts: npt.NDArray[Any] = np.asarray(label_map != BACKGROUND, dtype=np.float64)
    for axis, cells in enumerate(features.shape[1:]):
        length = counts.shape[axis]
        starts = -(-np.arange(cells) * length // cells)
        counts = np.add.reduceat(counts, starts, axis=axis)
    if not counts.any():
        counts[:] = 1
    mean = np.tensordot(features, counts / counts.sum(), axes=3)
    return tuple(float(v) for v in mean)


@dataclass(frozen=True, eq=False)
class _Scan:
    """What all labels of a prediction have in common, on the network's grid."""

    predicted: LabelArray
    image: Float32Array
    spacing_mm: SpacingMm
    disagreement: Mapping[int, float]


def _most_likely(
    probabilities: Sequence[Float32Array] | Float32Array, values: tuple[int, ...]
) -> LabelArray:
    best = np.array(probabilities[0])
    labels = np.full(best.shape, BACKGROUND, dtype=np.uint8)
    for value, probability in zip(values, probabilities[1:], strict=True):
        labels[probability > best] = value
        np.maximum(best, probability, out=best)
    return labels


def _measure_label(value: int, probability: Float32Array, scan: _Scan) -> LabelFeatures:
    whole: Mask = np.asarray(scan.predicted == value)
    shape, spacing_mm = scan.predicted.shape, scan.spacing_mm
    if not whole.any():
        return LabelFeatures(value, 0.0)
    around = bounding_box(whole | (probability > _LEAST_DOUBT))
    if around is None:  # cannot be: the label has voxels
        return LabelFeatures(value, 0.0)
    box = around.padded(2, (shape[0], shape[1], shape[2])).slices
    mask, p = whole[box], probability[box].astype(np.float64)
    p[p < _LEAST_DOUBT] = 0
    count = int(mask.sum())
    pieces = _piece_sizes(mask)
    places = np.argwhere(mask) + [s.start for s in box]
    place_cm = (places - (np.array(shape) - 1) / 2) * spacing_mm / 10
    return LabelFeatures(
        value=value,
        volume_ml=count * math.prod(spacing_mm) / 1000,
        expected_dice=float(2 * p[mask].sum() / (p.sum() + count)),
        entropy=float(_entropy_bits(p[mask | (p > _BAND)]).mean()),
        displacement_mm=_displacement_mm(mask, p, spacing_mm),
        disagreement=scan.disagreement.get(value, math.nan),
        components=len(pieces),
        scattered=float(1 - pieces.max() / count),
        cut=_cut(whole),
        centre_cm=tuple(float(v) for v in place_cm.mean(axis=0)),
        spread_cm=tuple(float(v) for v in place_cm.std(axis=0)),
        appearance=_appearance(mask, scan.image[(slice(None), *box)]),
    )


def _entropy_bits(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    p = np.clip(p, _TINY, 1 - _TINY)
    return np.asarray(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)))


def _displacement_mm(mask: Mask, p: npt.NDArray[np.float64], spacing_mm: SpacingMm) -> float:
    """The volume expected on the wrong side over the surface's expected area (coarea formula)."""
    wrong = np.where(mask, 1 - p, p).sum()
    steep = [
        np.gradient(p, spacing, axis=axis) ** 2
        for axis, spacing in enumerate(spacing_mm)
        if p.shape[axis] > 1
    ]
    area = float(np.sqrt(np.sum(steep, axis=0)).sum()) if steep else 0.0
    return float(wrong / max(area, _TINY))


def _piece_sizes(mask: Mask) -> npt.NDArray[np.int64]:
    from scipy import ndimage

    pieces, _ = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    return np.asarray(np.bincount(pieces.ravel())[1:], dtype=np.int64)


def _cut(mask: Mask) -> float:
    outer = faces = 0
    for axis in range(3):
        along = np.moveaxis(mask, axis, 0)
        ends = int(along[0].sum()) + int(along[-1].sum())
        faces += ends + int(np.count_nonzero(along[1:] != along[:-1]))
        outer += ends
    return outer / faces


def _appearance(mask: Mask, image: Float32Array) -> Vector:
    from scipy import ndimage

    shell = ndimage.binary_dilation(mask, iterations=2) & ~mask
    found: list[float] = []
    for channel in image:
        inside, outside = channel[mask], channel[shell]
        mean = float(inside.mean())
        found += [mean, float(inside.std()), float(outside.mean()) if outside.size else mean]
    return tuple(found)


def _quantiles(channel: Float32Array) -> list[float]:
    values = channel.ravel()
    drawn = values[:: max(1, values.size // _SAMPLE)]
    return [float(q) for q in np.percentile(drawn, _QUANTILES)]


def _texture(channel: Float32Array) -> list[float]:
    """Per axis the mean slope against the deviation, and the mean curvature against the slope."""
    deviation = float(channel.std()) + _TINY
    found = []
    for axis in range(3):
        slope = np.diff(channel, axis=axis)
        curve = np.diff(slope, axis=axis)
        steep = float(np.abs(slope).mean()) if slope.size else 0.0
        rough = float(np.abs(curve).mean()) if curve.size else 0.0
        found += [math.log(steep / deviation + _TINY), math.log((rough + _TINY) / (steep + _TINY))]
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _restored(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_restored(item) for item in value)
    return math.nan if value is None else value
