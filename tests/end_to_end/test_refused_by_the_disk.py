"""A disk that is full or cannot be written to ends in code 4; the workspace stays as it was."""

from __future__ import annotations

import resource
import shlex
import subprocess
import sys

import numpy as np
import pytest

from disks import on_a_read_only_disk, on_a_small_disk, refused
from phantoms import oblique_geometry
from study import Study, everything_in
from voxloop.io.formats import write_volume
from voxloop.volume.volume import Volume

COMMANDS = {
    "add": ("add", "{delivery}"),
    "collect": ("collect", "{delivery}", "--looked-at", "all"),
}
LARGE = oblique_geometry((64, 64, 64))


def prepare(study: Study, command: str) -> str:
    """Deliver what `command` is to take in; give the shell's words for it, but the workspace's."""
    if command == "add":
        study.scan("three")
        noise = np.random.default_rng(0).normal(size=LARGE.shape).astype(np.float32)
        write_volume(study.delivery / "large.nii.gz", Volume(noise, LARGE))
    else:
        study.label_map("two")
    words = [word.format(delivery=study.delivery) for word in COMMANDS[command]]
    return shlex.join([sys.executable, "-m", "voxloop", *words])


@pytest.mark.parametrize(
    ("command", "size", "reason"),
    [
        pytest.param("add --copy", 256 << 10, "File too large", id="a scan"),
        pytest.param("add", 0, "disk I/O error", id="the catalogue, on adding"),
        pytest.param("collect", 0, "disk I/O error", id="the catalogue, on collecting"),
    ],
)
def test_a_file_that_cannot_grow_changes_nothing(
    command: str, size: int, reason: str, study: Study
) -> None:
    command, _, option = command.partition(" ")
    words = f"{prepare(study, command)} {option} -w {study.workspace}"
    before = everything_in(study.workspace)
    done = subprocess.run(
        ["sh", "-c", words],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    refused(done.returncode, done.stderr, study.workspace, reason)
    assert everything_in(study.workspace) == before


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("free", ["0", "48k"])
def test_a_disk_without_room_changes_nothing(command: str, free: str, study: Study) -> None:
    words = prepare(study, command)
    before = everything_in(study.workspace)
    done = on_a_small_disk(study.workspace, words, free)
    refused(
        done.returncode,
        done.stderr,
        study.workspace.with_name("disk"),
        "No space left|disk I/O error|.*is full",
    )
    assert everything_in(study.workspace.with_name("after")) == before


@pytest.mark.usefixtures("mounts")
def test_copies_that_would_not_fit_are_refused_before_the_first(study: Study) -> None:
    words = prepare(study, "add")
    before = everything_in(study.workspace)
    done = on_a_small_disk(study.workspace, f"{words} --copy", "256k")
    assert done.returncode == 4, done.stderr
    assert "copying 2 files needs" in done.stderr
    assert "add the scans without copying them" in done.stderr
    assert everything_in(study.workspace.with_name("after")) == before


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_disk_that_is_read_only_changes_nothing(command: str, study: Study) -> None:
    words = prepare(study, command)
    before = everything_in(study.workspace)
    done = on_a_read_only_disk(study.workspace, f"{words} -w {study.workspace}")
    refused(
        done.returncode,
        done.stderr,
        study.workspace,
        "Read-only file system|unable to open database file",
    )
    assert everything_in(study.workspace) == before
