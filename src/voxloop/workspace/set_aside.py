"""Deliveries that were refused or stored in part, kept as they came: nobody's work is lost."""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from voxloop.compute.atomic import atomic_path, write_json
from voxloop.errors import DataError, UsageError
from voxloop.io.formats import SUFFIXES
from voxloop.workspace.clock import utc_now
from voxloop.workspace.documents import read_record
from voxloop.workspace.layout import Layout

__all__ = ["SetAside", "all_set_aside", "file_set_aside", "set_aside"]

_ID = re.compile(r"\d{17}-[0-9a-f]{8}")
_ROOM_BYTES = 4 << 30
"""For all of them; the oldest go first, but none of the last `_NEWEST`."""

_NEWEST = 50


@dataclass(frozen=True)
class SetAside:
    """A delivery that is kept.

    Attributes:
        id: sorts by time.
        case_id: the case it was for.
        author: who delivered it.
        at: UTC, ISO 8601.
        suffix: of the file, such as `.nii.gz`.
        reasons: why it was not stored, or what of it, in words.
    """

    id: str
    case_id: str
    author: str
    at: str
    suffix: str
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The record as a document."""
        return asdict(self)


def set_aside(
    layout: Layout, source: Path, case_id: str, author: str, reasons: Iterable[str]
) -> SetAside:
    """Keep a copy of a delivery with the reasons.

    Raises:
        StorageError: if the disk refuses.
    """
    at = utc_now()
    stem = "".join(c for c in at[:23] if c.isdigit())
    suffix = next((s for s in SUFFIXES if source.name.lower().endswith(s)), ".bin")
    record = SetAside(f"{stem}-{secrets.token_hex(4)}", case_id, author, at, suffix, tuple(reasons))
    with atomic_path(layout.set_aside / f"{record.id}{suffix}") as temporary:
        shutil.copyfile(source, temporary)
    write_json(layout.set_aside / f"{record.id}.json", record.to_json())
    _make_room(layout)
    return record


def all_set_aside(layout: Layout) -> tuple[SetAside, ...]:
    """What is kept, newest first."""
    found = []
    for path in sorted(layout.set_aside.glob("[0-9]*.json"), reverse=True):
        with contextlib.suppress(DataError):
            found.append(
                read_record(path, lambda d: SetAside(**{**d, "reasons": (*d["reasons"],)}))
            )
    return tuple(found)


def file_set_aside(layout: Layout, identifier: str) -> Path:
    """The file of a delivery that is kept.

    Raises:
        UsageError: if there is none.
    """
    if _ID.fullmatch(identifier):
        for path in layout.set_aside.glob(f"{identifier}.*"):
            if path.suffix != ".json":
                return path
    raise UsageError("there is no such delivery set aside")


def _make_room(layout: Layout) -> None:
    records = all_set_aside(layout)
    files = [file for r in records for file in layout.set_aside.glob(f"{r.id}.*")]
    excess = sum(file.stat().st_size for file in files) - _ROOM_BYTES
    for record in reversed(records[_NEWEST:]):
        if excess <= 0:
            return
        for file in layout.set_aside.glob(f"{record.id}.*"):
            excess -= file.stat().st_size
            file.unlink(missing_ok=True)
