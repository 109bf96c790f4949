"""Whatever moment a process is killed at, the round ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bodies import LABELS, write_bodies

from voxloop.workspace.actions.add import add
from voxloop.workspace.actions.answer import answer
from voxloop.workspace.actions.init import init
from voxloop.workspace.actions.suggest import Wish, suggest

HERE = Path(__file__).parent


@pytest.mark.parametrize(("kills", "seed"), [(8, 0), pytest.param(20, 1, marks=pytest.mark.slow)])
def test_a_round_killed_at_random_moments_ends_where_the_undisturbed_one_does(
    tmp_path: Path, kills: int, seed: int
) -> None:
    references = write_bodies(tmp_path, range(4))
    workspace = init(tmp_path / "project", LABELS).workspace
    add(workspace, tmp_path / "scans")
    suggest(workspace, Wish(query_size=6))
    answer(workspace, references.__getitem__)
    path = os.pathsep.join([str(HERE.parent), *sys.path])
    done = subprocess.run(
        [sys.executable, HERE / "killed_at_random.py", tmp_path, str(kills), str(seed)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    moments = json.loads(done.stdout)["moments"]
    assert len(moments) == kills
    assert moments.count("training, resumable") >= kills // 4, moments
