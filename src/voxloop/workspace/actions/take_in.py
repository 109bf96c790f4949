"""Take in what one annotator drew, for a case or a query; what cannot be stored is set aside."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voxloop.errors import DataError, UsageError
from voxloop.io.formats import SUFFIXES, write_label_map
from voxloop.volume.labels import BACKGROUND, IGNORE
from voxloop.volume.volume import LabelMap
from voxloop.workspace.actions.checked_delivery import CollectOptions
from voxloop.workspace.actions.collect import CollectResult, collect
from voxloop.workspace.annotations import newest_hash
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.delivery import LookedAt
from voxloop.workspace.drafts import DraftKey, discard_draft
from voxloop.workspace.layout import Layout
from voxloop.workspace.leases import QueryKey, hold, release
from voxloop.workspace.queries import StoredQuery, queries_of
from voxloop.workspace.rounds import RoundStage, current_round
from voxloop.workspace.set_aside import SetAside, set_aside
from voxloop.workspace.workspace import Workspace

__all__ = [
    "ClosedError",
    "RefusedError",
    "TakenIn",
    "UnknownQueryError",
    "answer_nothing",
    "answer_query",
    "arrival_folder",
    "open_query",
    "take_in",
]


class ClosedError(UsageError):
    """A query is no longer waiting for an answer."""


class UnknownQueryError(UsageError):
    """There was never a query of this name."""


class RefusedError(DataError):
    """A delivery that cannot be stored; it was set aside.

    Attributes:
        kept: under which it lies.
    """

    def __init__(self, error: DataError, kept: SetAside) -> None:
        super().__init__(error.problems)
        self.kept = kept


@dataclass(frozen=True)
class TakenIn:
    """What became of a delivery.

    Attributes:
        collected: what was stored.
        newest: hash of the case's newest revision now; None if it has none.
        kept: the delivery as it came, if a part of it was not stored.
    """

    collected: CollectResult
    newest: str | None
    kept: SetAside | None

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {
            **self.collected.to_json(),
            "etag": self.newest or "none",
            "kept": None if self.kept is None else self.kept.id,
        }


def take_in(workspace: Workspace, source: Path, case_id: str, options: CollectOptions) -> TakenIn:
    """Store a label map as `collect` does; if it is refused, or in part, keep it as it came.

    A draft of the same author for the case as a whole ends.

    Args:
        workspace: where to.
        source: a file of a known suffix, whatever its name.
        case_id: the case.
        options: what is known of it.

    Raises:
        RefusedError: if it cannot be taken; it was set aside.
        StaleError: if the case was annotated since; the draft goes on.
        UsageError: if the options do not fit the workspace.
        StorageError: if the disk refuses.
    """
    taken = _take_in(workspace, source, case_id, options)
    discard_draft(workspace.layout, DraftKey(case_id, options.author))
    return taken


def answer_query(
    workspace: Workspace, source: Path, key: QueryKey, options: CollectOptions
) -> TakenIn:
    """Answer one open query: its region counts as looked at, edits elsewhere are reported.

    Args:
        workspace: whose query.
        source: a label map of the query's case, of a known suffix.
        key: the query.
        options: what is known of the delivery; `queries` and `looked_at` are set here.

    Raises:
        ClosedError: if the query is no longer open.
        LeasedError: if somebody else works on it.
        RefusedError: if the delivery cannot be taken; it was set aside.
        StaleError: if the case was annotated since.
        StorageError: if the disk refuses.
    """
    layout = workspace.layout
    stored = open_query(workspace, key)
    hold(layout, key, options.author)
    chosen = dataclasses.replace(
        options, looked_at=LookedAt.QUERIES, queries=frozenset({key.number})
    )
    case_id = stored.query.case_id
    taken = _take_in(workspace, source, case_id, chosen)
    if key.number in taken.collected.answered:
        release(layout, key)
        discard_draft(layout, DraftKey(case_id, options.author, str(key)))
    return taken


def answer_nothing(workspace: Workspace, key: QueryKey, options: CollectOptions) -> TakenIn:
    """Answer an open query: none of the labels asked for is in its region.

    Raises:
        As `answer_query`.
    """
    stored = open_query(workspace, key)
    record = workspace.case(stored.query.case_id)
    array = np.full(record.geometry.shape, IGNORE, dtype=np.uint8)
    array[stored.query.region.slices] = BACKGROUND
    label_map = LabelMap(array, record.geometry, workspace.labels)
    with arrival_folder(workspace.layout) as folder:
        path = folder / "nothing.nii.gz"
        write_label_map(path, label_map)
        return answer_query(workspace, path, key, options)


def open_query(workspace: Workspace, key: QueryKey) -> StoredQuery:
    """An open query of the current round.

    Raises:
        ClosedError: if it is answered, skipped, or of another round.
        UnknownQueryError: if there was never such a query.
    """
    layout = workspace.layout
    stored = next((q for q in queries_of(layout, key.round) if q.number == key.number), None)
    if stored is None:
        raise UnknownQueryError(f"there is no query {key}")
    latest = current_round(layout)
    if latest is None or latest.number != key.round or latest.stage is not RoundStage.ANNOTATING:
        raise ClosedError(f"query {key} belongs to a round that is over; take the next one")
    if not stored.is_open:
        raise ClosedError(f"query {key} is {stored.status} already; take the next one")
    return stored


def _take_in(workspace: Workspace, source: Path, case_id: str, options: CollectOptions) -> TakenIn:
    layout, record = workspace.layout, workspace.case(case_id)
    with _named(layout, source, record) as path:
        try:
            done = collect(workspace, path, options)
        except DataError as error:
            reasons = [str(problem) for problem in error.problems]
            kept = set_aside(layout, source, case_id, options.author, reasons)
            raise RefusedError(error, kept) from error
    kept_too = None
    if done.warnings:
        kept_too = set_aside(layout, source, case_id, options.author, done.warnings)
    return TakenIn(done, newest_hash(layout, case_id), kept_too)


@contextmanager
def arrival_folder(layout: Layout) -> Iterator[Path]:
    """A folder of the workspace for what is arriving; gone at the end of the block."""
    parent = layout.arrivals
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        yield Path(folder)


@contextmanager
def _named(layout: Layout, source: Path, record: CaseRecord) -> Iterator[Path]:
    """The file under the case's name, as `collect` wants it."""
    suffix = next((s for s in SUFFIXES if source.name.lower().endswith(s)), SUFFIXES[0])
    with arrival_folder(layout) as folder:
        path = folder / f"{record.id}{suffix}"
        try:
            path.hardlink_to(source)
        except OSError:  # a disk without hard links, or another disk
            shutil.copyfile(source, path)
        yield path
