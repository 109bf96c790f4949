"""Rounds of active learning: their stages, and which may follow which."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from voxloop.errors import UsageError
from voxloop.workspace.clock import utc_now
from voxloop.workspace.documents import read_record
from voxloop.workspace.layout import Layout
from voxloop.workspace.staging import Commit, open_staging

__all__ = [
    "NEXT_STEPS",
    "TRANSITIONS",
    "Round",
    "RoundStage",
    "advance_round",
    "begin_round",
    "current_round",
    "put_round",
    "read_round",
    "rounds_of",
]


class RoundStage(StrEnum):
    """How far a round has come; each stage resumes after a stop."""

    PLANNED = "planned"
    TRAINING = "training"
    SCORED = "scored"
    QUERYING = "querying"
    ANNOTATING = "annotating"
    COMPLETE = "complete"


_S = RoundStage

TRANSITIONS: dict[RoundStage, tuple[RoundStage, ...]] = {
    _S.PLANNED: (_S.TRAINING, _S.QUERYING),  # querying: a seed set, before there is a model
    _S.TRAINING: (_S.SCORED,),
    _S.SCORED: (_S.QUERYING, _S.COMPLETE),
    _S.QUERYING: (_S.ANNOTATING,),
    _S.ANNOTATING: (_S.COMPLETE,),
    _S.COMPLETE: (),
}
"""For each stage the stages that may follow."""

NEXT_STEPS: dict[RoundStage, str] = {
    _S.PLANNED: "run `voxloop suggest` for a first set of slices, or `voxloop train`",
    _S.TRAINING: "run `voxloop train`, which resumes",
    _S.SCORED: "run `voxloop suggest` to learn what to label next",
    _S.QUERYING: "run `voxloop suggest`, which resumes",
    _S.ANNOTATING: "label what was asked for, then run `voxloop collect FOLDER`",
    _S.COMPLETE: "run `voxloop train` to begin the next round",
}
"""For each stage what a person does next."""


@dataclass(frozen=True)
class Round:
    """One turn of training, asking and labelling.

    Attributes:
        number: from 0 on.
        stage: how far it has come.
        seed: of every random choice in the round.
        strategy: the query strategy's name.
        annotations: hashes of the revisions the round's model learns from, pinned so that later
            deliveries do not change it.
        entered: each stage so far with the time it was entered (UTC, ISO 8601), oldest first.
    """

    number: int
    stage: RoundStage
    seed: int
    strategy: str
    annotations: tuple[str, ...]
    entered: tuple[tuple[RoundStage, str], ...]

    @classmethod
    def planned(cls, number: int, seed: int, strategy: str, annotations: Iterable[str]) -> Round:
        """A round at its first stage."""
        entered = ((RoundStage.PLANNED, utc_now()),)
        return cls(number, RoundStage.PLANNED, seed, strategy, tuple(annotations), entered)

    def advanced(self, stage: RoundStage) -> Round:
        """The round at a further stage.

        Raises:
            UsageError: if that stage cannot follow; says what to do next.
        """
        if stage not in TRANSITIONS[self.stage]:
            message = (
                f'round {self.number} is at stage "{self.stage}" and cannot go to "{stage}"; '
                f"{NEXT_STEPS[self.stage]}"
            )
            raise UsageError(message)
        return dataclasses.replace(self, stage=stage, entered=(*self.entered, (stage, utc_now())))

    def to_json(self) -> dict[str, Any]:
        """The record as a document."""
        return {
            "number": self.number,
            "stage": self.stage.value,
            "seed": self.seed,
            "strategy": self.strategy,
            "annotations": list(self.annotations),
            "entered": [[stage.value, at] for stage, at in self.entered],
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Round:
        """Read what `to_json` wrote."""
        return cls(
            document["number"],
            RoundStage(document["stage"]),
            document["seed"],
            document["strategy"],
            tuple(document["annotations"]),
            tuple((RoundStage(stage), at) for stage, at in document["entered"]),
        )


def rounds_of(layout: Layout) -> tuple[Round, ...]:
    """All rounds, oldest first."""
    files = layout.rounds.glob("*/round.json")
    return tuple(sorted((read_record(f, Round.from_json) for f in files), key=lambda r: r.number))


def read_round(layout: Layout, number: int) -> Round:
    """A round by its number.

    Raises:
        UsageError: if there is none.
    """
    path = layout.round_file(number)
    if not path.exists():
        known = ", ".join(str(r.number) for r in rounds_of(layout)) or "none"
        message = f"there is no round {number}; rounds so far: {known}"
        raise UsageError(message)
    return read_record(path, Round.from_json)


def current_round(layout: Layout) -> Round | None:
    """The newest round, or None before the first."""
    return next(reversed(rounds_of(layout)), None)


def put_round(commit: Commit, layout: Layout, record: Round) -> None:
    """Make a new or advanced round part of a change."""
    commit.detail["round"] = record.number
    commit.detail["stage"] = record.stage.value
    commit.replace_json(layout.round_file(record.number), record.to_json())


def begin_round(
    layout: Layout, *, seed: int, strategy: str, annotations: Iterable[str], actor: str = ""
) -> Round:
    """Plan the next round.

    Args:
        layout: the workspace.
        seed: of every random choice in the round.
        strategy: the query strategy's name.
        annotations: hashes of the revisions its model shall learn from.
        actor: for the audit trail; the system's user where empty.

    Raises:
        UsageError: if the round before is not complete; says what to do next.
    """
    with open_staging(layout) as staging, staging.commit("begin round", actor) as commit:
        last = current_round(layout)
        if last is not None and last.stage is not RoundStage.COMPLETE:
            message = (
                f'round {last.number} is at stage "{last.stage}", not complete; '
                f"{NEXT_STEPS[last.stage]}"
            )
            raise UsageError(message)
        record = Round.planned(0 if last is None else last.number + 1, seed, strategy, annotations)
        put_round(commit, layout, record)
    return record


def advance_round(
    layout: Layout,
    number: int,
    stage: RoundStage,
    *,
    annotations: Iterable[str] | None = None,
    actor: str = "",
) -> Round:
    """Take a round to a further stage.

    Args:
        layout: the workspace.
        number: of the round.
        stage: where it goes.
        annotations: pins other revisions than those planned with; on the way to training only.
        actor: for the audit trail; the system's user where empty.

    Raises:
        UsageError: if the stage cannot follow, or revisions are pinned too late.
    """
    with open_staging(layout) as staging, staging.commit("advance round", actor) as commit:
        record = read_round(layout, number).advanced(stage)
        if annotations is not None:
            if stage is not RoundStage.TRAINING:
                message = f'annotations are pinned on the way to "training", not to "{stage}"'
                raise UsageError(message)
            record = dataclasses.replace(record, annotations=tuple(annotations))
        put_round(commit, layout, record)
    return record
