"""The verbs about a workspace's cases, from the command line to its documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.cli import main
from voxloop.cli.workspace import LookedAtPolicy
from voxloop.io.formats import write_label_map, write_volume
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume
from voxloop.workspace.delivery import LookedAt

GEOMETRY = oblique_geometry()
LABELS = LabelTable({3: "liver", 5: "spleen"})


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder of two scans."""
    mask = ellipsoid_mask(GEOMETRY)
    for name in ("one", "two"):
        write_volume(
            tmp_path / "scans" / f"{name}.nii.gz", Volume(mask.astype(np.float32), GEOMETRY)
        )
    return tmp_path / "scans"


def _voxloop(*words: str | Path) -> int:
    return main.execute([str(word) for word in words])


def _document(capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(capfd.readouterr().out)
    return document


def test_a_workspace_is_made_filled_labelled_and_described(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, maps = tmp_path / "study", tmp_path / "maps"
    array = np.where(ellipsoid_mask(GEOMETRY), 3, 0).astype(np.uint8)
    write_label_map(maps / "two.nii.gz", LabelMap(array, GEOMETRY, LABELS))

    assert _voxloop("init", folder, "--label", "liver=3", "--label", "spleen=5", "--json") == 0
    assert _document(capfd)["labels"] == {"liver": 3, "spleen": 5}

    assert _voxloop("add", scans, "-w", folder, "--json") == 0
    assert _document(capfd)["added"] == ["one", "two"]

    options = ["--looked-at", "all", "--asked", "liver", "--seconds", "90"]
    assert _voxloop("collect", maps, "-w", folder, *options, "--json") == 0
    collected = _document(capfd)
    assert [revision["case_id"] for revision in collected["stored"]] == ["two"]
    assert all(Path(path).exists() for path in collected["wrote"])

    assert _voxloop("info", "-w", folder, "--json") == 0
    found = _document(capfd)
    assert found["voxel_share"] == pytest.approx(0.5)
    assert found["labels"] == {"liver": int((array == 3).sum()), "spleen": 0}
    assert found["seconds"] == 90
    assert "voxloop train" in found["next"]

    assert _voxloop("info", "-w", folder) == 0
    shown = capfd.readouterr().out
    assert "two" in shown
    assert "100.0%" in shown


def test_labels_without_values_are_numbered(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    labels = ["--label", "liver", "--label", "left kidney"]
    assert _voxloop("init", tmp_path / "study", *labels, "--json") == 0
    assert _document(capfd)["labels"] == {"liver": 1, "left kidney": 2}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "either --label NAME, or --labels-from"),
        (["--label", "liver", "--labels-from", "data"], "either --label NAME, or --labels-from"),
        (["--label", "liver=1", "--label", "spleen"], "as NAME=VALUE, or none"),
        (["--label", "liver=one"], "as NAME=VALUE, or none"),
        (["--label", "liver=1", "--label", "spleen=1"], "every value stands for one label only"),
    ],
)
def test_labels_that_are_not_clear_are_refused(
    labels: list[str], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert _voxloop("init", tmp_path / "study", *labels) == 2
    assert message in capfd.readouterr().err
    assert not (tmp_path / "study").exists()


def test_the_label_table_can_come_with_a_data_set(
    shared_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = shared_data / "hippocampus"
    assert _voxloop("init", tmp_path / "study", "--labels-from", source, "--json") == 0
    labels = _document(capfd)["labels"]
    assert sorted(labels.values()) == [1, 2]
    assert all("anterior" in name.lower() for name, value in labels.items() if value == 1)


def test_a_folder_that_is_no_workspace_is_wrong_usage(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert _voxloop("info", "-w", tmp_path) == 2
    assert "voxloop init FOLDER" in capfd.readouterr().err


def test_scans_that_are_not_there_are_bad_data(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _voxloop("init", tmp_path / "study", "--label", "liver")
    assert _voxloop("add", tmp_path / "absent", "-w", tmp_path / "study") == 3
    assert "absent" in capfd.readouterr().err


def test_the_policies_of_collect_are_those_the_help_offers() -> None:
    assert set(get_args(LookedAtPolicy)) == set(LookedAt)
