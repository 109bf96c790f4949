"""The audit trail: who changed what and when, one sealed line per change.

Case ids are the only names of patients' data in it; paths, which may carry more, stay out.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from voxloop.compute.atomic import append_line, whole_lines
from voxloop.errors import DataError, Problem
from voxloop.workspace.clock import utc_now

__all__ = [
    "Entry",
    "append",
    "current_user",
    "next_entry",
    "read_entries",
    "verify_entries",
    "withdraw",
]


@dataclass(frozen=True)
class Entry:
    """One change of a workspace.

    Attributes:
        number: from 1 on, without gaps.
        at: UTC, ISO 8601.
        actor: who caused it.
        action: the use case, e.g. `collect`.
        detail: what changed, as JSON; case ids, numbers and hashes only.
        previous: seal of the entry before, empty for the first.
        sha256: seal: the hash of all fields above.
    """

    number: int
    at: str
    actor: str
    action: str
    detail: Mapping[str, Any]
    previous: str
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """The fields as a document."""
        return asdict(self)


def current_user() -> str:
    """The name of whoever runs this process, or `unknown`."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in containers
        return "unknown"


def read_entries(path: Path) -> tuple[Entry, ...]:
    """All entries, oldest first; a last line torn by a crash is left out.

    Raises:
        DataError: if a line is no entry.
    """
    entries = []
    for number, line in enumerate(whole_lines(path).splitlines(), start=1):
        try:
            entries.append(Entry(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise _tampered(path, number, "an entry of the audit trail", str(error)) from error
    return tuple(entries)


def next_entry(path: Path, action: str, actor: str, detail: Mapping[str, Any]) -> Entry:
    """The entry that a change would add now; nothing is written."""
    entries = read_entries(path)
    number = len(entries) + 1
    previous = entries[-1].sha256 if entries else ""
    unsealed = Entry(number, utc_now(), actor, action, detail, previous, "")
    return Entry(**{**asdict(unsealed), "sha256": _seal(unsealed)})


def append(path: Path, entry: Entry) -> None:
    """Add an entry at the end, once: an entry that is already the last is not repeated.

    A torn last line is removed first; if the disk refuses, the file is left as it was.
    """
    content = whole_lines(path)
    lines = content.splitlines()
    if lines and json.loads(lines[-1]).get("sha256") == entry.sha256:
        return
    line = json.dumps(entry.to_json(), ensure_ascii=False, allow_nan=False).encode() + b"\n"
    append_line(path, len(content), line)


def withdraw(path: Path, entry: Entry) -> None:
    """Remove `entry` if it is the last: its change was taken back before anybody saw it."""
    content = whole_lines(path)
    lines = content.splitlines(keepends=True)
    if lines and json.loads(lines[-1]).get("sha256") == entry.sha256:
        os.truncate(path, len(content) - len(lines[-1]))


def verify_entries(path: Path) -> int:
    """Check every seal and return the number of entries.

    Raises:
        DataError: at the first entry that was changed, removed or inserted.
    """
    previous = ""
    entries = read_entries(path)
    for number, entry in enumerate(entries, start=1):
        if entry.number != number or entry.previous != previous or entry.sha256 != _seal(entry):
            raise _tampered(path, number, "an unbroken chain of entries", "a changed entry")
        previous = entry.sha256
    return len(entries)


def _seal(entry: Entry) -> str:
    fields = {key: value for key, value in asdict(entry).items() if key != "sha256"}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _tampered(path: Path, number: int, expected: str, found: str) -> DataError:
    remedy = "restore the file from a backup; the annotations are not affected"
    return DataError(Problem(f"{path}, line {number}", expected, found, remedy))
