"""Say how a workspace stands."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from voxloop.errors import Problem
from voxloop.workspace.annotations import Revision
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.estimate import Estimate, newest_estimate
from voxloop.workspace.jobs import JobState, jobs_of
from voxloop.workspace.queries import StoredQuery, queries_of
from voxloop.workspace.rounds import NEXT_STEPS, Round, RoundStage
from voxloop.workspace.workspace import Workspace

__all__ = ["CaseInfo", "InfoResult", "info"]


@dataclass(frozen=True)
class CaseInfo:
    """How one case stands.

    Attributes:
        id: the case.
        revisions: how many deliveries there were.
        voxel_share: share of its voxels that was looked at, 0 to 1.
        slice_share: slices in which somebody looked, along any axis, per slice along its own.
        labels: voxels of each label found, by name.
        asked: names of the labels that were looked for, anywhere in it.
    """

    id: str
    revisions: int
    voxel_share: float
    slice_share: float
    labels: Mapping[str, int]
    asked: tuple[str, ...]


@dataclass(frozen=True)
class InfoResult:
    """How a workspace stands.

    Attributes:
        name: the workspace's.
        cases: each case.
        voxel_share: share of all voxels that was looked at, 0 to 1.
        slice_share: slices in which somebody looked, along any axis, per slice along their own.
        labels: voxels of each label of the table, by name.
        seconds: time spent labelling, as far as it was logged; None if it never was.
        rounds: number and stage of each round, oldest first.
        open_queries: what the current round still waits for.
        quality: the newest estimate of how good the models are, or None.
        interrupted: kinds of jobs that were stopped and have not run since.
        changed_scans: scans that are no longer as they were added.
        next_step: what to do now, in words.
    """

    name: str
    cases: tuple[CaseInfo, ...]
    voxel_share: float
    slice_share: float
    labels: Mapping[str, int]
    seconds: float | None
    rounds: tuple[tuple[int, str], ...]
    open_queries: int
    quality: Estimate | None
    interrupted: tuple[str, ...]
    changed_scans: tuple[Problem, ...]
    next_step: str

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return asdict(self)


def info(workspace: Workspace) -> InfoResult:
    """Look at a workspace without reading a voxel.

    Raises:
        DataError: if a file of the workspace is damaged.
    """
    records = workspace.cases()
    revisions: dict[str, list[Revision]] = {record.id: [] for record in records}
    for document in workspace.store.documents("annotations"):
        revisions[document["case_id"]].append(Revision.from_json(document))
    newest = {case_id: found[-1].coverage for case_id, found in revisions.items() if found}
    latest = workspace.current_round()
    queries = () if latest is None else queries_of(workspace.layout, latest.number)
    counts = Counter[str](dict.fromkeys(workspace.labels.by_name, 0))
    for coverage in newest.values():
        counts.update(coverage.labels)
    return InfoResult(
        name=workspace.name,
        cases=tuple(_case_info(record, revisions[record.id]) for record in records),
        voxel_share=_share(
            sum(c.voxels for c in newest.values()), sum(r.geometry.voxel_count for r in records)
        ),
        slice_share=_share(
            sum(c.slices for c in newest.values()), sum(r.slice_count for r in records)
        ),
        labels=dict(counts),
        seconds=_seconds([r for found in revisions.values() for r in found]),
        rounds=tuple((r.number, r.stage.value) for r in workspace.rounds()),
        open_queries=sum(query.is_open for query in queries),
        quality=newest_estimate(
            workspace.layout, [r.sha256 for found in revisions.values() for r in found]
        ),
        interrupted=_interrupted(workspace),
        changed_scans=tuple(p for record in records for p in record.changes(workspace.layout)),
        next_step=_next_step(bool(records), bool(newest), latest, queries),
    )


def _case_info(record: CaseRecord, revisions: list[Revision]) -> CaseInfo:
    if not revisions:
        return CaseInfo(record.id, 0, 0.0, 0.0, {}, ())
    coverage = revisions[-1].coverage
    asked = {name: value for revision in revisions for name, value in revision.asked.items()}
    return CaseInfo(
        record.id,
        len(revisions),
        _share(coverage.voxels, record.geometry.voxel_count),
        _share(coverage.slices, record.slice_count),
        coverage.labels,
        tuple(sorted(asked, key=asked.__getitem__)),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _seconds(revisions: list[Revision]) -> float | None:
    logged = [r.origin.seconds for r in revisions if r.origin.seconds is not None]
    return math.fsum(logged) if logged else None


def _interrupted(workspace: Workspace) -> tuple[str, ...]:
    last = {job.kind: job.state for job in jobs_of(workspace.layout)}
    return tuple(kind for kind, state in last.items() if state is JobState.INTERRUPTED)


def _next_step(
    any_case: bool,  # noqa: FBT001 # private, two facts of the workspace
    any_annotation: bool,  # noqa: FBT001
    latest: Round | None,
    queries: tuple[StoredQuery, ...],
) -> str:
    if not any_case:
        return "run `voxloop add FOLDER` to add scans"
    if latest is None and any_annotation:
        return "run `voxloop train`"
    if latest is None:
        return (
            "run `voxloop suggest` to learn which slices to label first, "
            "or `voxloop collect FOLDER` if some are labelled already"
        )
    if latest.stage is RoundStage.ANNOTATING:
        waiting = sum(query.is_open for query in queries)
        return f"{NEXT_STEPS[latest.stage]} ({waiting} of {len(queries)} queries are open)"
    return NEXT_STEPS[latest.stage]
