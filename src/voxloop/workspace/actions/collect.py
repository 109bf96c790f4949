"""Take in label maps that people have drawn."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.errors import DataError, Problem
from voxloop.workspace.actions.checked_delivery import (
    CheckedDelivery,
    CollectOptions,
    check_delivery,
)
from voxloop.workspace.actions.deliveries import find_deliveries
from voxloop.workspace.actions.packed_answers import check_pack
from voxloop.workspace.annotations import (
    OvertakenError,
    Revision,
    append_revision,
)
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.queries import (
    QueryStatus,
    put_queries,
    queries_of,
    with_status,
)
from voxloop.workspace.rounds import RoundStage, current_round, put_round
from voxloop.workspace.staging import Commit, open_staging
from voxloop.workspace.workspace import Workspace

__all__ = ["CollectOptions", "CollectResult", "collect"]

_RETRIES = 9
"""How often two processes may get in each other's way before one gives up."""


@dataclass(frozen=True)
class CollectResult:
    """What `collect` did.

    Attributes:
        stored: the new revisions.
        unchanged: cases whose delivery said nothing new.
        answered: numbers of the current round's queries that are answered by this delivery.
        warnings: what was delivered but not stored, and queries answered in part, in words.
        ignored: names of files that are no label maps.
        round_complete: True if this delivery answered the round's last open query.
        untouched: numbers of the queries of a pack that are as they were handed out.
    """

    stored: tuple[Revision, ...]
    unchanged: tuple[str, ...]
    answered: tuple[int, ...]
    warnings: tuple[str, ...]
    ignored: tuple[str, ...]
    round_complete: bool
    untouched: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {
            "stored": [revision.to_json() for revision in self.stored],
            "unchanged": list(self.unchanged),
            "answered": list(self.answered),
            "warnings": list(self.warnings),
            "ignored": list(self.ignored),
            "round_complete": self.round_complete,
            "untouched": list(self.untouched),
        }


def collect(
    workspace: Workspace,
    sources: Path | Sequence[Path],
    options: CollectOptions | None = None,
    progress: ProgressSink = silent,
) -> CollectResult:
    """Store label maps named by case id (`<case>.nii.gz`, or another known suffix) as revisions.

    All files are checked before anything is stored. What says nothing new is not stored again,
    so the same delivery may be collected twice. A folder of query packs is taken as the answers to
    its queries: of each only what was asked for, and nothing of those that nobody touched.

    Args:
        workspace: where to.
        sources: a folder, or files.
        options: what is known of the delivery.
        progress: told about each file.

    Raises:
        DataError: if any file cannot be taken; lists every problem; nothing was stored.
        UsageError: if the options do not fit the workspace.
        StorageError: if the disk refuses; nothing was stored.
    """
    options = (options or CollectOptions()).completed(workspace)
    for _ in range(_RETRIES):
        with contextlib.suppress(OvertakenError):
            return _collect(workspace, sources, options, progress)
    return _collect(workspace, sources, options, progress)


def _collect(
    workspace: Workspace,
    sources: Path | Sequence[Path],
    options: CollectOptions,
    progress: ProgressSink,
) -> CollectResult:
    found = find_deliveries(sources, {record.id: record for record in workspace.cases()})
    checked, problems = [], list(found.problems)
    with open_staging(workspace.layout) as staging:
        for done, (record, path) in enumerate(found.files):
            progress(Progress("collecting", done, len(found.files), record.id))
            try:
                checked.append(check_delivery(workspace, options, (record, path), staging))
            except DataError as error:
                problems += [_at(record, path, p) for p in error.problems]
        for delivery in found.packs:
            progress(Progress("collecting", len(checked), len(checked) + 1, delivery.record.id))
            try:
                checked.append(check_pack(workspace, options, delivery, staging))
            except DataError as error:
                problems += [_at(delivery.record, delivery.folder, p) for p in error.problems]
        if problems:
            raise DataError(problems)
        with staging.commit("collect", options.author) as commit:
            stored = _store(workspace, commit, checked, options.seconds)
            answered, complete = _answer_queries(workspace, commit, checked)
    progress(Progress("collecting", len(found.files), len(found.files)))
    return CollectResult(
        stored,
        tuple(c.case_id for c in checked if c.draft is None and c.looked_voxels),
        answered,
        tuple(warning for c in checked for warning in c.warnings),
        found.ignored,
        complete,
        tuple(sorted(number for c in checked for number in c.untouched)),
    )


def _store(
    workspace: Workspace, commit: Commit, checked: Sequence[CheckedDelivery], seconds: float | None
) -> tuple[Revision, ...]:
    new = [(c.looked_voxels, c.seconds, *c.draft) for c in checked if c.draft is not None]
    total = sum(voxels for voxels, _, _, _ in new)
    stored = []
    for voxels, known, draft, staged in new:
        share = known if seconds is None else seconds * voxels / total
        origin = dataclasses.replace(draft.origin, seconds=share)
        revision = dataclasses.replace(draft, origin=origin)
        append_revision(commit, workspace.layout, revision, staged)
        stored.append(revision)
    return tuple(stored)


def _answer_queries(
    workspace: Workspace, commit: Commit, checked: Sequence[CheckedDelivery]
) -> tuple[tuple[int, ...], bool]:
    """Mark what was answered; the round is complete when nothing is open any more."""
    latest = current_round(workspace.layout)
    if latest is None or latest.stage is not RoundStage.ANNOTATING:
        return (), False
    before = queries_of(workspace.layout, latest.number)
    covered = {number for c in checked if c.round == latest.number for number in c.answered}
    answered = tuple(q.number for q in before if q.is_open and q.number in covered)
    if not answered:
        return (), False
    after = with_status(before, answered, QueryStatus.ANSWERED)
    put_queries(commit, workspace.layout, latest.number, after)
    commit.detail["answered"] = list(answered)
    complete = not any(query.is_open for query in after)
    if complete:
        put_round(commit, workspace.layout, latest.advanced(RoundStage.COMPLETE))
    return answered, complete


def _at(record: CaseRecord, path: Path, problem: Problem) -> Problem:
    place = problem.where if problem.where.startswith(str(path)) else str(path)
    return dataclasses.replace(problem, where=f'case "{record.id}", {place}')
