"""A workspace: the project on disk, opened by its folder."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from voxloop.dataset.annotation import Annotation, Target
from voxloop.errors import UsageError
from voxloop.volume.labels import LabelTable
from voxloop.workspace.annotations import (
    Revision,
    annotations_of,
    load,
    target_of,
    target_with,
    verify,
)
from voxloop.workspace.audit import verify_entries
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.documents import read_record
from voxloop.workspace.layout import Layout
from voxloop.workspace.lock import exclusive
from voxloop.workspace.queries import QueryStatus, StoredQuery, queries_of
from voxloop.workspace.rounds import Round, current_round, rounds_of
from voxloop.workspace.settings import Settings, read_settings, render_settings
from voxloop.workspace.staging import open_staging, recover
from voxloop.workspace.store import Store

__all__ = ["Workspace"]


@dataclass(frozen=True)
class Workspace:
    """An open workspace. It holds no state but its settings: everything is read when asked for.

    Attributes:
        layout: where everything lies.
        settings: what `voxloop.toml` said on opening.
    """

    layout: Layout
    settings: Settings

    @classmethod
    def open(cls, folder: Path) -> Workspace:
        """Open a workspace, and first finish what a stopped process had begun to change.

        Raises:
            UsageError: if the folder is no workspace, or one of a later version.
            DataError: if `voxloop.toml` is wrong; lists every problem.
        """
        layout = Layout(folder)
        if not layout.settings_file.exists():
            message = (
                f"{layout.root} is no workspace (there is no {layout.settings_file.name}); "
                "run `voxloop init FOLDER` to make one, or name the right folder"
            )
            raise UsageError(message)
        settings = read_settings(layout.settings_file)
        _finish_changes(layout)
        return cls(layout, settings)

    @classmethod
    def create(cls, folder: Path, name: str, labels: LabelTable, actor: str = "") -> Workspace:
        """Make a workspace in a folder, which is created if need be.

        Args:
            folder: where; other files in it are left alone.
            name: for people.
            labels: the one label table of the workspace.
            actor: for the audit trail; the system's user where empty.

        Raises:
            UsageError: if the folder is a workspace already.
            DataError: if the name cannot be one.
            StorageError: if the disk refuses.
        """
        layout, settings = Layout(folder), Settings(name, labels)
        if layout.settings_file.exists():
            message = f"{layout.root} is a workspace already; choose another folder"
            raise UsageError(message)
        with open_staging(layout) as staging, staging.commit("init", actor) as commit:
            commit.detail["labels"] = labels.to_json()
            commit.create_text(layout.settings_file, render_settings(settings))
        return cls(layout, settings)

    @property
    def root(self) -> Path:
        """The workspace's folder."""
        return self.layout.root

    @property
    def name(self) -> str:
        """The name for people."""
        return self.settings.name

    @property
    def labels(self) -> LabelTable:
        """The one label table of all annotations and predictions."""
        return self.settings.labels

    @property
    def store(self) -> Store:
        """The catalogue, for looking at many records at once."""
        return Store(self.layout)

    def cases(self) -> tuple[CaseRecord, ...]:
        """All cases, by id."""
        return tuple(CaseRecord.from_json(d) for d in self.store.documents("cases"))

    def case(self, case_id: str) -> CaseRecord:
        """A case by its id.

        Raises:
            UsageError: if there is none.
        """
        path = self.layout.case_file(case_id)
        if not path.exists():
            message = f"there is no case {case_id!r} in {self.root}; `voxloop info` lists them"
            raise UsageError(message)
        return read_record(path, CaseRecord.from_json)

    def rounds(self) -> tuple[Round, ...]:
        """All rounds, oldest first."""
        return rounds_of(self.layout)

    def current_round(self) -> Round | None:
        """The newest round, or None before the first."""
        return current_round(self.layout)

    def open_queries(self) -> tuple[StoredQuery, ...]:
        """What the current round still waits for."""
        latest = self.current_round()
        stored = () if latest is None else queries_of(self.layout, latest.number)
        return tuple(query for query in stored if query.is_open)

    def skipped_queries(self) -> tuple[StoredQuery, ...]:
        """What nobody could or wanted to answer, in all rounds."""
        stored = (query for r in self.rounds() for query in queries_of(self.layout, r.number))
        return tuple(query for query in stored if query.status is QueryStatus.SKIPPED)

    def annotations_of(self, case_id: str) -> tuple[Revision, ...]:
        """All revisions of a case, oldest first."""
        return annotations_of(self.layout, case_id)

    def load(self, revision: Revision) -> Annotation:
        """Read a revision; see `annotations.load`."""
        return load(self.layout, revision, self.labels)

    def target_of(self, case_id: str) -> Target:
        """All that is known of a case's labels."""
        return target_of(self.layout, self.case(case_id), self.labels)

    def target_with(self, revision: Revision) -> Target:
        """All that would be known of a case's labels with one more revision, not yet stored.

        Args:
            revision: from `annotations.draft_revision`, one that takes another back.
        """
        return target_with(self.layout, self.case(revision.case_id), self.labels, revision)

    def verify(self) -> int:
        """Check the seals of all revisions and of the audit trail; return how many revisions.

        Raises:
            DataError: at the first thing that was changed behind Voxloop's back.
        """
        verify_entries(self.layout.audit_file)
        return sum(verify(self.layout, case.id, self.labels) for case in self.cases())


def _finish_changes(layout: Layout) -> None:
    if not layout.staging.exists() or not any(layout.staging.iterdir()):
        return
    # Whoever holds the lock now is at work, and will finish or be finished by the next.
    with contextlib.suppress(UsageError), exclusive(layout.commit_lock, "opening"):
        recover(layout)
