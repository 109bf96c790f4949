"""`voxloop pack` and back again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from study import GEOMETRY, LABELS, Study, voxloop
from voxloop.io.formats import read_label_map, write_label_map
from voxloop.volume.volume import LabelMap
from voxloop.workspace.workspace import Workspace


def test_packs_go_out_and_come_back(
    study: Study, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    where = ("-w", study.workspace)
    asked = ("--query-size", "2", "--regions", "slices", "--no-pictures")
    assert voxloop("suggest", *asked, *where) == 0
    capfd.readouterr()
    packs = tmp_path / "packs"
    assert voxloop("pack", "--out", packs, "--format", "nrrd", *where, "--json") == 0
    document = json.loads(capfd.readouterr().out)
    assert [query["number"] for query in document["queries"]] == [1, 2]
    assert document["next"].endswith(f"`voxloop collect {packs}`")
    place = packs / document["queries"][0]["folder"]
    labels = read_label_map(place / "labels.seg.nrrd", LABELS).array.copy()
    labels[:] = 1
    write_label_map(place / "labels.nii.gz", LabelMap(labels, GEOMETRY, LABELS))
    assert voxloop("collect", packs, "--confirm", "2", *where, "--json") == 0
    done = json.loads(capfd.readouterr().out)
    assert (done["answered"], done["untouched"]) == ([1, 2], [])
    case_id = document["queries"][0]["case"]
    known = Workspace.open(study.workspace).target_of(case_id).values
    assert np.count_nonzero(known == 1) >= GEOMETRY.shape[0] * GEOMETRY.shape[1]
    assert voxloop("pack", "--out", packs, *where) == 2
