"""What a workspace's models learn from, and which model is the newest."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from voxloop.dataset.annotation import merge
from voxloop.dataset.load import read_case_channels
from voxloop.errors import DataError, Problem, UsageError
from voxloop.model.checkpoint import Checkpoint, load_checkpoint
from voxloop.plan.plan import Plan
from voxloop.train.loop import MODEL_FILE
from voxloop.train.prepare import AnnotatedCase
from voxloop.train.score import labels_shown
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import Volume
from voxloop.workspace.annotations import active
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.workspace import Workspace

__all__ = [
    "annotated_cases",
    "annotation_hashes",
    "earlier_model",
    "newest_model",
    "read_scans",
    "require_annotations",
    "unlearnable",
]


def read_scans(workspace: Workspace, record: CaseRecord) -> tuple[Volume, ...]:
    """Read a case's channels, having made sure that they are still the ones that were added.

    Raises:
        DataError: if a file is gone, was changed, or is bad.
    """
    changes = record.changes(workspace.layout)
    if changes:
        raise DataError(changes)
    return read_case_channels(record.case(workspace.layout))


def annotation_hashes(workspace: Workspace) -> tuple[str, ...]:
    """Hashes of all revisions, by case and number: what a model trained now would learn from."""
    return tuple(
        revision.sha256
        for record in workspace.cases()
        for revision in workspace.annotations_of(record.id)
    )


def require_annotations(workspace: Workspace) -> None:
    """Make sure that there is something to learn from.

    Raises:
        DataError: if nothing is annotated, or no structure was found anywhere.
    """
    newest = [
        revisions[-1]
        for record in workspace.cases()
        if (revisions := workspace.annotations_of(record.id))
    ]
    names = " or ".join(workspace.labels.by_name)
    if not newest:
        expected, found = "an annotated slice", "none"
    elif not any(revision.coverage.labels for revision in newest):
        expected, found = f"a voxel labelled {names}", f"background only, in {len(newest)} cases"
    else:
        return
    remedy = "run `voxloop suggest`, label a slice that shows a structure, and `voxloop collect`"
    raise DataError(Problem(f"workspace {workspace.root}", expected, found, remedy))


def annotated_cases(workspace: Workspace, hashes: Collection[str]) -> tuple[AnnotatedCase, ...]:
    """The cases with what the given revisions say of them; images are read later.

    Args:
        workspace: to read from.
        hashes: of the revisions that count.

    Raises:
        DataError: if a scan or a revision was changed behind Voxloop's back.
    """
    wanted = frozenset(hashes)
    found = []
    for record in workspace.cases():
        revisions = active(r for r in workspace.annotations_of(record.id) if r.sha256 in wanted)
        if not revisions:
            continue
        target = merge(map(workspace.load, revisions), record.geometry.shape, workspace.labels)
        content = "-".join(scan.sha256[:16] for _, scan in record.channels)
        found.append(
            AnnotatedCase(
                id=record.id,
                read=lambda record=record: read_scans(workspace, record),  # type: ignore[misc]
                geometry=record.geometry,
                target=target,
                content=content,
            )
        )
    return tuple(found)


def unlearnable(cases: Iterable[AnnotatedCase], labels: LabelTable) -> tuple[str, ...]:
    """Names of the labels that no annotated voxel carries, so that nothing can be learned of them.

    Args:
        cases: to learn from.
        labels: the workspace's.
    """
    shown = frozenset[int]().union(*(labels_shown(case.target) for case in cases))
    return tuple(name for value, name in labels.names.items() if value not in shown)


def earlier_model(workspace: Workspace, number: int, plan: Plan) -> Checkpoint | None:
    """The newest model of a round before this one whose network is the plan's; None without one."""
    for record in reversed(workspace.rounds()):
        path = workspace.layout.member_folder(record.number, 0) / MODEL_FILE
        if record.number < number and path.exists():
            found = load_checkpoint(path)
            if plan.has_network_of(found.plan):
                return found
    return None


def newest_model(workspace: Workspace) -> Path:
    """The model of the newest round that has one.

    Raises:
        UsageError: if nothing was trained yet.
    """
    for record in reversed(workspace.rounds()):
        path = workspace.layout.member_folder(record.number, 0) / MODEL_FILE
        if path.exists():
            return path
    raise UsageError(f"{workspace.root} has no model yet; run `voxloop train` first")
