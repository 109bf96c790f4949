"""What training meets at its edges works, or is refused by name before anything is computed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bodies import small_network

from phantoms import ellipsoid_mask, oblique_geometry
from study import GEOMETRY, LABELS, Study, voxloop
from voxloop.io.formats import read_label_map, read_volume, write_label_map, write_volume
from voxloop.model.checkpoint import load_checkpoint
from voxloop.train.patches import PatchSource
from voxloop.volume.volume import LabelMap, Volume
from voxloop.workspace.learning import newest_model
from voxloop.workspace.workspace import Workspace

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    with small_network():
        yield


def training(study: Study, *words: str, steps: int = 2) -> int:
    return voxloop("train", "--steps", str(steps), *words, "-w", study.workspace)


def collect_empty(study: Study, name: str, *words: str) -> None:
    """Deliver that nothing was found anywhere in a scan."""
    path = study.delivery / f"{name}.nii.gz"
    write_label_map(path, LabelMap(np.zeros(GEOMETRY.shape, np.uint8), GEOMETRY, LABELS))
    assert voxloop("collect", path, "--looked-at", "all", *words, "-w", study.workspace) == 0


def has_model(study: Study) -> bool:
    return any(study.workspace.rglob("model.safetensors"))


def test_a_scan_that_was_spoiled_after_it_was_added_is_named_before_training(
    study: Study, capfd: Capture
) -> None:
    (path,) = (study.workspace / "images" / "one").glob("*.nii.gz")
    sound = path.read_bytes()
    array = np.asarray(read_volume(path).array, dtype=np.float32).copy()
    array[2, 3, 4] = np.nan
    write_volume(path, Volume(array, GEOMETRY))
    assert training(study) == 3
    said = capfd.readouterr().err
    assert f'case "one", {path}: expected the scan that was added, found a file of other' in said
    assert "training:" not in said
    assert not has_model(study)
    path.write_bytes(sound)
    assert training(study) == 0


def test_a_case_without_any_label_helps_all_the_same(study: Study, capfd: Capture) -> None:
    collect_empty(study, "two")
    assert training(study) == 0
    assert "learned from 2 cases" in capfd.readouterr().out


def test_labels_in_no_case_at_all_are_refused(tmp_path: Path, capfd: Capture) -> None:
    study = Study(tmp_path / "study", tmp_path / "delivery")
    voxloop("init", study.workspace, "--label", "cyst")
    voxloop("add", study.scan("one"), study.scan("two"), "-w", study.workspace)
    for name in ("one", "two"):
        collect_empty(study, name)
    capfd.readouterr()
    assert training(study) == 3
    said = capfd.readouterr().err
    assert "expected a voxel labelled cyst, found background only, in 2 cases; run" in said
    assert not has_model(study)


def test_a_label_that_occurs_nowhere_is_named_and_the_others_are_learned(
    tmp_path: Path, capfd: Capture
) -> None:
    study = Study(tmp_path / "study", tmp_path / "delivery")
    voxloop("init", study.workspace, "--label", "cyst", "--label", "stone")
    voxloop("add", study.scan("one"), "--copy", "-w", study.workspace)
    voxloop("collect", study.label_map("one"), "--looked-at", "all", "-w", study.workspace)
    capfd.readouterr()
    assert training(study) == 0
    warned = "warning: label 'stone' has no annotated voxel and cannot be learned; label a slice"
    assert warned in capfd.readouterr().err
    assert training(study, "--json") == 0, "and is named again where the model is kept"
    assert json.loads(capfd.readouterr().out)["unlearned"] == ["stone"]


@pytest.mark.parametrize(
    ("shape", "angles"),
    [
        pytest.param((64, 48, 1), (0.0, 0.0, 0.0), id="an axial picture"),
        pytest.param((1, 48, 40), (0.0, 0.0, 0.0), id="a sagittal picture"),
        pytest.param((48, 1, 40), (0.2, -0.3, 0.4), id="an oblique coronal picture"),
        pytest.param((64, 48, 1), (0.9, 0.8, -0.7), id="a picture across all axes"),
        pytest.param((5, 6, 1), (0.2, -0.3, 0.4), id="a picture of thirty voxels"),
    ],
)
def test_a_scan_of_one_slice_goes_all_the_way_to_a_mesh(
    shape: tuple[int, int, int],
    angles: tuple[float, float, float],
    tmp_path: Path,
    capfd: Capture,
) -> None:
    geometry = oblique_geometry(shape, angles=angles)
    mask = ellipsoid_mask(geometry, (2.0, 2.0, 2.0) if max(shape) < 10 else (11.0, 12.0, 13.0))
    noise = np.random.default_rng(0).normal(0, 0.1, shape)
    write_volume(tmp_path / "scans/flat.nii.gz", Volume((mask + noise).astype("f4"), geometry))
    write_label_map(tmp_path / "maps/flat.nii.gz", LabelMap(mask.astype("u1"), geometry, LABELS))
    study = Study(tmp_path / "study", tmp_path / "maps")
    here = ("-w", study.workspace)
    assert voxloop("init", study.workspace, "--label", "cyst") == 0
    assert voxloop("add", tmp_path / "scans", *here) == 0
    capfd.readouterr()
    assert voxloop("suggest", "--json", *here) == 0
    (asked,) = json.loads(capfd.readouterr().out)["queries"]
    region = asked["query"]["region"]
    assert (region["start"], region["stop"]) == ([0, 0, 0], list(shape)), "the only slice"
    assert voxloop("collect", tmp_path / "maps", *here) == 0
    assert training(study) == 0
    out = tmp_path / "out"
    assert voxloop("segment", tmp_path / "scans", "--out", out, *here) == 0
    found = read_label_map(out / "flat.nii.gz", LABELS)
    assert geometry.difference(found.geometry) is None
    for folder in (tmp_path / "maps", out):
        meshes = folder.with_name(f"{folder.name}_meshes")
        assert voxloop("mesh", folder, "--label", "cyst", "--out", meshes) == 0
    assert (tmp_path / "maps_meshes" / "flat_cyst.stl").exists()


def overflow_at(steps: range, patch: pytest.MonkeyPatch) -> None:
    """Let the images of these steps overflow."""
    sound = PatchSource.batch

    def batch(self: PatchSource, step: int) -> Any:
        found = sound(self, step)
        return dataclasses.replace(found, image=found.image / 0) if step in steps else found

    patch.setattr(PatchSource, "batch", batch)


def test_a_training_without_hope_gives_up_and_leaves_no_model(
    study: Study, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        overflow_at(range(2, 1000), patch)
        assert training(study, steps=60) == 3
    said = capfd.readouterr().err
    assert "training: expected a finite loss, found none in 20 steps in a row; look for" in said
    assert not has_model(study)
    assert training(study) == 0
    weights = load_checkpoint(newest_model(Workspace.open(study.workspace))).weights
    assert all(bool(torch.isfinite(value).all()) for value in weights.values())


def test_steps_without_a_finite_loss_are_counted_for_the_user(
    study: Study, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    overflow_at(range(1, 3), monkeypatch)
    assert training(study, steps=4) == 0
    assert "2 steps had no effect, because their loss was not finite" in capfd.readouterr().err


def test_memory_that_would_not_suffice_is_said_before_the_first_step(
    study: Study, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("voxloop.compute.memory.available_bytes", lambda: 64 << 20)
        assert training(study) == 4
    said = capfd.readouterr().err
    assert "of memory, 64.0 MiB may be used; close other programs" in said
    assert "training:" not in said
    assert not has_model(study)
    assert training(study) == 0
