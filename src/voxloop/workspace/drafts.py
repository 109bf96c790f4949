"""Drafts: every stroke of an annotator, on the disk before it is acknowledged.

A draft is a log of lines, one per save, that only grows until the annotator submits or throws it
away. A line torn by a crash was never acknowledged and is left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxloop.compute.atomic import append_line, sync_folder, whole_lines
from voxloop.errors import LimitError, StorageError, UsageError
from voxloop.volume.runs import Patch
from voxloop.workspace.clock import utc_now
from voxloop.workspace.layout import Layout
from voxloop.workspace.lock import exclusive

__all__ = [
    "MOST_BYTES",
    "Draft",
    "DraftKey",
    "DraftMovedError",
    "append_draft",
    "discard_draft",
    "read_draft",
]

MOST_BYTES = 256 << 20
"""Of one draft: many days of strokes. Whoever comes here is to submit."""

_NO_DRAFT = "it was submitted, or thrown away"


class DraftMovedError(UsageError):
    """A draft went on, or was ended, in another window."""


@dataclass(frozen=True)
class DraftKey:
    """Whose draft, of what.

    Attributes:
        case_id: the case.
        author: the annotator.
        query: key of the query that is worked on, such as `0-3`; empty for the case as a whole.
    """

    case_id: str
    author: str
    query: str = ""

    def file(self, layout: Layout) -> Path:
        """Where it lies; the author's name is no part of a file's name."""
        content = json.dumps([self.author, self.query])
        name = hashlib.sha256(content.encode()).hexdigest()[:24]
        return layout.drafts / self.case_id / f"{name}.jsonl"


@dataclass(frozen=True)
class Draft:
    """What was saved so far.

    Attributes:
        base: hash of the case's newest revision when the draft was begun, empty without one.
        seconds: time spent, as last reported.
        saves: how many saves there were.
        patches: documents of all patches, in the order in which they were drawn.
    """

    base: str = ""
    seconds: float | None = None
    saves: int = 0
    patches: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The draft as a document."""
        return {
            "count": self.saves,
            "base": self.base,
            "seconds": self.seconds,
            "patches": list(self.patches),
        }


def append_draft(
    layout: Layout,
    key: DraftKey,
    patches: Iterable[Patch],
    *,
    base: str,
    seconds: float | None,
    after: int | None = None,
) -> int:
    """Save strokes; when this returns they are on the disk.

    Args:
        layout: the workspace.
        key: whose draft.
        patches: what was drawn since the last save, in order.
        base: hash of the newest revision that the annotator saw.
        seconds: time spent so far.
        after: how many saves the annotator's window knows of; None not to check.

    Returns:
        How many saves there are now.

    Raises:
        DraftMovedError: if there are more or fewer, as from another window.
        LimitError: if the draft has become too large.
        StorageError: if the disk refuses; nothing was added.
    """
    entry = {
        "at": utc_now(),
        "author": key.author,
        "query": key.query,
        "base": base,
        "seconds": seconds,
        "patches": [patch.to_json() for patch in patches],
    }
    path = key.file(layout)
    with exclusive(_lock(layout, path), "saving a draft", wait_s=30):
        kept = whole_lines(path)
        saves = kept.count(b"\n")
        if after is not None and after != saves:
            raise DraftMovedError(
                f"this draft has {saves} saves, and your window knows of {after}: it went on in "
                f"another window, or {_NO_DRAFT}; load it again"
            )
        line = json.dumps(entry, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        if len(kept) + len(line) > MOST_BYTES:
            raise LimitError("the draft has become too large; submit it, then go on")
        _append(path, len(kept), line)
    return saves + 1


def read_draft(layout: Layout, key: DraftKey) -> Draft:
    """What was saved; an empty draft if nothing was."""
    entries = [json.loads(line) for line in whole_lines(key.file(layout)).splitlines()]
    if not entries:
        return Draft()
    patches = tuple(patch for entry in entries for patch in entry["patches"])
    return Draft(entries[0]["base"], entries[-1]["seconds"], len(entries), patches)


def discard_draft(layout: Layout, key: DraftKey) -> bool:
    """End a draft, since it was submitted or is not wanted; True if there was one."""
    path = key.file(layout)
    with exclusive(_lock(layout, path), "ending a draft", wait_s=30):
        if not path.exists():
            return False
        path.unlink()
        sync_folder(path.parent)
    return True


def _append(path: Path, kept: int, line: bytes) -> None:
    try:
        new = not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        append_line(path, kept, line)
        if new:
            sync_folder(path.parent)
            sync_folder(path.parent.parent)
    except OSError as error:
        if StorageError.explains(error):
            raise StorageError.from_os_error(path, error) from error
        raise


def _lock(layout: Layout, path: Path) -> Path:
    return layout.internal / "drafts" / f"{path.stem}.lock"
