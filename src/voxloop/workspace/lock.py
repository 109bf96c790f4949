"""Advisory locks between processes; the system frees them when the holder ends, however."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

from voxloop.errors import StorageError, UsageError
from voxloop.workspace.turns import Turns

__all__ = ["exclusive", "holder", "is_held"]

_POLL_S = 0.02

_TURNS = Turns()
"""Of those that ask the system again and again somebody may never be the first."""


@contextlib.contextmanager
def exclusive(path: Path, task: str, *, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock file `path` within the block, alone among all processes and threads.

    Args:
        path: created if need be, and left behind empty.
        task: what the lock is held for, as others will be told, e.g. `training`.
        wait_s: how long to wait for whoever holds it now, in seconds.

    Raises:
        UsageError: if it is held by another; names the process and its task.
        StorageError: if the lock file cannot be written.
    """
    with _turn(path, task, wait_s) as left_s:
        descriptor = _open(path)
        try:
            _acquire(descriptor, path, task, left_s)
            with contextlib.suppress(OSError):  # a full disk: held all the same, only anonymous
                os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "task": task}).encode(), 0)
            try:
                yield
            finally:
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _turn(path: Path, task: str, wait_s: float) -> Iterator[float]:
    """Wait for the other threads of this process; gives the seconds left to wait for others."""
    began = time.monotonic()
    turn = _TURNS.of(path)
    if not turn.acquire(timeout=-1 if math.isinf(wait_s) else wait_s):
        raise _busy(path, task)
    try:
        yield max(0.0, wait_s - (time.monotonic() - began))
    finally:
        turn.release()


def is_held(path: Path) -> bool:
    """True if some process holds the lock file `path` now."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _try(descriptor)
    finally:
        os.close(descriptor)


def holder(path: Path) -> str:
    """Who holds the lock file, in words."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(path.read_text())
        return f"process {content['pid']} ({content['task']})"
    return "another process"


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if StorageError.explains(error):
            raise StorageError.from_os_error(path, error) from error
        raise


def _acquire(descriptor: int, path: Path, task: str, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while not _try(descriptor):
        if time.monotonic() >= deadline:
            raise _busy(path, task)
        time.sleep(_POLL_S)


def _busy(path: Path, task: str) -> UsageError:
    return UsageError(
        f"{task} cannot start: {holder(path)} is changing this workspace; "
        "wait until it has finished or stop it, then run the command again"
    )


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
