"""One delivered label map on its way to a revision: checked, cut to what was looked at, staged."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voxloop.dataset.annotation import Annotation
from voxloop.errors import DataError, Problem, UsageError
from voxloop.io.formats import read_geometry, read_label_map
from voxloop.volume.geometry import Geometry
from voxloop.volume.volume import LabelArray, LabelMap
from voxloop.workspace import audit
from voxloop.workspace.annotations import (
    Origin,
    Revision,
    draft_revision,
    require_newest,
    stage_map,
)
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.delivery import (
    LookedAt,
    answer,
    changed_outside,
    is_known,
    labels_asked,
    looked_at,
    only_asked,
    require_only,
)
from voxloop.workspace.queries import StoredQuery
from voxloop.workspace.rounds import RoundStage
from voxloop.workspace.staging import Staging
from voxloop.workspace.workspace import Workspace

__all__ = ["CheckedDelivery", "CollectOptions", "check_delivery"]


@dataclass(frozen=True)
class CollectOptions:
    """What is known of a delivery beside its files.

    Attributes:
        looked_at: how to tell where somebody looked; the workspace's setting where None.
        axis: across which slices count for `labelled-slices`; the case's slice axis where None.
        asked: names of the labels that were looked for, the only ones that the files may have
            anew; all where None.
        author: the annotator; the workspace's setting, then the system's user, where empty.
        seconds: what the whole delivery took, above zero; shared out by voxels looked at.
        ignore_value: a value that means "not looked at" beside 255.
        queries: numbers of the open queries that it may answer; all of the case where None.
        tool: what the annotator drew with, for the record.
        proposal: hash of the label map that the annotator started from, for the record.
        expected: hash of the case's newest revision when the annotator looked, empty without one;
            the delivery is refused if there is a newer one. None to take it anyway.
        confirm: numbers of the queries of a pack whose proposals are right as they were handed out.

    Raises:
        UsageError: if axis, seconds or policy cannot be.
    """

    looked_at: LookedAt | None = None
    axis: int | None = None
    asked: tuple[str, ...] | None = None
    author: str = ""
    seconds: float | None = None
    ignore_value: int | None = None
    queries: frozenset[int] | None = None
    tool: str = "collect"
    proposal: str | None = None
    expected: str | None = None
    confirm: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if self.axis not in {None, 0, 1, 2}:
            raise UsageError(f"the slice axis is 0, 1 or 2, not {self.axis}")
        if self.seconds is not None and not 0 < self.seconds < float("inf"):
            raise UsageError(f"the time spent is above 0 seconds, not {self.seconds}")

    def completed(self, workspace: Workspace) -> CollectOptions:
        """The options with the workspace's own in the place of what was left open.

        Raises:
            UsageError: if labels are asked for that the workspace does not have.
        """
        asked = labels_asked(workspace.labels, self.asked)
        policy = self.looked_at or workspace.settings.looked_at
        author = self.author or workspace.settings.author or audit.current_user()
        return dataclasses.replace(self, asked=asked, looked_at=policy, author=author)


@dataclass(frozen=True)
class CheckedDelivery:
    """A delivery that can be stored.

    Attributes:
        case_id: the case.
        looked_voxels: how many voxels were looked at.
        draft: the revision and its staged label map, or None if nothing is new.
        round: the round whose queries were looked at, or None.
        answered: numbers of those that it answers.
        warnings: what was not stored, in words.
        seconds: what the case took, where that was written down beside the files.
        untouched: numbers of the queries of a pack that are as they were handed out.
    """

    case_id: str
    looked_voxels: int
    draft: tuple[Revision, Path] | None
    round: int | None
    answered: tuple[int, ...]
    warnings: tuple[str, ...]
    seconds: float | None = None
    untouched: tuple[int, ...] = ()


def check_delivery(
    workspace: Workspace,
    options: CollectOptions,
    delivery: tuple[CaseRecord, Path],
    staging: Staging,
) -> CheckedDelivery:
    """Check a label map and stage it.

    Args:
        workspace: where to.
        options: completed.
        delivery: case and label map.
        staging: where the change is prepared.

    Raises:
        DataError: if it cannot be taken.
    """
    record, path = delivery
    latest = workspace.current_round()
    annotating = latest is not None and latest.stage is RoundStage.ANNOTATING
    number = latest.number if latest is not None and annotating else None
    queries = [
        q
        for q in _open_queries(workspace, number)
        if q.query.case_id == record.id and (options.queries is None or q.number in options.queries)
    ]
    require_newest(workspace.layout, record.id, options.expected)
    _require_grid(read_geometry(path), record)  # before a voxel is unpacked
    label_map = read_label_map(path, workspace.labels, ignore_value=options.ignore_value)
    target = workspace.target_of(record.id)
    packed = _packed(workspace, number, record)
    given = target.values if packed is None else packed
    annotation = _answer(label_map, options, record, queries, given)
    warnings = [
        *_outside(label_map, annotation, given, record),
        *_in_part(annotation, queries, record),
    ]
    draft = None
    if not is_known(target, annotation):
        query = queries[0].number if options.queries is not None and queries else None
        origin = Origin(
            options.author, options.tool, number, query=query, proposal=options.proposal
        )
        revision = draft_revision(workspace.layout, record, annotation, origin)
        draft = revision, stage_map(staging, annotation)
    looked = annotation.looked_at
    answered = tuple(q.number for q in queries if looked[q.query.region.slices].all())
    return CheckedDelivery(record.id, int(looked.sum()), draft, number, answered, tuple(warnings))


def _answer(
    label_map: LabelMap,
    options: CollectOptions,
    record: CaseRecord,
    queries: Sequence[StoredQuery],
    given: LabelArray,
) -> Annotation:
    by_name = label_map.labels.by_name
    asked = [by_name[name] for name in options.asked or ()]
    require_only(label_map, asked, given, "label map")
    mask = looked_at(
        only_asked(label_map, asked),
        options.looked_at or LookedAt.AUTO,
        [query.query.region for query in queries],
        record.slice_axis if options.axis is None else options.axis,
        "label map",
    )
    return answer(label_map, mask, asked, "label map")


def _require_grid(found: Geometry, record: CaseRecord) -> None:
    difference = record.geometry.difference(found)
    if difference:
        remedy = "label the scan itself, not a resampled or reoriented copy"
        raise DataError(Problem("label map", "the scan's grid", difference, remedy))


def _open_queries(workspace: Workspace, round_number: int | None) -> tuple[StoredQuery, ...]:
    return () if round_number is None else workspace.open_queries()


def _packed(
    workspace: Workspace, round_number: int | None, record: CaseRecord
) -> LabelArray | None:
    if round_number is None:
        return None
    packed = workspace.layout.packed_map(round_number, record.id)
    return read_label_map(packed, workspace.labels).array if packed.exists() else None


def _outside(
    label_map: LabelMap, annotation: Annotation, baseline: LabelArray, record: CaseRecord
) -> Iterator[str]:
    changed = changed_outside(label_map.array, annotation.looked_at, baseline)
    if changed.any():
        others = tuple(axis for axis in range(3) if axis != record.slice_axis)
        slices = np.flatnonzero(changed.any(axis=others))
        yield (
            f'case "{record.id}": {np.count_nonzero(changed)} voxels in {slices.size} slices '
            f"({slices[0]} to {slices[-1]}) were changed outside of what was looked at and are "
            "not stored; to keep them, collect again with another --looked-at"
        )


def _in_part(
    annotation: Annotation, queries: Sequence[StoredQuery], record: CaseRecord
) -> Iterator[str]:
    for query in queries:
        looked = annotation.looked_at[query.query.region.slices]
        if looked.any() and not looked.all():
            yield (
                f'case "{record.id}": query {query.number} is answered in part '
                f"({looked.mean():.0%}) and stays open"
            )
