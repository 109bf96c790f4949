"""Files that are written wholly or not at all, whatever moment the machine stops at."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from voxloop.errors import StorageError

__all__ = [
    "append_line",
    "atomic_path",
    "remove_leftovers",
    "sync_folder",
    "whole_lines",
    "write_bytes",
    "write_json",
    "write_text",
]

_LEFTOVERS = f".{'[0-9a-f]' * 8}.tmp.*"
"""How `atomic_path` names what is not finished."""

_started_s = time.time()
"""When this process began to use files; whatever is older belongs to another one."""


def _begin() -> None:
    """Count a forked process from its fork, or it would spare what a killed sibling left."""
    global _started_s  # noqa: PLW0603 - what a process is, is global
    _started_s = time.time()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; on leaving the block it becomes `path` at once.

    The temporary file lies in the same folder and keeps the suffixes of `path`, since many
    writers choose the format by them. File and folder are flushed to the disk before and after
    the rename, so that after a crash either the old or the new content is there, never a part.

    Raises:
        StorageError: if the disk refuses; the old content of `path` is unchanged.
    """
    temporary = path.with_name(f".{secrets.token_hex(4)}.tmp.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync_file(temporary)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        if StorageError.explains(error):
            raise StorageError.from_os_error(path, error) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` atomically, as UTF-8."""
    write_bytes(path, content.encode())


def write_json(path: Path, document: Any) -> None:
    """Write a document as indented JSON, atomically; NaN and infinity are refused."""
    write_text(path, json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def append_line(path: Path, kept: int, line: bytes) -> None:
    """Add a line to the end of a file, and have it on the disk before returning.

    Args:
        path: created if need be, in a folder that exists.
        kept: bytes of whole lines; what a crash left behind them goes.
        line: with its end.

    Raises:
        OSError: if the disk refuses; the file then holds what was kept.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        os.ftruncate(descriptor, kept)
        try:
            os.lseek(descriptor, 0, os.SEEK_END)
            written = 0
            while written < len(line):
                written += os.write(descriptor, line[written:])
            os.fsync(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, kept)
            raise
    finally:
        os.close(descriptor)


def whole_lines(path: Path) -> bytes:
    """What a file of lines holds, without a last line that a crash had torn; empty if absent."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return b""
    return content[: content.rfind(b"\n") + 1]


def remove_leftovers(folder: Path) -> None:
    """Remove from a folder what killed processes left half written.

    A file that was touched since this process began is let be: another one may be writing it.
    """
    for path in folder.glob(_LEFTOVERS):
        with contextlib.suppress(OSError):  # gone already, or a disk that is read-only
            if path.stat().st_mtime < _started_s:
                path.unlink()


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, so that a rename in it survives a power cut."""
    if os.name != "posix":  # other systems cannot open a folder for syncing
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_file(path: Path) -> None:
    with path.open("rb+") as handle:
        os.fsync(handle.fileno())
