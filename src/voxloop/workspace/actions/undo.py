"""Take a revision back, by a new revision: nothing that was stored is ever changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxloop.errors import UsageError
from voxloop.workspace import audit
from voxloop.workspace.annotations import (
    Origin,
    OvertakenError,
    Revision,
    active,
    append_revision,
    draft_revision,
    require_newest,
    stage_map,
)
from voxloop.workspace.queries import QueryStatus, put_queries, queries_of, with_status
from voxloop.workspace.rounds import RoundStage, current_round
from voxloop.workspace.staging import Commit, Staging, open_staging
from voxloop.workspace.workspace import Workspace

__all__ = ["UndoResult", "reopen", "stage_withdrawal", "undo"]

_TRIES = 10


@dataclass(frozen=True)
class UndoResult:
    """What `undo` did.

    Attributes:
        revision: the new revision.
        reopened: numbers of the current round's queries that are open again.
    """

    revision: Revision
    reopened: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {"revision": self.revision.to_json(), "reopened": list(self.reopened)}


def undo(
    workspace: Workspace,
    case_id: str,
    number: int | None = None,
    *,
    author: str = "",
    expected: str | None = None,
) -> UndoResult:
    """Take a revision of a case back; what was known before it is known again.

    Args:
        workspace: the case's.
        case_id: the case.
        number: of the revision; the newest that counts where None. One that takes another back
            may itself be taken back, and the other counts again.
        author: for the record; the workspace's author, then the system's user, where empty.
        expected: hash of the newest revision as the author knows it, empty without one; None to
            take it anyway.

    Raises:
        UsageError: if there is nothing to take back, or it was taken back before.
        StaleError: if there is a newer revision than expected.
        StorageError: if the disk refuses; nothing is changed.
    """
    actor = author or workspace.settings.author or audit.current_user()
    for attempt in range(_TRIES):
        try:
            with open_staging(workspace.layout) as staging:
                require_newest(workspace.layout, case_id, expected)
                drafted = stage_withdrawal(
                    workspace, case_id, number, Origin(actor, "undo"), staging
                )
                with staging.commit("undo", actor) as commit:
                    append_revision(commit, workspace.layout, *drafted)
                    reopened = reopen(commit, workspace, drafted[0])
            return UndoResult(drafted[0], reopened)
        except OvertakenError:
            if attempt == _TRIES - 1:
                raise
    raise AssertionError  # the loop returns or raises


def stage_withdrawal(
    workspace: Workspace, case_id: str, number: int | None, origin: Origin, staging: Staging
) -> tuple[Revision, Path]:
    """Draft the revision that takes another back, and stage its label map.

    Raises:
        UsageError: if there is nothing to take back, or it was taken back before.
    """
    record, revisions = workspace.case(case_id), workspace.annotations_of(case_id)
    counting = active(revisions)
    if number is None:
        if not counting:
            raise UsageError(f'nothing of case "{case_id}" is left to take back')
        number = counting[-1].number
    back = next((r for r in revisions if r.number == number), None)
    if back is None:
        raise UsageError(f'case "{case_id}" has no revision {number}')
    if back.number in _taken_back(revisions):
        raise UsageError(f'revision {number} of case "{case_id}" was taken back before')
    annotation = workspace.load(back)
    revision = draft_revision(workspace.layout, record, annotation, origin, withdraws=number)
    return revision, stage_map(staging, annotation)


def reopen(commit: Commit, workspace: Workspace, withdrawal: Revision) -> tuple[int, ...]:
    """Open those queries of the current round again that are no longer answered.

    Args:
        commit: the change.
        workspace: whose round.
        withdrawal: the revision that is part of the same change.
    """
    latest = current_round(workspace.layout)
    if latest is None or latest.stage is not RoundStage.ANNOTATING:
        return ()
    looked = workspace.target_with(withdrawal).looked_at
    before = queries_of(workspace.layout, latest.number)
    numbers = tuple(
        q.number
        for q in before
        if q.query.case_id == withdrawal.case_id
        and q.status is QueryStatus.ANSWERED
        and not looked[q.query.region.slices].all()
    )
    if numbers:
        after = with_status(before, numbers, QueryStatus.OPEN)
        put_queries(commit, workspace.layout, latest.number, after)
        commit.detail["reopened"] = list(numbers)
    return numbers


def _taken_back(revisions: tuple[Revision, ...]) -> set[int]:
    back = set[int]()
    for revision in reversed(revisions):
        if revision.number not in back and revision.withdraws is not None:
            back.add(revision.withdraws)
    return back
