"""Disks that are full or cannot be written to, and what a command on them must say."""

from __future__ import annotations

import contextlib
import re
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = [
    "in_a_name_space",
    "largest_file",
    "on_a_read_only_disk",
    "on_a_small_disk",
    "refused",
    "require_mounts",
]


def require_mounts(folder: Path) -> None:
    """Skip where this user may not mount a disk in a name space of its own."""
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    try:
        subprocess.run(probe, capture_output=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("this user may not mount disks")


def in_a_name_space(script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount disks, which vanish with it."""
    words = ["unshare", "-rm", "sh", "-ec", script]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def on_a_small_disk(workspace: Path, words: str, free: str) -> subprocess.CompletedProcess[str]:
    """Carry out a command on a copy of a workspace on a disk with no more room than `free`.

    The disk is the folder `disk` beside the workspace; when it is gone, the copy is found in the
    folder `after`.
    """
    disk, after = (workspace.with_name(name) for name in ("disk", "after"))
    disk.mkdir()
    return in_a_name_space(
        f"mount -t tmpfs -o size=2m tmpfs {disk}\n"
        f"cp -a {workspace} {disk}/study\n"
        f"head -c 2m /dev/zero >{disk}/filler 2>/dev/null || true\n"
        f"truncate -s -{free} {disk}/filler\n"
        f"code=0; {words} -w {disk}/study || code=$?\n"
        f"cp -a {disk}/study {after}\n"
        "exit $code\n"
    )


def on_a_read_only_disk(folder: Path, words: str) -> subprocess.CompletedProcess[str]:
    """Carry out a command while nothing in `folder` can be written."""
    return in_a_name_space(
        f"mount --bind {folder} {folder}\nmount -o remount,ro,bind {folder}\n{words}\n"
    )


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow above `size` bytes within the block, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def refused(code: int, said: str, place: Path, reason: str) -> None:
    """Assert that a command ended as it must where the disk refuses, and claimed nothing."""
    assert code == 4, said
    assert re.search(rf"cannot write {place}/\S+: ({reason})", said)
    assert "unchanged; free some space or choose a writable folder" in said
    assert "Traceback" not in said
    assert "saved" not in said.replace("nothing was saved", "")
