"""The loop: it learns, resumes bit for bit, and gives up where there is no hope."""

from __future__ import annotations

import dataclasses
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plans import small_plan
from voxloop.compute.progress import Progress
from voxloop.dataset.annotation import Annotation, merge
from voxloop.errors import DataError, LimitError
from voxloop.model.checkpoint import load_checkpoint
from voxloop.train.config import TrainConfig
from voxloop.train.loop import train
from voxloop.train.patches import PatchSource, TrainingCase
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap

LABELS = LabelTable({1: "body", 4: "core"})
CONFIG = TrainConfig(steps=12, save_seconds=0.0)


class KilledError(Exception):
    """Stands for the end of the process."""


def _cases(*, contrast: float = 1.0) -> tuple[TrainingCase, ...]:
    rng = np.random.default_rng(0)
    array = np.zeros((12, 12, 6), dtype=np.uint8)
    array[3:9, 3:9, 1:5] = 1
    array[5:7, 5:7, 2:4] = 4
    image = (rng.normal(0, 0.3, array.shape) + contrast * array).astype(np.float32)[None]
    geometry = Geometry.from_affine(array.shape, np.diag([1, 1, 2, 1]))
    annotation = Annotation.of_whole(LabelMap(array, geometry, LABELS))
    return (TrainingCase("a", image, merge([annotation], array.shape, LABELS), (1, 1, 2)),)


def _killed_at(step: int) -> Any:
    def sink(progress: Progress) -> None:
        if progress.done == step:
            raise KilledError

    return sink


def test_training_learns_and_says_what_it_did(tmp_path: Path) -> None:
    seen: list[Progress] = []
    config = TrainConfig(steps=120, learning_rate=6e-3)
    result = train(small_plan(), _cases(), config, tmp_path, seen.append)
    losses = [float(progress.note.removeprefix("loss ")) for progress in seen]
    assert [progress.done for progress in seen] == list(range(1, 121))
    assert np.mean(losses[-10:]) < 0.75 * np.mean(losses[:10])
    assert result.final_loss == pytest.approx(np.mean(losses[-12:]), abs=1e-3)
    assert (result.steps, result.skipped) == (120, 0)
    provenance = load_checkpoint(result.path).provenance
    assert provenance["config"] == config.to_json()
    assert provenance["cases"].keys() == {"a"}


def test_an_interrupted_training_ends_in_the_same_weights(tmp_path: Path) -> None:
    plan, cases = small_plan(), _cases()
    whole = load_checkpoint(train(plan, cases, CONFIG, tmp_path / "whole").path)
    for step in (1, 5, 6, 11):
        with pytest.raises(KilledError):
            train(plan, cases, CONFIG, tmp_path / "broken", _killed_at(step))
    seen: list[Progress] = []
    resumed = train(plan, cases, CONFIG, tmp_path / "broken", seen.append)
    assert seen[0].done == 11, "a step whose state was not saved yet is done again"
    assert load_checkpoint(resumed.path).sha256 == whole.sha256
    assert [path.name for path in (tmp_path / "broken").iterdir()] == ["model.safetensors"]


def test_a_finished_training_is_not_repeated_but_another_one_is(tmp_path: Path) -> None:
    plan, cases = small_plan(), _cases()
    first = load_checkpoint(train(plan, cases, CONFIG, tmp_path).path).sha256
    often_saved = dataclasses.replace(CONFIG, save_seconds=9.0)
    (tmp_path / "resume-a.safetensors").touch()  # as if killed right after the model was written
    assert train(plan, cases, often_saved, tmp_path).steps == 0
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    other = dataclasses.replace(CONFIG, seed=1)
    assert train(plan, cases, other, tmp_path).steps == 12
    assert load_checkpoint(tmp_path / "model.safetensors").sha256 != first
    assert train(plan, _cases(contrast=2.0), other, tmp_path).steps == 12


def test_a_damaged_model_is_trained_again(tmp_path: Path) -> None:
    path = train(small_plan(), _cases(), CONFIG, tmp_path).path
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert train(small_plan(), _cases(), CONFIG, tmp_path).steps == 12
    assert len(path.read_bytes()) == len(whole)


def test_what_a_killed_process_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    left = tmp_path / ".0badc0de.tmp.resume-a.safetensors"
    left.write_bytes(b"half")
    os.utime(left, (1, 1))
    train(small_plan(), _cases(), CONFIG, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_minutes_become_steps_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainConfig(minutes=0.005, save_seconds=0.0)
    with pytest.raises(KilledError):
        train(small_plan(), _cases(), config, tmp_path, _killed_at(3))
    clock = itertools.count(0, 100)  # a machine that has become very slow
    monkeypatch.setattr("voxloop.train.schedule.time.monotonic", lambda: float(next(clock)))
    seen: list[Progress] = []
    train(small_plan(), _cases(), config, tmp_path, seen.append)
    assert seen[0].done == 3
    assert seen[-1].done == seen[-1].total >= 10


def _with_nan_at(monkeypatch: pytest.MonkeyPatch, *steps: int) -> None:
    batch = PatchSource.batch

    def spoiled(self: PatchSource, step: int) -> Any:
        found = batch(self, step)
        if not steps or step in steps:
            return dataclasses.replace(found, image=found.image * torch.nan)
        return found

    monkeypatch.setattr(PatchSource, "batch", spoiled)


def test_steps_without_a_finite_loss_have_no_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_nan_at(monkeypatch, 2, 3, 7)
    result = train(small_plan(), _cases(), CONFIG, tmp_path)
    assert (result.steps, result.skipped) == (12, 3)
    assert result.final_loss is not None
    assert all(
        torch.isfinite(value).all() for value in load_checkpoint(result.path).weights.values()
    )


def test_hopeless_training_ends_with_what_to_look_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_nan_at(monkeypatch)
    with pytest.raises(DataError, match="none in 20 steps in a row; look for extreme intensities"):
        train(small_plan(), _cases(), TrainConfig(steps=100), tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_a_plan_that_does_not_fit_into_memory_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(LimitError, match=r"training needs .* TiB of memory"):
        train(small_plan(memory_bytes=1 << 50), _cases(), CONFIG, tmp_path)
    assert not any(tmp_path.iterdir())
