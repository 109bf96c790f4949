"""The scores of one case: per label in the whole volume, or slice by slice."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from voxloop.errors import DataError, Problem, UsageError
from voxloop.metrics.overlap import (
    Overlap,
    dice,
    iou,
    measure_overlap,
    volume_difference_ml,
    volume_difference_percent,
)
from voxloop.metrics.surface import SurfaceScores, surface_scores
from voxloop.volume.labels import BACKGROUND, IGNORE
from voxloop.volume.volume import LabelMap

__all__ = ["BACKGROUND_NAME", "LabelScore", "SliceScore", "score_case", "score_slices"]

Mask = npt.NDArray[np.bool_]

BACKGROUND_NAME = "background"
"""Name of the score of value 0; no label can bear it."""

_NO_SURFACE = SurfaceScores(math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class LabelScore:
    """How well one label of one case was predicted; NaN where a metric is undefined.

    Attributes:
        case_id: the case.
        value: the label's value, 0 for the background (overlap metrics only).
        name: the label's name.
        dice: 0 to 1.
        iou: 0 to 1.
        volume_difference_ml: prediction minus reference.
        volume_difference_percent: the same as a percentage of the reference.
        hd95_mm: 0 or more, infinite where one of the two masks is empty.
        assd_mm: 0 or more, infinite where one of the two masks is empty.
        surface_dice: at `tolerance_mm`, 0 to 1.
        tolerance_mm: distance that still counts as agreement of the surfaces.
        reference_ml: volume of the reference.
        prediction_ml: volume of the prediction.
    """

    PER: ClassVar[str] = "volume"
    METRICS: ClassVar[tuple[str, ...]] = (
        "dice",
        "iou",
        "volume_difference_ml",
        "volume_difference_percent",
        "hd95_mm",
        "assd_mm",
        "surface_dice",
    )

    case_id: str
    value: int
    name: str
    dice: float
    iou: float
    volume_difference_ml: float
    volume_difference_percent: float
    hd95_mm: float
    assd_mm: float
    surface_dice: float
    tolerance_mm: float
    reference_ml: float
    prediction_ml: float

    @classmethod
    def of(
        cls,
        case_id: str,
        label: tuple[int, str],
        overlap: Overlap,
        voxel_mm3: float,
        *,
        surface: SurfaceScores = _NO_SURFACE,
        tolerance_mm: float = 0.0,
    ) -> LabelScore:
        """All metrics of a label from its voxel counts, and those of its surface where measured.

        Args:
            case_id: the case.
            label: value and name.
            overlap: counts over the whole volume.
            voxel_mm3: volume of a voxel.
            surface: NaN throughout where no surface was looked at.
            tolerance_mm: at which `surface` was measured.
        """
        return cls(
            case_id=case_id,
            value=label[0],
            name=label[1],
            dice=float(dice(overlap)),
            iou=float(iou(overlap)),
            volume_difference_ml=float(volume_difference_ml(overlap, voxel_mm3)),
            volume_difference_percent=float(volume_difference_percent(overlap)),
            hd95_mm=surface.hd95_mm,
            assd_mm=surface.assd_mm,
            surface_dice=surface.surface_dice,
            tolerance_mm=tolerance_mm,
            reference_ml=int(overlap.reference) * voxel_mm3 / 1000,
            prediction_ml=int(overlap.prediction) * voxel_mm3 / 1000,
        )

    @property
    def unit(self) -> tuple[str, int, int]:
        """What was scored, whatever the label: the case as a whole."""
        return self.case_id, -1, -1


@dataclass(frozen=True, slots=True)
class SliceScore:
    """How well one label was predicted on one slice of a case; NaN where undefined.

    Attributes:
        case_id: the case.
        axis: the array axis across which the slice lies.
        index: the slice's index along it.
        value: the label's value, 0 for the background.
        name: the label's name.
        dice: 0 to 1.
        iou: 0 to 1.
        reference_vox: voxels of the reference on the slice.
        prediction_vox: voxels of the prediction on the slice.
    """

    PER: ClassVar[str] = "slice"
    METRICS: ClassVar[tuple[str, ...]] = ("dice", "iou")

    case_id: str
    axis: int
    index: int
    value: int
    name: str
    dice: float
    iou: float
    reference_vox: int
    prediction_vox: int

    @property
    def unit(self) -> tuple[str, int, int]:
        """What was scored, whatever the label: one slice of the case."""
        return self.case_id, self.axis, self.index


def score_case(
    case_id: str,
    reference: LabelMap,
    prediction: LabelMap,
    *,
    tolerance_mm: float = 1.0,
    asked: Collection[int] | None = None,
    with_background: bool = False,
) -> tuple[LabelScore, ...]:
    """Score every label of a case, in ascending order of value.

    Voxels that are `IGNORE` in the reference count for nothing, whatever was predicted there.

    Args:
        case_id: the case, for the scores and for messages.
        reference: what is taken as truth, perhaps on a part of the case only.
        prediction: on the same grid, with the same label table.
        tolerance_mm: tolerance of the surface Dice, 0 or more.
        asked: values to score, such as the labels an annotation was asked for; all where None.
        with_background: whether the background is scored too, as the first entry.

    Raises:
        DataError: if the grids or label tables differ, the reference is `IGNORE` throughout, or
            the prediction leaves voxels undecided where the reference is known.
        UsageError: if the tolerance is negative or a value asked for is not in the label table.
    """
    looked_at = _where_known(case_id, reference, prediction)
    voxel_mm3 = reference.geometry.voxel_volume_mm3
    scores = []
    masks_by_label = _masks(
        reference, prediction, looked_at, asked, with_background=with_background
    )
    for value, name, masks in masks_by_label:
        overlap = measure_overlap(*masks)
        surface = _NO_SURFACE
        if value != BACKGROUND:
            surface = surface_scores(
                *masks, reference.geometry, tolerance_mm=tolerance_mm, looked_at=looked_at
            )
        scores.append(
            LabelScore.of(
                case_id,
                (value, name),
                overlap,
                voxel_mm3,
                surface=surface,
                tolerance_mm=tolerance_mm,
            )
        )
    return tuple(scores)


def score_slices(
    case_id: str,
    reference: LabelMap,
    prediction: LabelMap,
    *,
    axis: int,
    asked: Collection[int] | None = None,
    with_background: bool = False,
) -> tuple[SliceScore, ...]:
    """Score every label on every slice across `axis` that is known in part at least.

    Arguments and errors are those of `score_case`; `axis` is 0, 1 or 2.
    """
    if axis not in {0, 1, 2}:
        raise UsageError(f"the axis must be 0, 1 or 2, found {axis}")
    looked_at = _where_known(case_id, reference, prediction)
    known = np.arange(reference.geometry.shape[axis])
    if looked_at is not None:
        known = np.flatnonzero(looked_at.any(axis=tuple({0, 1, 2} - {axis})))
    scores = []
    masks_by_label = _masks(
        reference, prediction, looked_at, asked, with_background=with_background
    )
    for value, name, masks in masks_by_label:
        overlap = measure_overlap(*masks, axis=axis)
        slice_dice, slice_iou = dice(overlap), iou(overlap)
        scores += [
            SliceScore(
                case_id=case_id,
                axis=axis,
                index=index,
                value=value,
                name=name,
                dice=float(slice_dice[index]),
                iou=float(slice_iou[index]),
                reference_vox=int(overlap.reference[index]),
                prediction_vox=int(overlap.prediction[index]),
            )
            for index in known.tolist()
        ]
    return tuple(scores)


def _masks(
    reference: LabelMap,
    prediction: LabelMap,
    looked_at: Mask | None,
    asked: Collection[int] | None,
    *,
    with_background: bool,
) -> Iterator[tuple[int, str, tuple[Mask, Mask]]]:
    """Yield value, name and the masks of reference and prediction, false where not looked at."""
    names = reference.labels.names
    wanted = sorted(names if asked is None else asked)
    if not set(wanted) <= set(names):
        raise UsageError(f"labels {wanted} were asked for, the label table has {list(names)}")

    def within(mask: Mask) -> Mask:
        return mask if looked_at is None else mask & looked_at

    if with_background:
        rest = (within(~np.isin(m.array, wanted)) for m in (reference, prediction))
        yield BACKGROUND, BACKGROUND_NAME, (next(rest), next(rest))
    for value in wanted:
        yield value, names[value], (reference.mask(value), within(prediction.mask(value)))


def _where_known(case_id: str, reference: LabelMap, prediction: LabelMap) -> Mask | None:
    """Refuse what cannot be compared; return where the reference is known, None for throughout."""
    where = f'case "{case_id}"'
    problems = []
    difference = reference.geometry.difference(prediction.geometry)
    if difference is not None:
        problems.append(
            Problem(
                where,
                "the prediction on the grid of the reference",
                difference,
                "resample the prediction to the grid of the reference",
            )
        )
    if reference.labels != prediction.labels:
        problems.append(
            Problem(
                where,
                f"the label table of the reference, {dict(reference.labels.names)}",
                f"{dict(prediction.labels.names)} in the prediction",
                "read both label maps with one table",
            )
        )
    looked_at = np.asarray(reference.array != IGNORE)
    if not looked_at.any():
        remedy = "annotate the reference or leave the case out"
        problems.append(
            Problem(where, "a reference known somewhere", "only ignored voxels", remedy)
        )
    if problems:
        raise DataError(problems)
    undecided = int(np.count_nonzero(looked_at & (prediction.array == IGNORE)))
    if undecided:
        remedy = "give these voxels a label, or ignore them in the reference too"
        raise DataError(
            Problem(where, "a prediction that decides", f"{undecided} ignored voxels", remedy)
        )
    return None if looked_at.all() else looked_at
