"""Say what further labels are going to bring, and whether to go on."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from voxloop.active.advice.forecast import (
    MIN_ROUNDS,
    Forecast,
    LearningCurve,
    Measured,
    measured_rounds,
)
from voxloop.active.advice.stopping import StoppingAdvice, StoppingRule, advise
from voxloop.errors import UsageError
from voxloop.workspace.annotations import Revision
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.documents import read_record
from voxloop.workspace.rounds import Round
from voxloop.workspace.workspace import Workspace

__all__ = ["ForecastResult", "RoundPoint", "forecast"]

_USUAL_SLICES = 16.0

Labelled = Sequence[tuple[CaseRecord, tuple[Revision, ...]]]
"""The cases, each with its revisions, oldest first."""


@dataclass(frozen=True)
class RoundPoint:
    """A validated round.

    Attributes:
        number: of the round.
        measured: slices' worth of labels that its model learned from, the mean out-of-fold Dice,
            and its standard error without what cases have of their own.
    """

    number: int
    measured: Measured


@dataclass(frozen=True)
class ForecastResult:
    """What is to be expected of more labels.

    Attributes:
        points: the validated rounds, oldest first; of rounds with the same labels the newest.
        unvalidated: rounds with a model that no validation says anything about.
        slices: how many more slices' worth the forecast is for.
        minutes: how long labelling them takes, at the rate logged so far; None without a log.
        forecast: None with fewer than three points.
        advice: whether to stop.
    """

    points: tuple[RoundPoint, ...]
    unvalidated: tuple[int, ...]
    slices: float
    minutes: float | None
    forecast: Forecast | None
    advice: StoppingAdvice

    @property
    def sentence(self) -> str:
        """The forecast such as `40 more slices, about 35 minutes: +0.012 [0.004, 0.019]`."""
        if self.forecast is None:
            return f"n = {len(self.points)} validated rounds is too small to claim a forecast"
        return f"{_more(self.slices, self.minutes)}: {self.forecast.in_words()}"

    @property
    def next_step(self) -> str:
        """What to do now, in words."""
        if self.forecast is None:
            lacking = MIN_ROUNDS - len(self.points)
            return f"run `voxloop validate` after each of the next {lacking} trainings or more"
        if self.advice.stop:
            return (
                "run `voxloop segment SCANS` to use the model, or label what you know it gets wrong"
            )
        return "run `voxloop suggest` to learn what to label next"

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {
            "rounds": [{"round": p.number, **asdict(p.measured)} for p in self.points],
            "unvalidated": list(self.unvalidated),
            "slices": self.slices,
            "minutes": self.minutes,
            "forecast": None if self.forecast is None else asdict(self.forecast),
            "advice": asdict(self.advice),
            "sentence": self.sentence,
        }


def forecast(
    workspace: Workspace,
    *,
    slices: float | None = None,
    minutes: float | None = None,
    rule: StoppingRule | None = None,
) -> ForecastResult:
    """Carry the curve of the rounds' out-of-fold Dice on to a larger budget.

    Args:
        workspace: whose rounds were validated after training.
        slices: how many more slices' worth of labels; as many as came with the newest validated
            round where neither this nor `minutes` is given.
        minutes: how much more time for labelling, instead of slices.
        rule: when to suggest stopping.

    Raises:
        DataError: if a record is damaged.
        UsageError: if both or something below zero is given, or minutes where nobody has logged
            how long labelling takes.
    """
    if slices is not None and minutes is not None:
        raise UsageError("a forecast is for --slices or for --minutes, not for both")
    if any(more is not None and not 0 < more < math.inf for more in (slices, minutes)):
        raise UsageError("--slices and --minutes are above 0")
    labelled = [(record, workspace.annotations_of(record.id)) for record in workspace.cases()]
    points, unvalidated = _points(workspace, labelled)
    pace = _minutes_per_slice(labelled)
    if minutes is not None and pace is None:
        raise UsageError(
            "how long a slice takes is not known; log it with `voxloop collect --seconds`, or ask "
            "for --slices"
        )
    if minutes is not None and pace is not None:
        slices = minutes / pace
    elif slices is None:
        slices = _last_step(points)
    takes = None if pace is None else slices * pace
    curve = LearningCurve.through(p.measured for p in points)
    budget = slices if curve is None else curve.now + slices
    return ForecastResult(
        points=points,
        unvalidated=unvalidated,
        slices=slices,
        minutes=takes,
        forecast=None if curve is None else curve.at(budget),
        advice=advise(curve, budget, _more(slices, takes), rule),
    )


def _points(
    workspace: Workspace, labelled: Labelled
) -> tuple[tuple[RoundPoint, ...], tuple[int, ...]]:
    """The validated rounds, and the numbers of those that have a model only."""
    layout, found, bare = workspace.layout, dict[float, tuple[Round, dict[str, float]]](), []
    for record in workspace.rounds():
        path = layout.validation_file(record.number)
        if path.exists():
            hashes, scores = read_record(path, lambda d: (d["annotations"], _by_case(d["scores"])))
            budget = _slices_worth(labelled, frozenset(hashes))
            if scores and budget:
                found[budget] = record, scores
        elif layout.metrics_file(record.number).exists():
            bare.append(record.number)
    budgets = sorted(found)
    measured = measured_rounds(budgets, [found[budget][1] for budget in budgets])
    points = (
        RoundPoint(found[b][0].number, m) for b, m in zip(budgets, measured, strict=True)
    )  # fmt: skip
    return tuple(points), tuple(bare)


def _by_case(rows: Iterable[dict[str, Any]]) -> dict[str, float]:
    """The mean Dice of each case over the labels that are defined there."""
    dice: dict[str, list[float]] = {}
    for row in rows:
        if row["dice"] is not None:
            dice.setdefault(row["case_id"], []).append(float(row["dice"]))
    return {case_id: math.fsum(values) / len(values) for case_id, values in dice.items()}


def _slices_worth(labelled: Labelled, hashes: Collection[str]) -> float:
    """The voxels that some revisions looked at, in whole slices of their cases."""
    total = 0.0
    for record, revisions in labelled:
        counted = [r.coverage.voxels for r in revisions if r.sha256 in hashes]
        if counted:
            total += counted[-1] * record.slice_count / record.geometry.voxel_count
    return total


def _minutes_per_slice(labelled: Labelled) -> float | None:
    """Over all deliveries whose time was logged; None if none was."""
    seconds = slices = 0.0
    for record, revisions in labelled:
        before = 0
        for revision in revisions:
            new, before = revision.coverage.voxels - before, revision.coverage.voxels
            if revision.origin.seconds and new > 0:
                seconds += revision.origin.seconds
                slices += new * record.slice_count / record.geometry.voxel_count
    return seconds / 60 / slices if slices else None


def _last_step(points: Sequence[RoundPoint]) -> float:
    budgets = [point.measured.budget for point in points[-2:]]
    return budgets[-1] - budgets[0] if len(budgets) == 2 else _USUAL_SLICES


def _more(slices: float, minutes: float | None) -> str:
    text = f"{slices:.3g} more {'slice' if slices == 1 else 'slices'}"
    return text if minutes is None else f"{text}, about {max(1, round(minutes))} minutes"
