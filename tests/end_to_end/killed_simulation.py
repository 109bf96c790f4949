"""Kill a simulation at random moments until it gets through, then let two processes share one.

Usage: killed_simulation.py FOLDER KILLS SEED. FOLDER is empty. What is killed is a process that
carries out the command line `voxloop simulate`. Prints what the kills met as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np
from simulate_small import write_eggs

from plans import narrow_networks
from voxloop.cli import main
from voxloop.workspace.actions import simulate  # loads torch, once for all children

RULES = """
budgets = [3, 5, 7]
steps = 3
first_steps = 5
full_steps = 6
test_share = 0.4
jitter_mm = 0.5
missed = 0.1
"""
STRATEGIES = ("entropy", "random_slices")


def start(folder: Path, out: Path) -> int:
    """Begin a simulation in a process of its own; give its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        words = ["simulate", folder / "eggs", "--out", out, "--rules", folder / "rules.toml"]
        for strategy in STRATEGIES:
            words += ["--strategy", strategy]
        with narrow_networks("voxloop.active.trial.campaign"):
            code = main.execute([str(word) for word in words])
    except BaseException:  # noqa: BLE001 - whatever it is, this process must end here
        traceback.print_exc()
    os._exit(code)


def ended(child: int) -> int:
    """Wait for a process; give its exit code, or minus its signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def wait_for(child: int, out: Path, rounds: int) -> None:
    """Wait until so many rounds are finished, or the process is."""
    while len(list(out.rglob("round-*.json"))) < rounds:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        time.sleep(0.01)


def outcome(out: Path) -> dict[str, str | bytes]:
    """Everything that must not depend on how it came about."""
    found: dict[str, str | bytes] = {
        str(path.relative_to(out)): path.read_text() for path in out.rglob("*.json")
    }
    found |= {name: (out / name).read_bytes() for name in ("rows.csv", "report.html")}
    files = [path for path in out.rglob("*") if path.parent.name != "cache"]
    left = [path for path in files if ".tmp." in path.name or "resume" in path.name]
    assert not left, left
    models = [path.relative_to(out) for path in out.rglob("*.safetensors")]
    return found | {"models": "\n".join(sorted(map(str, models)))}


def run(folder: Path, kills: int, seed: int) -> None:
    """Do what the module says."""
    assert "torch" in sys.modules, simulate
    write_eggs(folder / "eggs", 5)
    (folder / "rules.toml").write_text(RULES)
    assert ended(start(folder, folder / "undisturbed")) == 0
    expected = outcome(folder / "undisturbed")
    rng = np.random.default_rng(seed)
    rounds = len(list((folder / "undisturbed").rglob("round-*.json")))
    wanted = np.linspace(0, rounds - 1, kills).round().astype(int).tolist()
    met: list[int] = []
    while len(met) < kills:
        out = folder / "killed"
        shutil.rmtree(out, ignore_errors=True)
        code = None
        while code != 0:
            child = start(folder, out)
            if len(met) < kills:
                wait_for(child, out, wanted[len(met)])
                time.sleep(float(rng.uniform(0, 0.3)))
                os.kill(child, signal.SIGKILL)
            code = ended(child)
            assert code in {0, -signal.SIGKILL}, code
            if code != 0:
                met.append(len(list(out.rglob("round-*.json"))))
        found = outcome(out)
        differing = [key for key in expected if found.get(key) != expected[key]]
        assert not differing, differing
    children = [start(folder, folder / "shared") for _ in range(2)]
    assert [ended(child) for child in children] == [0, 0]
    shared = outcome(folder / "shared")
    assert shared == expected, [key for key in shared if shared[key] != expected.get(key)]
    sys.stdout.write(json.dumps({"rounds_met": met}))


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
