"""Annotations as append-only revisions, each sealed with a hash that covers the one before."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from voxloop.active.cost.walks import walks
from voxloop.dataset.annotation import Annotation, Target
from voxloop.errors import DataError, Problem, UsageError
from voxloop.io.formats import read_label_map, write_label_map
from voxloop.volume.boxes import bounding_box
from voxloop.volume.labels import IGNORE, LabelTable
from voxloop.volume.volume import LabelArray, count_values
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.clock import utc_now
from voxloop.workspace.documents import read_record
from voxloop.workspace.layout import Layout
from voxloop.workspace.revisions import (
    Coverage,
    Origin,
    OvertakenError,
    Revision,
    StaleError,
    active,
)
from voxloop.workspace.staging import Commit, Staging
from voxloop.workspace.sum_files import read_sum, write_sum
from voxloop.workspace.sums import SUMS, stamp

__all__ = [
    "Coverage",
    "Origin",
    "OvertakenError",
    "Revision",
    "StaleError",
    "active",
    "annotations_of",
    "append_revision",
    "coverage_of",
    "draft_revision",
    "load",
    "newest_hash",
    "require_newest",
    "stage_map",
    "target_of",
    "target_until",
    "target_with",
    "verify",
]

_WORTH_A_FILE = 8
"""Revisions to add up; fewer are added up again, so that not every delivery writes a sum."""

_TURNED = (64, 8)
"""Voxels along the first two axes that are turned at once."""


def annotations_of(layout: Layout, case_id: str) -> tuple[Revision, ...]:
    """All revisions of a case, oldest first."""
    files = sorted(layout.annotation_folder(case_id).glob("[0-9]*.json"))
    return tuple(sorted((read_record(f, Revision.from_json) for f in files), key=_number))


def load(layout: Layout, revision: Revision, labels: LabelTable) -> Annotation:
    """Read a revision's label map and check its seal.

    Raises:
        DataError: if the file is missing, was changed, or its labels are not in the table.
    """
    path = layout.revision_map(revision.case_id, revision.number)
    where = f'case "{revision.case_id}", {path}'
    changed = sorted(n for n, value in revision.asked.items() if labels.by_name.get(n) != value)
    if changed:
        expected = f"the labels it was drawn with, {revision.asked}"
        remedy = "put these names and values back into [labels] of voxloop.toml"
        raise DataError(Problem(where, expected, f"another value, or none, for {changed}", remedy))
    label_map = read_label_map(path, labels)
    sealed = _seal(revision, label_map.array)
    if sealed != revision.sha256:
        raise _tampered(where, "the content that was stored", "another content")
    return Annotation(label_map, frozenset(revision.asked.values()))


def target_of(layout: Layout, record: CaseRecord, labels: LabelTable) -> Target:
    """All that is known of a case's labels."""
    return _known(layout, record, labels, active(annotations_of(layout, record.id)))


def target_with(
    layout: Layout, record: CaseRecord, labels: LabelTable, revision: Revision
) -> Target:
    """All that would be known with one more revision that takes another back; nothing is stored.

    Args:
        layout: the workspace.
        record: the case.
        labels: the label table.
        revision: drafted, with `withdraws`.
    """
    counting = active((*annotations_of(layout, record.id), revision))
    return _known(layout, record, labels, counting)


def target_until(layout: Layout, record: CaseRecord, labels: LabelTable, number: int) -> Target:
    """What was known of a case's labels after one of its revisions.

    Raises:
        UsageError: if there is no such revision.
    """
    revisions = annotations_of(layout, record.id)
    if not 1 <= number <= len(revisions):
        raise UsageError(
            f'case "{record.id}" has {len(revisions)} revisions; there is no revision {number}'
        )
    target = Target.empty(record.geometry.shape, labels)
    for revision in active(revisions[:number]):
        target = target.joined(load(layout, revision, labels))
    return target


def verify(layout: Layout, case_id: str, labels: LabelTable) -> int:
    """Check every seal and the chain of a case's revisions, and return how many there are.

    Raises:
        DataError: at the first revision that was changed, removed or inserted.
    """
    parent = None
    revisions = annotations_of(layout, case_id)
    for number, revision in enumerate(revisions, start=1):
        if revision.number != number or revision.parent != parent or revision.case_id != case_id:
            where = f'case "{case_id}", {layout.revision_file(case_id, revision.number)}'
            raise _tampered(where, f"revision {number} after {parent}", "a broken chain")
        load(layout, revision, labels)
        parent = revision.sha256
    return len(revisions)


def coverage_of(target: Target, slice_axis: int) -> Coverage:
    """Count what is annotated of a case.

    Args:
        target: all that is known of its labels.
        slice_axis: the axis across which slices are counted if there is a choice.
    """
    looked = target.looked_at
    box = bounding_box(looked)
    walked = () if box is None else walks(looked[box.slices], slice_axis)
    counts = count_values(target.values)
    return Coverage(
        voxels=looked.size - int(counts[IGNORE]),
        slices=sum(len(walk.slices) for walk in walked),
        labels={name: int(counts[v]) for v, name in target.labels.names.items() if counts[v]},
    )


def stage_map(staging: Staging, annotation: Annotation) -> Path:
    """Write an annotation's label map where a change is prepared."""
    path = staging.file("map.nii.gz")
    write_label_map(path, annotation.label_map)
    return path


