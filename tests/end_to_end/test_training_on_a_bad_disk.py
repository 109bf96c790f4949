"""A disk that refuses costs a training nothing but time: it ends where the undisturbed one does."""

from __future__ import annotations

import contextlib
import functools
import resource
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bodies import small_network

from disks import largest_file, on_a_read_only_disk, on_a_small_disk, refused
from study import Study, everything_in, voxloop
from voxloop.compute.progress import Progress, ProgressSink
from voxloop.errors import StorageError
from voxloop.train.config import TrainConfig
from voxloop.workspace.actions.train import train
from voxloop.workspace.learning import newest_model
from voxloop.workspace.workspace import Workspace

TRAIN = shlex.join([sys.executable, "-m", "voxloop", "train", "--steps", "2"])
NEVER = 86_400.0
"""Seconds between two saved states."""


def model_of(workspace: Path) -> bytes:
    return newest_model(Workspace.open(workspace)).read_bytes()


def left_half_written(workspace: Path) -> list[Path]:
    return list(workspace.rglob(".*.tmp.*"))


@contextlib.contextmanager
def full_from_step(step: int) -> Iterator[ProgressSink]:
    """The disk takes small files only, as soon as training has reported `step`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def sink(progress: Progress) -> None:
        if progress.stage == "training" and progress.done == step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))

    try:
        yield sink
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("full_from", "save_seconds", "refused_file", "continues_at"),
    [
        pytest.param(1, 0.0, "resume-", 1, id="the first state"),
        pytest.param(4, 0.0, "resume-", 4, id="a later state"),
        pytest.param(6, NEVER, "model", 1, id="the model"),
    ],
)
def test_a_training_that_cannot_save_goes_on_once_there_is_room(
    full_from: int, save_seconds: float, refused_file: str, continues_at: int, study: Study
) -> None:
    undisturbed = study.workspace.with_name("undisturbed")
    shutil.copytree(study.workspace, undisturbed)
    config = TrainConfig(steps=6, save_seconds=save_seconds)
    seen: list[Progress] = []
    with small_network():
        train(Workspace.open(undisturbed), config)
        workspace = Workspace.open(study.workspace)
        message = rf"cannot write .*{refused_file}\S*: .*nothing was saved .*run the command again"
        with full_from_step(full_from) as sink, pytest.raises(StorageError, match=message):
            train(workspace, config, progress=sink)
        assert not left_half_written(study.workspace)
        assert voxloop("info", "-w", study.workspace) == 0
        train(workspace, config, progress=seen.append)
    assert next(p.done for p in seen if p.stage == "training") == continues_at
    assert model_of(study.workspace) == model_of(undisturbed)


def test_the_model_that_cannot_be_saved_is_made_from_the_last_state(study: Study) -> None:
    undisturbed = study.workspace.with_name("undisturbed")
    shutil.copytree(study.workspace, undisturbed)
    often, never = TrainConfig(steps=5, save_seconds=0.0), TrainConfig(steps=5, save_seconds=NEVER)
    workspace, seen = Workspace.open(study.workspace), list[Progress]()

    def stop(progress: Progress) -> None:
        if progress.stage == "training" and progress.done == 4:
            raise KeyboardInterrupt

    with small_network():
        train(Workspace.open(undisturbed), often)
        with pytest.raises(KeyboardInterrupt):
            train(workspace, often, progress=stop)
        with full_from_step(5) as sink, pytest.raises(StorageError, match="model"):
            train(workspace, never, progress=sink)
        train(workspace, often, progress=seen.append)
    assert next(p.done for p in seen if p.stage == "training") == 4
    assert model_of(study.workspace) == model_of(undisturbed)


def test_the_command_says_what_was_refused_and_continues(
    study: Study, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    often = functools.partial(TrainConfig, save_seconds=0.0)
    monkeypatch.setattr("voxloop.train.config.TrainConfig", often)
    words = ("train", "--steps", "3", "-w", study.workspace)
    with small_network():
        with largest_file(100_000):
            code = voxloop(*words)
        out, said = capfd.readouterr()
        refused(code, said, study.workspace, "File too large")
        assert "resume-" in said
        assert out == ""
        assert voxloop(*words) == 0
    assert "learned from 1 case in 3 steps" in capfd.readouterr().out


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize(
    ("free", "reached"),
    [
        pytest.param("0", "", id="for anything"),
        pytest.param("500k", "model.safetensors", id="for the model"),
    ],
)
def test_a_training_on_a_disk_without_room(free: str, reached: str, study: Study) -> None:
    undisturbed = study.workspace.with_name("undisturbed")
    shutil.copytree(study.workspace, undisturbed)
    done = on_a_small_disk(study.workspace, TRAIN, free)
    disk, after = (study.workspace.with_name(name) for name in ("disk", "after"))
    refused(done.returncode, done.stderr, disk, "No space left|disk I/O error|.*is full")
    assert reached in done.stderr
    assert "learned" not in done.stdout
    assert not left_half_written(after)
    for workspace in (after, undisturbed):
        assert voxloop("train", "--steps", "2", "-w", workspace) == 0
    assert model_of(after) == model_of(undisturbed)


@pytest.mark.usefixtures("mounts")
def test_a_training_on_a_read_only_disk_changes_nothing(study: Study) -> None:
    before = everything_in(study.workspace)
    done = on_a_read_only_disk(study.workspace, f"{TRAIN} -w {study.workspace}")
    reason = "Read-only file system|unable to open database file"
    refused(done.returncode, done.stderr, study.workspace, reason)
    assert everything_in(study.workspace) == before


@pytest.mark.usefixtures("mounts")
def test_label_maps_for_a_read_only_folder_are_refused(study: Study) -> None:
    out = study.workspace.with_name("out")
    out.mkdir()
    with small_network():
        assert voxloop("train", "--steps", "1", "-w", study.workspace) == 0
    words = ["segment", str(study.scan("three")), "--out", str(out), "-w", str(study.workspace)]
    done = on_a_read_only_disk(out, shlex.join([sys.executable, "-m", "voxloop", *words]))
    refused(done.returncode, done.stderr, out, "Read-only file system")
    assert not any(out.iterdir())
