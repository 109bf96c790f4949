from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phantoms import oblique_geometry
from voxloop.cli.main import execute
from voxloop.io.formats import write_label_map, write_volume
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume
from voxloop.workspace.workspace import Workspace

GEOMETRY = oblique_geometry(shape=(6, 7, 5))
LABELS = LabelTable.from_names("liver")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two annotators delivered for one case."""
    scan = np.zeros(GEOMETRY.shape, dtype=np.float32)
    write_volume(tmp_path / "scans" / "a.nii.gz", Volume(scan, GEOMETRY))
    root = tmp_path / "project"
    assert execute(["init", str(root), "--label", "liver"]) == 0
    assert execute(["add", str(tmp_path / "scans"), "-w", str(root)]) == 0
    for author, stop in (("eva", 4), ("uli", 3)):
        drawn = np.zeros(GEOMETRY.shape, dtype=np.uint8)
        drawn[1:stop, 2:5, 2] = 1
        write_label_map(tmp_path / author / "a.nii.gz", LabelMap(drawn, GEOMETRY, LABELS))
        command = ["collect", str(tmp_path / author), "-w", str(root), "--author", author]
        assert execute([*command, "--looked-at", "all"]) == 0
    return root


def said(capfd: pytest.CaptureFixture[str], *command: str) -> Any:
    capfd.readouterr()
    assert execute([*command, "--json"]) == 0
    return json.loads(capfd.readouterr().out)


def test_history_compare_and_agreement_say_what_the_api_says(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    here = ("-w", str(project))
    history = said(capfd, "history", "a", *here)["revisions"]
    assert [(r["author"], r["active"]) for r in history] == [("eva", True), ("uli", True)]
    assert said(capfd, "compare", "a", "1", "2", *here)["changes"] == [
        {"from": 1, "to": 0, "voxels": 3}
    ]
    (pair,) = said(capfd, "agreement", *here)["pairs"]
    assert pair["authors"] == ["eva", "uli"]
    assert pair["scores"][0]["dice"] == pytest.approx(2 * 6 / (9 + 6))
    assert execute(["history", "a", *here]) == 0
    assert "takes back" not in capfd.readouterr().out


def test_what_is_undone_or_sent_back_no_longer_counts(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    here = ("-w", str(project))
    assert said(capfd, "undo", "a", *here)["revision"]["withdraws"] == 2
    assert int((Workspace.open(project).target_of("a").values == 1).sum()) == 9
    sent = said(capfd, "review", "a", "1", "sent_back", "--remark", "too small", *here)
    assert sent["withdrawal"]["withdraws"] == 1
    assert not Workspace.open(project).target_of("a").looked_at.any()
    assert said(capfd, "undo", "a", "--revision", "3", *here)["revision"]["withdraws"] == 3
    assert int((Workspace.open(project).target_of("a").values == 1).sum()) == 6
    assert Workspace.open(project).verify() == 5
    assert execute(["undo", "a", "--revision", "3", *here]) == 2
    assert "taken back before" in capfd.readouterr().err


def test_a_server_for_others_needs_a_token(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert execute(["serve", str(project), "--host", "0.0.0.0", "--no-token"]) == 2  # noqa: S104
    assert "only this computer" in capfd.readouterr().err
    assert execute(["serve", str(project), "--token", "short"]) == 2
    assert "16 to 200" in capfd.readouterr().err
    assert execute(["serve", str(project / "nowhere")]) == 2
