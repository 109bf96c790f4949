"""What is written wholly or not at all, and what becomes of the rest."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from voxloop.compute.atomic import append_line, remove_leftovers, whole_lines

HALF_WRITTEN = ".0123abcd.tmp.model.safetensors"


def test_what_a_process_writes_itself_is_spared(tmp_path: Path) -> None:
    old = tmp_path / HALF_WRITTEN.replace("0123", "4567")
    kept = [tmp_path / name for name in (HALF_WRITTEN, HALF_WRITTEN[1:], "model.safetensors")]
    for path in (old, *kept):
        path.touch()
    os.utime(old, (0, 0))
    os.utime(kept[1], (0, 0))  # old, but not named as half written
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_clears_up_after_a_killed_sibling(tmp_path: Path) -> None:
    (tmp_path / HALF_WRITTEN).touch()
    time.sleep(0.02)  # a file's time is that of the kernel's last tick
    child = os.fork()
    if child == 0:
        remove_leftovers(tmp_path)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not any(tmp_path.iterdir())


def test_a_torn_line_is_replaced_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    append_line(path, 0, b"one\n")
    with path.open("ab") as handle:
        handle.write(b"tw")
    assert whole_lines(path) == b"one\n"
    append_line(path, 4, b"three\n")
    assert path.read_bytes() == b"one\nthree\n"
