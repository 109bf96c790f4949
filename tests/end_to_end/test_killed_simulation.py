"""A grid of runs ends with the same table, however often it was killed and whoever played it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulate_small import write_eggs

HERE = Path(__file__).parent
_PATH = os.pathsep.join([str(HERE), str(HERE.parent), *sys.path])


@pytest.mark.parametrize(("kills", "seed"), [(3, 0), pytest.param(20, 1, marks=pytest.mark.slow)])
def test_a_killed_and_a_shared_simulation_end_like_the_undisturbed_one(
    tmp_path: Path, kills: int, seed: int
) -> None:
    done = subprocess.run(
        [sys.executable, HERE / "killed_simulation.py", tmp_path, str(kills), str(seed)],
        env={**os.environ, "PYTHONPATH": _PATH, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    met = json.loads(done.stdout.splitlines()[-1])["rounds_met"]
    assert len(met) == kills
    assert len(set(met)) > kills // 2 or len(set(met)) > 4, (
        f"the kills came at the same places: {met} rounds were finished"
    )


@pytest.mark.slow
def test_workers_end_with_the_same_table(tmp_path: Path) -> None:
    tables = []
    for workers in ("1", "2"):
        out = tmp_path / workers
        with _simulation(tmp_path, out, "--steps", "2", "--workers", workers) as running:
            _, said = running.communicate()
        assert running.returncode == 0, said
        tables.append((out / "rows.csv").read_bytes())
    assert tables[0] == tables[1]


def test_a_terminated_simulation_ends_its_workers_and_with_code_5(tmp_path: Path) -> None:
    options = ("--steps", "999999", "--workers", "2")
    with _simulation(tmp_path, tmp_path / "out", *options) as running:
        assert running.stderr is not None
        while "start, seed 0" not in (line := running.stderr.readline()):
            assert line, "it ended by itself"
        running.terminate()
        _, said = running.communicate()
    assert running.returncode == 5
    assert "run the same command again to resume" in said


def _simulation(folder: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    eggs = folder / "eggs"
    if not eggs.exists():
        write_eggs(eggs, 4)
    rules = ["--budgets", "3", "--strategy", "strided", *options]
    return subprocess.Popen(
        [sys.executable, str(HERE / "simulate_small.py"), str(eggs), "--out", str(out), *rules],
        env={**os.environ, "PYTHONPATH": _PATH, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
