"""Take scans into a workspace."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxloop.active.pool import slice_axis
from voxloop.compute.atomic import atomic_path
from voxloop.compute.memory import format_bytes
from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.dataset.case import Case
from voxloop.dataset.check import check_case
from voxloop.dataset.dataset import Dataset
from voxloop.dataset.index import CaseCollector
from voxloop.dataset.layouts import read_dataset
from voxloop.dataset.load import naming_case, read_case_channels
from voxloop.errors import DataError, LimitError, Problem, UsageError
from voxloop.io.formats import read_volume, strip_suffix, write_volume
from voxloop.workspace import audit
from voxloop.workspace.actions.brought_labels import BroughtLabels
from voxloop.workspace.annotations import (
    Origin,
    Revision,
    append_revision,
    draft_revision,
    stage_map,
)
from voxloop.workspace.cases import CaseRecord, ScanFile
from voxloop.workspace.clock import utc_now
from voxloop.workspace.staging import Staging, open_staging
from voxloop.workspace.workspace import Workspace

__all__ = ["AddResult", "add"]

_UNNAMED = ("image",)
"""What a plain folder calls its one channel; fits any other name."""

_TWO_FILES = (".mhd", ".nhdr")
"""Headers whose voxels lie in a file beside them; copied as one file."""


@dataclass(frozen=True)
class AddResult:
    """What `add` did.

    Attributes:
        added: ids of the new cases.
        annotated: ids of those whose label map was taken as their first annotation.
        copied: True if the scans were copied, False if they stay where they lie.
        next_step: what to do now, in words.
    """

    added: tuple[str, ...]
    annotated: tuple[str, ...]
    copied: bool
    next_step: str

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {
            "added": list(self.added),
            "annotated": list(self.annotated),
            "copied": self.copied,
            "next": self.next_step,
        }


@dataclass(frozen=True)
class _Prepared:
    """A case that can be added."""

    record: CaseRecord
    copies: tuple[tuple[Path, Path], ...]
    draft: tuple[Revision, Path] | None


def add(
    workspace: Workspace,
    source: Path | Sequence[Path],
    *,
    copy: bool = False,
    with_labels: bool = False,
    asked: Sequence[str] | None = None,
    actor: str = "",
    progress: ProgressSink = silent,
) -> AddResult:
    """Add a data set's cases; all of them or, if anything is wrong with any, none.

    Args:
        workspace: where to.
        source: a folder (nnU-Net v2 raw, Decathlon, or plain), or files of one channel each.
        copy: copy the scans; otherwise they stay where they lie and are watched for changes.
        with_labels: take the label maps that came with the scans as first annotations.
        asked: names of the labels that these maps cover; all of the data set's table, or of the
            workspace's where it has none, if not given.
        actor: for the audit trail; the workspace's author, then the system's user, where empty.
        progress: told about each case.

    Raises:
        DataError: listing every problem of every case; the workspace is unchanged.
        LimitError: if the copies would not fit on the disk, or a scan into memory.
        StorageError: if the disk refuses; the workspace is unchanged.
        UsageError: if labels are asked for that there are not, or without taking label maps.
    """
    if asked is not None and not with_labels:
        raise UsageError("--asked says what label maps cover; add --with-labels to take them")
    dataset = read_dataset(source) if isinstance(source, Path) else _of_files(source)
    if not with_labels:
        cases = tuple(dataclasses.replace(case, label_map=None) for case in dataset.cases)
        dataset = dataclasses.replace(dataset, cases=cases)
    if copy:
        _require_space(workspace, dataset)
    author = actor or workspace.settings.author or audit.current_user()
    with open_staging(workspace.layout) as staging:
        brought = BroughtLabels(dataset, workspace.labels, None if asked is None else tuple(asked))
        adder = _Adder(workspace, dataset, brought, staging, author, copy)
        prepared = adder.prepare(progress)
        with staging.commit("add", author) as commit:
            adder.require_new(workspace.cases())
            commit.detail["cases"] = [p.record.id for p in prepared]
            for case in prepared:
                for staged, target in case.copies:
                    commit.create(staged, target)
                target = workspace.layout.case_file(case.record.id)
                commit.create_json(target, case.record.to_json())
                if case.draft is not None:
                    append_revision(commit, workspace.layout, *case.draft)
    annotated = tuple(p.record.id for p in prepared if p.draft is not None)
    return AddResult(
        tuple(p.record.id for p in prepared),
        annotated,
        copy,
        "run `voxloop train`"
        if annotated
        else "run `voxloop suggest` to learn which slices to label first",
    )


@dataclass(frozen=True)
class _Adder:
    """A data set on its way into a workspace."""

    workspace: Workspace
    dataset: Dataset
    brought: BroughtLabels
    staging: Staging
    author: str
    copy: bool

    def prepare(self, progress: ProgressSink) -> tuple[_Prepared, ...]:
        """Check everything and stage what can be; raises one DataError with all problems."""
        present = self.workspace.cases()
        unfit = tuple(self.brought.problems())
        problems = [*self._doubles(present), *unfit]
        prepared = []
        for done, case in enumerate(self.dataset.cases):
            progress(Progress("checking", done, len(self.dataset.cases), case.id))
            found = [*check_case(case, None), *self._channels(case, present)]
            if not found and not unfit:
                try:
                    prepared.append(self._prepared(case, present))
                except DataError as error:
                    found = list(error.problems)
            problems += found
        if problems:
            raise DataError(problems)
        return tuple(prepared)

    def require_new(self, present: Iterable[CaseRecord]) -> None:
        """Check again that no case has the name of one that is present."""
        problems = self._doubles(present)
        if problems:
            raise DataError(problems)

    def _doubles(self, present: Iterable[CaseRecord]) -> list[Problem]:
        taken = {record.id.casefold(): record for record in present}
        return [
            Problem(
                case.where(case.channels[0]),
                "a case that is not in the workspace yet",
                f'case "{taken[case.id.casefold()].id}" there already',
                "rename the file if it is another examination, or leave it out",
            )
            for case in self.dataset.cases
            if case.id.casefold() in taken
        ]

    def _channels(self, case: Case, present: Sequence[CaseRecord]) -> list[Problem]:
        theirs = self.dataset.channel_names
        if not present:
            return []
        ours = present[0].channel_names
        same_number = len(ours) == len(theirs)
        if ours == theirs or (same_number and _UNNAMED in {ours, theirs}):
            return []
        remedy = "add scans of the same channels only, or make another workspace for them"
        return [Problem(case.where(), f"the channels {ours} of the workspace", f"{theirs}", remedy)]

    def _prepared(self, case: Case, present: Sequence[CaseRecord]) -> _Prepared:
        # Voxels as well: a scan cut off in the middle is found now, not in a night of training.
        geometry = read_case_channels(case)[0].geometry
        names = self.dataset.channel_names
        if names == _UNNAMED and present:
            names = present[0].channel_names
        channels, copies = [], []
        for index, (name, path) in enumerate(zip(names, case.channels, strict=True)):
            if self.copy:
                staged, target = self._copied(case, index, path)
                copies.append((staged, target))
                stored_as = target.relative_to(self.workspace.root).as_posix()
                channels.append((name, ScanFile.of(staged, stored_as)))
            else:
                channels.append((name, ScanFile.of(path, self._reference(path))))
        axis = slice_axis(geometry)
        record = CaseRecord(case.id, tuple(channels), geometry, axis, utc_now())
        return _Prepared(record, tuple(copies), self._draft(case, record))

    def _reference(self, path: Path) -> str:
        path = path.resolve()
        root = self.workspace.root
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)

    def _copied(self, case: Case, index: int, path: Path) -> tuple[Path, Path]:
        suffix = path.name[len(strip_suffix(path.name)) :].lower()
        convert = suffix in _TWO_FILES
        # Named by the case, since the original's name may say who the patient is.
        name = f"{case.id}_{index:04d}{'.nii.gz' if convert else suffix}"
        staged = self.staging.file(name)
        if convert:
            with naming_case(case):
                write_volume(staged, read_volume(path))
        else:
            with atomic_path(staged) as temporary:
                shutil.copyfile(path, temporary)
        return staged, self.workspace.layout.image_folder(case.id) / name

    def _draft(self, case: Case, record: CaseRecord) -> tuple[Revision, Path] | None:
        if case.label_map is None:
            return None
        annotation = self.brought.annotation(case)
        origin = Origin(self.author, "add")
        draft = draft_revision(self.workspace.layout, record, annotation, origin)
        return draft, stage_map(self.staging, annotation)


def _of_files(paths: Sequence[Path]) -> Dataset:
    collector = CaseCollector.empty()
    for path in paths:
        collector.add(strip_suffix(path.name), (path,), None)
    return Dataset(collector.finish(), None, _UNNAMED, "files")


def _require_space(workspace: Workspace, dataset: Dataset) -> None:
    paths = [path for case in dataset.cases for path in case.channels]
    needed = sum(path.stat().st_size for path in paths if path.is_file())
    free = shutil.disk_usage(workspace.root).free
    if needed > free:
        message = (
            f"copying {len(paths)} files needs {format_bytes(needed)}, {format_bytes(free)} are "
            "free; free some space, or add the scans without copying them"
        )
        raise LimitError(message)