def draft_revision(
    layout: Layout,
    record: CaseRecord,
    annotation: Annotation,
    origin: Origin,
    withdraws: int | None = None,
) -> Revision:
    """The record of what would be the case's next revision; nothing is written.

    Args:
        layout: the workspace.
        record: the case.
        annotation: what was delivered; that of the revision taken back if one is.
        origin: where it comes from.
        withdraws: number of the revision that is taken back, or None.

    Raises:
        DataError: if the annotation is not on the case's grid.
    """
    labels = annotation.label_map.labels
    difference = record.geometry.difference(annotation.label_map.geometry)
    if difference:
        remedy = "label the scan itself, not a resampled or reoriented copy"
        raise DataError(Problem(f'case "{record.id}"', "the scan's grid", difference, remedy))
    earlier = annotations_of(layout, record.id)
    parent = earlier[-1].sha256 if earlier else None
    revision = Revision(
        case_id=record.id,
        number=len(earlier) + 1,
        origin=origin,
        asked={labels.names[value]: value for value in sorted(annotation.asked)},
        parent=parent,
        sha256="",
        created=utc_now(),
        coverage=Coverage(),
        withdraws=withdraws,
    )
    counting = active((*earlier, revision))
    target = _known(layout, record, labels, [r for r in counting if r is not revision])
    if withdraws is None:
        target = target.joined(annotation)
    return dataclasses.replace(
        revision,
        sha256=_seal(revision, annotation.label_map.array),
        coverage=coverage_of(target, record.slice_axis),
    )


def append_revision(commit: Commit, layout: Layout, revision: Revision, staged: Path) -> None:
    """Make a drafted revision part of a change.

    Args:
        commit: the change.
        layout: the workspace.
        revision: from `draft_revision`.
        staged: its label map, from `stage_map`.

    Raises:
        OvertakenError: if another revision came first; draft again.
    """
    last = _last(layout, revision.case_id)
    if revision.parent != (None if last is None else last.sha256):
        message = (
            f'case "{revision.case_id}" was annotated by another process at the same time; '
            "run the command again"
        )
        raise OvertakenError(message)
    commit.create(staged, layout.revision_map(revision.case_id, revision.number))
    # Last, since the record is what makes the revision exist.
    commit.create_json(layout.revision_file(revision.case_id, revision.number), revision.to_json())
    commit.detail.setdefault("revisions", []).append(
        [revision.case_id, revision.number, revision.sha256]
    )


def _known(
    layout: Layout, record: CaseRecord, labels: LabelTable, revisions: Sequence[Revision]
) -> Target:
    """The sum of revisions, begun with what this process has added up before."""
    files = [layout.revision_map(record.id, revision.number) for revision in revisions]
    steps = [
        (revision.sha256, *stamp(file)) for revision, file in zip(revisions, files, strict=True)
    ]
    place, shape = (str(layout.root), record.id, labels), record.geometry.shape
    with SUMS.alone(place):
        done, target = SUMS.longest(place, steps, shape)
        file = layout.sum_file(record.id)
        if len(steps) - done >= _WORTH_A_FILE:
            done, target = max((done, target), read_sum(file, steps, shape, labels), key=_count)
        left = revisions[done:]
        for revision in left:
            target = target.joined(load(layout, revision, labels))
        SUMS.keep(place, steps, target)
        if len(left) >= _WORTH_A_FILE:
            write_sum(file, steps, target)
    return target


def _count(found: tuple[int, Target]) -> int:
    return found[0]


def newest_hash(layout: Layout, case_id: str) -> str | None:
    """Hash of a case's newest revision, or None without one: what a state of a case is named by."""
    last = _last(layout, case_id)
    return None if last is None else last.sha256


def require_newest(layout: Layout, case_id: str, expected: str | None) -> None:
    """Refuse a change that was made looking at an older state of a case.

    Args:
        layout: the workspace.
        case_id: the case.
        expected: hash of the newest revision then, empty without one; None to let it be.

    Raises:
        StaleError: if there is a newer one.
    """
    newest = newest_hash(layout, case_id)
    if expected is not None and expected != (newest or ""):
        raise StaleError(case_id, newest)


def _last(layout: Layout, case_id: str) -> Revision | None:
    return next(reversed(annotations_of(layout, case_id)), None)


def _number(revision: Revision) -> int:
    return revision.number


def _seal(revision: Revision, array: LabelArray) -> str:
    asked = sorted(revision.asked.items())
    header: list[Any] = [revision.case_id, list(array.shape), asked, revision.parent]
    if revision.withdraws is not None:  # absent otherwise: older seals stay what they are
        header.append(revision.withdraws)
    digest = hashlib.sha256(json.dumps(header).encode())
    for i in range(0, array.shape[0], _TURNED[0]):
        digest.update(_last_axis_fastest(array[i : i + _TURNED[0]]).data)
    return digest.hexdigest()


def _last_axis_fastest(array: LabelArray) -> LabelArray:
    """The same in C order; in parts that the processor's cache holds, a third of the time."""
    if array.flags.c_contiguous:
        return array
    turned, usual = np.empty(array.shape, array.dtype), array[0, 0, 0]
    for j in range(0, array.shape[1], _TURNED[1]):
        source, place = array[:, j : j + _TURNED[1]], turned[:, j : j + _TURNED[1]]
        others = np.flatnonzero((source != usual).any(axis=(0, 1)))
        if len(others) > array.shape[2] // 8:
            place[...] = source
        else:  # most annotations: nobody looked but here and there
            place[...] = usual
            place[:, :, others] = source[:, :, others]
    return turned


def _tampered(where: str, expected: str, found: str) -> DataError:
    return DataError(Problem(where, expected, found, "restore the annotations from a backup"))
