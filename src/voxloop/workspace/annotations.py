"""Annotations as append-only revisions, each sealed with a hash that covers the one before."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voxloop.dataset.annotation import Annotation, Target, merge
from voxloop.errors import DataError, Problem, UsageError
from voxloop.io.formats import read_label_map, write_label_map
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelArray
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.clock import utc_now
from voxloop.workspace.documents import read_record
from voxloop.workspace.layout import Layout
from voxloop.workspace.staging import Commit, Staging

__all__ = [
    "Coverage",
    "Origin",
    "OvertakenError",
    "Revision",
    "annotations_of",
    "append_revision",
    "coverage_of",
    "draft_revision",
    "load",
    "stage_map",
    "target_of",
    "verify",
]


class OvertakenError(UsageError):
    """Another delivery for the same case was stored while this one was being prepared."""


@dataclass(frozen=True)
class Coverage:
    """How much of a case is annotated after a revision.

    Attributes:
        voxels: looked at for any label.
        slices: looked at wholly, across the case's slice axis.
        labels: voxels of each label that was found, by name.
    """

    voxels: int = 0
    slices: int = 0
    labels: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Origin:
    """Where an annotation comes from.

    Attributes:
        author: the annotator.
        tool: what delivered it, e.g. `collect`.
        round: the round it answers, or None.
        seconds: what it took, above zero, or None where nobody measured.
    """

    author: str
    tool: str
    round: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Revision:
    """The record of one delivery for a case.

    Attributes:
        case_id: the case.
        number: from 1 on, without gaps.
        origin: who, with what, when asked, in what time.
        asked: the labels that were looked for, name to value.
        parent: hash of the revision before, None for the first.
        sha256: hash of case, voxels, labels asked for, and parent.
        created: UTC, ISO 8601.
        coverage: of the case after this revision.
    """

    case_id: str
    number: int
    origin: Origin
    asked: dict[str, int]
    parent: str | None
    sha256: str
    created: str
    coverage: Coverage

    def to_json(self) -> dict[str, Any]:
        """The record as a document."""
        document = asdict(self)
        return {**document.pop("origin"), **document}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Revision:
        """Read what `to_json` wrote."""
        return cls(
            document["case_id"],
            document["number"],
            Origin(*(document[f.name] for f in dataclasses.fields(Origin))),
            document["asked"],
            document["parent"],
            document["sha256"],
            document["created"],
            Coverage(**document["coverage"]),
        )


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
    sealed = _seal(revision.case_id, label_map.array, revision.asked, revision.parent)
    if sealed != revision.sha256:
        raise _tampered(where, "the content that was stored", "another content")
    return Annotation(label_map, frozenset(revision.asked.values()))


def target_of(layout: Layout, record: CaseRecord, labels: LabelTable) -> Target:
    """All that is known of a case's labels."""
    return merge(_loaded(layout, record.id, labels), record.geometry.shape, labels)


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
        slice_axis: the axis across which slices are counted.
    """
    looked = target.looked_at
    others = tuple(axis for axis in range(3) if axis != slice_axis)
    counts = np.bincount(target.values.ravel(), minlength=256)
    return Coverage(
        voxels=int(np.count_nonzero(looked)),
        slices=int(np.count_nonzero(looked.all(axis=others))),
        labels={name: int(counts[v]) for v, name in target.labels.names.items() if counts[v]},
    )


def stage_map(staging: Staging, annotation: Annotation) -> Path:
    """Write an annotation's label map where a change is prepared."""
    path = staging.file("map.nii.gz")
    write_label_map(path, annotation.label_map)
    return path


def draft_revision(
    layout: Layout, record: CaseRecord, annotation: Annotation, origin: Origin
) -> Revision:
    """The record of what would be the case's next revision; nothing is written.

    Args:
        layout: the workspace.
        record: the case.
        annotation: what was delivered.
        origin: where it comes from.

    Raises:
        DataError: if the annotation is not on the case's grid.
    """
    labels = annotation.label_map.labels
    difference = record.geometry.difference(annotation.label_map.geometry)
    if difference:
        remedy = "label the scan itself, not a resampled or reoriented copy"
        raise DataError(Problem(f'case "{record.id}"', "the scan's grid", difference, remedy))
    last = _last(layout, record.id)
    number, parent = (1, None) if last is None else (last.number + 1, last.sha256)
    asked = {labels.names[value]: value for value in sorted(annotation.asked)}
    seal = _seal(record.id, annotation.label_map.array, asked, parent)
    known = itertools.chain(_loaded(layout, record.id, labels), (annotation,))
    coverage = coverage_of(merge(known, record.geometry.shape, labels), record.slice_axis)
    return Revision(record.id, number, origin, asked, parent, seal, utc_now(), coverage)


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


def _loaded(layout: Layout, case_id: str, labels: LabelTable) -> Iterator[Annotation]:
    for revision in annotations_of(layout, case_id):
        yield load(layout, revision, labels)


def _last(layout: Layout, case_id: str) -> Revision | None:
    return next(reversed(annotations_of(layout, case_id)), None)


def _number(revision: Revision) -> int:
    return revision.number


def _seal(case_id: str, array: LabelArray, asked: dict[str, int], parent: str | None) -> str:
    header = [case_id, list(array.shape), sorted(asked.items()), parent]
    digest = hashlib.sha256(json.dumps(header).encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _tampered(where: str, expected: str, found: str) -> DataError:
    return DataError(Problem(where, expected, found, "restore the annotations from a backup"))
