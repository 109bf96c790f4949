"""Cases cut to where their structures lie, so that a second model can afford their resolution."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.dataset.annotation import Target
from voxloop.errors import DataError, Problem
from voxloop.predict.predictor import Predictor
from voxloop.predict.refine.locate import cropped, likely_foreground, structure_box
from voxloop.train.prepare import AnnotatedCase
from voxloop.volume.boxes import Box
from voxloop.volume.labels import BACKGROUND, IGNORE

__all__ = ["closer_cases", "cut_case"]


def closer_cases(
    cases: Sequence[AnnotatedCase],
    predictor: Predictor,
    margin_mm: float,
    progress: ProgressSink = silent,
) -> tuple[AnnotatedCase, ...]:
    """The parts of cases in which structures are annotated or found by a model.

    The box of a case holds what the model finds, as it will when the two work together, and
    whatever is annotated as a structure, with a margin about both. A case without either is left
    out, as is one whose box nobody has looked into.

    Args:
        cases: to learn from.
        predictor: of the first model.
        margin_mm: about the structures.
        progress: told about cases done.

    Raises:
        DataError: if no case is left.
    """
    found = []
    for number, case in enumerate(cases):
        progress(Progress("looking closer", number, len(cases), case.id))
        box = _box_of(case, predictor, margin_mm)
        if box is not None and (case.target.values[box.slices] != IGNORE).any():
            found.append(cut_case(case, box))
    if not found:
        expected = "a case in which the model finds a structure, or one is annotated"
        remedy = "label more and train again"
        raise DataError(Problem("training", expected, f"none of {len(cases)}", remedy))
    return tuple(found)


def cut_case(case: AnnotatedCase, box: Box) -> AnnotatedCase:
    """The part of a case inside a box, at its place in the world."""
    target = case.target
    part = Target(
        np.ascontiguousarray(target.values[box.slices]),
        np.ascontiguousarray(target.asked[box.slices]),
        target.asked_sets,
        target.labels,
    )
    return dataclasses.replace(
        case,
        read=lambda: tuple(cropped(volume, box) for volume in case.read()),
        geometry=case.geometry.part(box),
        target=part,
        content=f"{case.content}:{box.start}-{box.stop}",
    )


def _box_of(case: AnnotatedCase, predictor: Predictor, margin_mm: float) -> Box | None:
    probabilities, prepared = predictor.probabilities(case.read())
    likely = likely_foreground(probabilities)
    labelled = (case.target.values != BACKGROUND) & (case.target.values != IGNORE)
    boxes = (
        structure_box(likely, prepared.grid, case.geometry, margin_mm),
        structure_box(labelled, case.geometry, case.geometry, margin_mm),
    )
    return _around(*(box for box in boxes if box is not None))


def _around(*boxes: Box) -> Box | None:
    """The smallest box that holds all of them."""
    if not boxes:
        return None
    i, j, k = (min(box.start[axis] for box in boxes) for axis in range(3))
    a, b, c = (max(box.stop[axis] for box in boxes) for axis in range(3))
    return Box((i, j, k), (a, b, c))
