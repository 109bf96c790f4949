"""Changes of many files that happen wholly or not at all, whatever moment the machine stops at.

A change is prepared in a folder of its own, where it may take as long as it likes. Then, alone
among all processes, its list of files is written as a journal: from that moment the change is
real. What is left is to link the files into place; if that is cut short, whoever comes next
finishes it from the journal. A folder without a journal whose owner is gone is removed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from voxloop.compute.atomic import sync_folder, write_json, write_text
from voxloop.errors import DataError, Problem, StorageError
from voxloop.workspace import audit
from voxloop.workspace.documents import read_document
from voxloop.workspace.layout import Layout
from voxloop.workspace.lock import exclusive, is_held

__all__ = ["Commit", "Staging", "open_staging", "recover"]

_JOURNAL = "journal.json"
_OWNER = "owner.lock"
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS}
"""What systems answer where a disk knows no hard links, as USB sticks."""

_WAIT_S = 120.0
"""Commits take milliseconds to a few seconds; whoever waits longer is told who is in the way."""


class Staging:
    """A folder for files that are to become part of the workspace together."""

    def __init__(self, layout: Layout, folder: Path) -> None:
        self._layout, self._folder, self._count = layout, folder, 0

    def file(self, name: str) -> Path:
        """A new path to write to, which ends in `name`."""
        self._count += 1
        return self._folder / f"{self._count:05d}-{name}"

    @contextlib.contextmanager
    def commit(self, action: str, actor: str) -> Iterator[Commit]:
        """Collect the change's files alone among all processes; real when the block ends.

        What is read within the block cannot change until the change is real. If the block
        raises, nothing happens.

        Args:
            action: for the audit trail, e.g. `collect`.
            actor: for the audit trail; the system's user where empty.

        Raises:
            UsageError: if another process keeps changing the workspace for minutes.
            StorageError: if the disk refuses; the workspace is unchanged.
        """
        with exclusive(self._layout.commit_lock, action, wait_s=_WAIT_S):
            recover(self._layout)
            commit = Commit(self)
            yield commit
            if commit.moves:
                self._seal(commit, action, actor or audit.current_user())

    def _seal(self, commit: Commit, action: str, actor: str) -> None:
        root = self._layout.root
        entry = audit.next_entry(self._layout.audit_file, action, actor, commit.detail)
        moves = [
            {"from": staged.name, "to": target.relative_to(root).as_posix(), "new": new}
            for staged, target, new in sorted(commit.moves, key=lambda move: not move[2])
        ]
        write_json(self._folder / _JOURNAL, {"audit": entry.to_json(), "moves": moves})
        try:
            _apply(self._layout, self._folder)
        except OSError as error:
            undone = _undo(self._layout, self._folder)
            if not StorageError.explains(error):
                raise
            if undone:
                path = Path(error.filename2 or error.filename or root)
                raise StorageError.from_os_error(path, error) from error
            message = (
                f"the change is recorded but not complete: {error}; free some space or make "
                f"{root} writable, then run any command: it will be finished first"
            )
            raise StorageError(message) from error


class Commit:
    """The files of one change, and what the audit trail shall say of it.

    Attributes:
        moves: staged file, its place in the workspace, and whether that place must be free.
        detail: for the audit trail; case ids, numbers and hashes only.
    """

    def __init__(self, staging: Staging) -> None:
        self._staging = staging
        self.moves: list[tuple[Path, Path, bool]] = []
        self.detail: dict[str, Any] = {}

    def create(self, staged: Path, target: Path) -> None:
        """Put a staged file where none may be yet.

        Raises:
            DataError: if there is one.
        """
        if target.exists() or any(target == other for _, other, _ in self.moves):
            raise _occupied(target)
        self.moves.append((staged, target, True))

    def create_json(self, target: Path, document: Any) -> None:
        """Put a new record where none may be yet."""
        staged = self._staging.file(target.name)
        write_json(staged, document)
        self.create(staged, target)

    def create_text(self, target: Path, content: str) -> None:
        """Put a new text file where none may be yet."""
        staged = self._staging.file(target.name)
        write_text(staged, content)
        self.create(staged, target)

    def replace_json(self, target: Path, document: Any) -> None:
        """Put a record in the place of the one that is there, if one is."""
        staged = self._staging.file(target.name)
        write_json(staged, document)
        self.moves.append((staged, target, False))


@contextlib.contextmanager
def open_staging(layout: Layout) -> Iterator[Staging]:
    """Prepare a change; the folder is removed at the end of the block, whatever happened.

    Raises:
        StorageError: if the disk refuses.
    """
    folder = layout.staging / secrets.token_hex(8)
    with contextlib.ExitStack() as stack:
        # Under the commit lock, so that nobody meets the folder before its owner's lock.
        with exclusive(layout.commit_lock, "preparing a change", wait_s=_WAIT_S):
            stack.callback(_discard, folder)
            stack.enter_context(exclusive(folder / _OWNER, "a change"))
        yield Staging(layout, folder)


def recover(layout: Layout) -> None:
    """Finish what a stopped process had made real, and remove what it had only prepared.

    The caller holds the commit lock.
    """
    if not layout.staging.exists():
        return
    for folder in sorted(layout.staging.iterdir()):
        if is_held(folder / _OWNER):
            continue
        if (folder / _JOURNAL).exists():
            _apply(layout, folder)
        shutil.rmtree(folder, ignore_errors=True)


def _discard(folder: Path) -> None:
    if not (folder / _JOURNAL).exists():  # else the change is real and must be finished
        shutil.rmtree(folder, ignore_errors=True)


def _apply(layout: Layout, folder: Path) -> None:
    journal = read_document(folder / _JOURNAL)
    audit.append(layout.audit_file, audit.Entry(**journal["audit"]))
    for move in journal["moves"]:
        staged, target = folder / move["from"], layout.root / move["to"]
        target.parent.mkdir(parents=True, exist_ok=True)
        if move["new"]:
            _place_new(staged, target)
        elif staged.exists():
            staged.replace(target)
    for parent in {(layout.root / move["to"]).parent for move in journal["moves"]}:
        sync_folder(parent)
    (folder / _JOURNAL).unlink()
    sync_folder(folder)  # a journal that came back after a power cut would undo later changes


def _place_new(staged: Path, target: Path) -> None:
    if not staged.exists():  # moved already, where hard links are unknown
        return
    try:
        os.link(staged, target)
    except FileExistsError:
        if not target.samefile(staged):
            raise _occupied(target) from None
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS or target.exists():
            raise
        staged.rename(target)  # no two processes get here at once: the commit lock is held


def _occupied(target: Path) -> DataError:
    return DataError(
        Problem(str(target), "no file yet", "one", "move it away; Voxloop never overwrites it")
    )


def _undo(layout: Layout, folder: Path) -> bool:
    """Take a half-applied change back; False if it can only be finished later."""
    journal = read_document(folder / _JOURNAL)
    if any(not (folder / move["from"]).exists() for move in journal["moves"]):
        return False
    for move in reversed(journal["moves"]):
        staged, target = folder / move["from"], layout.root / move["to"]
        if move["new"] and target.exists() and target.samefile(staged):
            target.unlink()
        with contextlib.suppress(OSError):  # only where this change had made the folder
            target.parent.rmdir()
    audit.withdraw(layout.audit_file, audit.Entry(**journal["audit"]))
    (folder / _JOURNAL).unlink()
    return True
