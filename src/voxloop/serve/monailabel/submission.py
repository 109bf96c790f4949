"""A label map that a plugin submits, on its way to a revision; nothing of it is ever lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voxloop.errors import DataError, Problem
from voxloop.io.formats import read_label_map, write_label_map
from voxloop.serve.monailabel.common import TOOL, ImageId
from voxloop.serve.monailabel.samples import open_for
from voxloop.serve.monailabel.wire import label_names, read_wire
from voxloop.volume.labels import BACKGROUND, IGNORE
from voxloop.volume.placement import displacement_of
from voxloop.volume.volume import LabelArray, LabelMap
from voxloop.workspace.actions.checked_delivery import CollectOptions
from voxloop.workspace.actions.collect import CollectResult, collect
from voxloop.workspace.actions.take_in import RefusedError, arrival_folder
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.delivery import LookedAt, changed_outside
from voxloop.workspace.leases import QueryKey, release
from voxloop.workspace.proposals import voxel_hash
from voxloop.workspace.queries import StoredQuery
from voxloop.workspace.set_aside import set_aside
from voxloop.workspace.workspace import Workspace

__all__ = ["Submission", "submit"]


@dataclass(frozen=True)
class Submission:
    """What a plugin sent.

    Attributes:
        image: which it belongs to.
        path: the file as it came.
        names: of the segments in their order; None if the plugin did not say.
        indices: a number for each name.
        author: who.
    """

    image: ImageId
    path: Path
    names: tuple[str, ...] | None
    indices: tuple[int, ...]
    author: str

    @classmethod
    def parse(cls, image: ImageId, path: Path, params: dict[str, Any], author: str) -> Submission:
        """Read the form field `params`.

        Raises:
            DataError: if `label_info` is no list of names.
        """
        listed = params.get("label_info")
        if not listed:
            return cls(image, path, None, (), author)
        try:
            names = tuple(str(entry["name"]) for entry in listed)
            numbers = enumerate(listed, start=1)
            indices = tuple(int(entry.get("idx", number)) for number, entry in numbers)
        except (TypeError, KeyError, ValueError, OverflowError, AttributeError) as error:
            remedy = "update the plugin"
            problem = Problem("label_info", "a list of names with numbers", "another", remedy)
            raise DataError(problem) from error
        return cls(image, path, names, indices, author)


def submit(workspace: Workspace, submission: Submission, record: CaseRecord) -> dict[str, Any]:
    """Take what was asked for out of a submitted label map.

    Where queries of the case are open, their regions count as looked at and nothing else; edits
    elsewhere are reported and kept aside. Without any, every slice with a label counts, and of a
    scan that was to be labelled as a whole all of it.

    Raises:
        RefusedError: if it cannot be taken; it was set aside.
        StorageError: if the disk refuses.
    """
    try:
        done, remarks = _taken(workspace, submission, record)
    except DataError as error:
        reasons = [str(problem) for problem in error.problems]
        kept = set_aside(workspace.layout, submission.path, record.id, submission.author, reasons)
        raise RefusedError(error, kept) from error
    warnings = [*remarks, *done.warnings]
    kept_as = None
    if warnings:
        kept_as = set_aside(
            workspace.layout, submission.path, record.id, submission.author, warnings
        ).id
    newest = next(reversed(workspace.annotations_of(record.id)), None)
    return {
        "image": str(submission.image),
        "label": record.id if newest is None else f"{record.id}-{newest.number}",
        "stored": bool(done.stored),
        "answered": list(done.answered),
        "round_complete": done.round_complete,
        "warnings": warnings,
        "kept": kept_as,
    }


def _taken(
    workspace: Workspace, submission: Submission, record: CaseRecord
) -> tuple[CollectResult, list[str]]:
    labels = workspace.labels
    named = submission.names
    names = tuple(label_names(labels)) if named is None else named
    array = read_wire(submission.path, record.geometry, names, submission.indices, labels)
    asked = tuple(name for name in labels.by_name if name in names)
    remarks = []
    if missing := [name for name in labels.by_name if name not in names]:
        remarks.append(
            f"{', '.join(missing)}: not among the segments, so that nothing is known of it"
        )
    if not asked:
        remedy = f"add a segment named {' or '.join(labels.by_name)}"
        raise DataError(Problem("segmentation", "a segment of a label", "none", remedy))
    round_number, queries = -1, list[StoredQuery]()
    if not submission.image.whole:
        round_number, queries = open_for(workspace, record.id, submission.author)
    proposal = None
    policy = LookedAt.ALL if submission.image.whole else LookedAt.LABELLED_SLICES
    if queries:
        started = _started(workspace, round_number, record, array, queries)
        proposal = voxel_hash(started) if started.any() else None
        remarks += _elsewhere(array, started, queries)
        array, policy = _only_asked(array, queries), LookedAt.ALL
    options = CollectOptions(
        looked_at=policy,
        asked=asked,
        author=submission.author,
        queries=frozenset(query.number for query in queries),
        tool=TOOL,
        proposal=proposal,
    )
    with arrival_folder(workspace.layout) as folder:
        path = folder / f"{record.id}.nii.gz"
        write_label_map(path, LabelMap(array, record.geometry, labels))
        done = collect(workspace, path, options)
    for number in done.answered:
        release(workspace.layout, QueryKey(round_number, number))
    return done, remarks


def _started(
    workspace: Workspace,
    round_number: int,
    record: CaseRecord,
    array: LabelArray,
    queries: Sequence[StoredQuery],
) -> LabelArray:
    """What the annotator seems to have started from: what was handed out, what is known, nothing.

    Raises:
        DataError: if the label map is mirrored or shifted against it.
    """
    packed = workspace.layout.packed_map(round_number, record.id)
    candidates = [np.zeros_like(array), workspace.target_of(record.id).values]
    if packed.exists():
        candidates.insert(0, read_label_map(packed, workspace.labels).array)
    plain = [np.where(c == IGNORE, np.uint8(BACKGROUND), c) for c in candidates]
    asked = _mask(array, queries)
    started = min(plain, key=lambda c: int(changed_outside(array, asked, c).sum()))
    looked = np.where(array == IGNORE, started, array)
    found = displacement_of(looked, started, tuple(q.query.region for q in queries))
    if found is not None:
        remedy = "load the sample again and draw on it; the submission is kept on the server"
        raise DataError(
            Problem("segmentation", "voxels where the image has them", found.words, remedy)
        )
    return np.asarray(started)


def _elsewhere(array: LabelArray, started: LabelArray, queries: Sequence[StoredQuery]) -> list[str]:
    changed = changed_outside(array, _mask(array, queries), started)
    if not changed.any():
        return []
    remark = (
        f"{np.count_nonzero(changed)} voxels were changed outside of what was asked for and are "
        "not stored; the submission is kept on the server as it came"
    )
    return [remark]


def _only_asked(array: LabelArray, queries: Sequence[StoredQuery]) -> LabelArray:
    return np.where(_mask(array, queries), array, np.uint8(IGNORE))


def _mask(array: LabelArray, queries: Sequence[StoredQuery]) -> Any:
    mask = np.zeros(array.shape, dtype=bool)
    for query in queries:
        mask[query.query.region.slices] = True
    return mask
