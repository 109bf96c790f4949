"""The verbs of the loop and of plain files, once round on phantoms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.cli import main
from voxloop.io.formats import write_label_map, write_volume
from voxloop.model.checkpoint import load_checkpoint
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume

GEOMETRY = oblique_geometry((24, 28, 16))
LABELS = LabelTable.from_names("cyst")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Scans and reference label maps of three cases."""
    for index, name in enumerate(("one", "two", "three")):
        mask = ellipsoid_mask(GEOMETRY, offset_mm=(index, -index, index))
        noise = np.random.default_rng(index).normal(0, 0.1, mask.shape)
        scan = Volume((mask + noise).astype(np.float32), GEOMETRY)
        write_volume(tmp_path / "scans" / f"{name}.nii.gz", scan)
        label_map = LabelMap(mask.astype(np.uint8), GEOMETRY, LABELS)
        write_label_map(tmp_path / "maps" / f"{name}.nii.gz", label_map)
    return tmp_path


def _voxloop(capfd: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    """Run a command with `--json` and give its document; it must end in 0."""
    code = main.execute([*map(str, words), "--json"])
    out, err = capfd.readouterr()
    assert code == 0, err
    document: dict[str, Any] = json.loads(out)
    return document


def test_once_round_the_loop(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    here = ("-w", data / "study")
    _voxloop(capfd, "init", data / "study", "--label", "cyst")
    _voxloop(capfd, "add", data / "scans", *here)

    asked = _voxloop(capfd, "suggest", "--query-size", "4", *here)
    assert len(asked["queries"]) == 4

    collected = _voxloop(capfd, "collect", data / "maps", "--looked-at", "queries", *here)
    assert collected["round_complete"]

    trained = _voxloop(capfd, "train", "--steps", "2", *here)
    assert trained["steps"] == 2
    assert Path(trained["model"]).exists()

    out = data / "out"
    segmented = _voxloop(capfd, "segment", data / "scans", "--out", out, *here)
    assert sorted(segmented["written"]) == ["one", "three", "two"]


def test_a_round_begins_with_the_weights_of_the_one_before_unless_told_not_to(
    data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    here = ("-w", data / "study")
    _voxloop(capfd, "init", data / "study", "--label", "cyst")
    _voxloop(capfd, "add", data / "scans", *here)
    models = []
    for name, words in (("one", ()), ("two", ()), ("three", ("--from-scratch",))):
        _voxloop(capfd, "collect", data / "maps" / f"{name}.nii.gz", "--looked-at", "all", *here)
        trained = _voxloop(capfd, "train", "--steps", "2", *words, *here)
        models.append(load_checkpoint(Path(trained["model"])))
        again = _voxloop(capfd, "train", "--steps", "2", *words, *here)
        assert again["steps"] == 0, "what is there is kept"
    starts = [model.provenance["start"] for model in models]
    assert starts == [None, models[0].sha256, None]


def test_the_model_is_validated_on_the_cases_it_learns_from(
    data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    here = ("-w", data / "study")
    _voxloop(capfd, "init", data / "study", "--label", "cyst")
    _voxloop(capfd, "add", data / "scans", *here)
    _voxloop(capfd, "collect", data / "maps" / "one.nii.gz", "--looked-at", "all", *here)
    assert main.execute(["validate", "-w", str(data / "study")]) == 3
    assert "annotate a slice of a second case" in capfd.readouterr().err

    _voxloop(capfd, "collect", data / "maps", "--looked-at", "all", *here)
    found = _voxloop(capfd, "validate", "--steps", "1", *here)
    assert [len(fold["train"]) for fold in found["folds"]] == [2, 2, 2]
    assert found["dice"][0]["note"] == "n = 3 is too small to claim an interval"
    assert all(Path(path).exists() for path in found["wrote"])

    assert main.execute(["validate", "--steps", "1", "-w", str(data / "study")]) == 0
    shown, told = capfd.readouterr()
    assert "3 folds of 1 step" in told
    assert "A model that learns from all of them, and for longer, should do no worse" in shown
    assert main.execute(["info", "-w", str(data / "study")]) == 0
    assert "n = 3 is too small to claim an interval" in capfd.readouterr().out


def test_two_folders_of_label_maps_are_scored(
    data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    maps, out = data / "maps", data / "scores"
    words: list[str | Path] = ["evaluate", "--reference", maps, "--prediction", maps]
    scored = _voxloop(capfd, *words, "--out", out)
    assert {row["mean"] for row in scored["per_volume"] if row["metric"] == "dice"} == {1.0}
    assert all(Path(path).exists() for path in scored["wrote"])

    assert main.execute([str(word) for word in words]) == 0
    shown = capfd.readouterr().out
    assert "1.000" in shown
    assert "scored 3 cases" in shown


def test_a_label_map_becomes_certified_surfaces(
    data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words: list[str | Path] = [
        "mesh",
        data / "maps" / "one.nii.gz",
        "--out",
        data / "meshes",
        "--label",
        "cyst",
    ]
    made = _voxloop(capfd, *words)
    assert made["passed"] is True
    assert {"one_cyst.stl", "one_certificates.json"} <= {Path(p).name for p in made["wrote"]}


def test_a_scan_that_cannot_be_segmented_is_named_and_ends_in_3(
    data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    here = ("-w", data / "study")
    _voxloop(capfd, "init", data / "study", "--label", "cyst")
    _voxloop(capfd, "add", data / "scans", *here)
    _voxloop(capfd, "collect", data / "maps", "--looked-at", "all", *here)
    _voxloop(capfd, "train", "--steps", "1", *here)
    (data / "scans" / "two.nii.gz").write_bytes(b"no scan")
    words = ["segment", data / "scans", "--out", data / "out", *here, "--json"]
    assert main.execute([str(word) for word in words]) == 3
    document = json.loads(capfd.readouterr().out)
    assert sorted(document["written"]) == ["one", "three"]
    assert "two" in document["warnings"][0]
