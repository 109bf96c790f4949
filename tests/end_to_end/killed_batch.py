"""Kill a batch at random moments until it gets through; nothing is lost and nothing half done.

Usage: killed_batch.py FOLDER KILLS SEED. FOLDER is empty. Prints how many label maps each kill
found finished as JSON.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import jinja2
import matplotlib.backends.backend_agg
import matplotlib.figure
import nibabel
import numpy as np
from batches import BROKEN, write_model, write_scan

from voxloop.io.formats import read_volume
from voxloop.predict.options import InferenceOptions
from voxloop.workspace.actions.segment import segment

CASES = 6
TORCH = InferenceOptions(engine="torch")
LOADED = (matplotlib.backends.backend_agg, matplotlib.figure, nibabel, jinja2, segment)
"""Imported once, so that kills meet the work itself."""


def start(folder: Path, out: Path) -> int:
    """Begin the batch in a process of its own; give its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        model = folder / "model.safetensors"
        code = segment(model, folder / "scans", out, options=TORCH).exit_code
    except BaseException:  # noqa: BLE001 - whatever it is, this process must end here
        traceback.print_exc()
    os._exit(code)


def wait_for(child: int, out: Path, results: int) -> None:
    """Wait until so many label maps are there, or the process is done."""
    while len(list(out.glob("[!.]*.nii.gz"))) < results:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        time.sleep(0.005)


def check(out: Path) -> int:
    """Assert that whatever is there is whole; give the number of label maps."""
    if (out / "summary.json").exists():
        json.loads((out / "summary.json").read_text())
    if (out / "summary.csv").exists():
        rows = list(csv.DictReader(io.StringIO((out / "summary.csv").read_text())))
        assert len(rows) == CASES + 1, rows
    if (out / "summary.html").exists():
        assert (out / "summary.html").read_text().rstrip().endswith("</html>")
    maps = list(out.glob("[!.]*.nii.gz"))
    for path in maps:
        read_volume(path)
        record = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert digest in {record["label_map_sha256"], record["replaces"]}
        assert (out / record["thumbnail"]).exists()
    return len(maps)


def outcome(out: Path) -> dict[str, Any]:
    """Everything that must not depend on how it came about."""
    left = [path for path in out.rglob("*") if ".tmp." in path.name]
    assert not left, left
    found: dict[str, Any] = {
        path.name: hashlib.sha256(read_volume(path).array.tobytes()).hexdigest()
        for path in out.glob("*.nii.gz")
    }
    for case in json.loads((out / "summary.json").read_text())["cases"]:
        state = "made" if case["state"] in {"done", "kept"} else case["state"]
        found[case["id"]] = [state, case["per_label"], case["problems"]]
    return found


def main(folder: Path, kills: int, seed: int) -> None:
    write_model(folder / "model.safetensors")
    for number in range(CASES):
        write_scan(folder / "scans" / f"case{number}.nii.gz", number)
    BROKEN["truncated"][0](folder / "scans" / "broken.nii.gz")
    started = time.monotonic()
    assert os.waitstatus_to_exitcode(os.waitpid(start(folder, folder / "whole"), 0)[1]) == 3
    a_case_s = (time.monotonic() - started) / CASES
    expected = outcome(folder / "whole")
    rng = np.random.default_rng(seed)
    met: list[int] = []
    while len(met) < kills:
        out = folder / "killed"
        shutil.rmtree(out, ignore_errors=True)
        code = None
        while code != 3:
            child = start(folder, out)
            if len(met) < kills:
                there = len(list(out.glob("[!.]*.nii.gz")))
                wait_for(child, out, there + int(rng.integers(0, 3)))
                time.sleep(float(rng.uniform(0, a_case_s)))
                os.kill(child, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert code in {3, -signal.SIGKILL}, code
            if code != 3:
                met.append(check(out))
        found = outcome(out)
        assert found == expected, [key for key in expected if found.get(key) != expected[key]]
    sys.stdout.write(json.dumps({"results_met": met}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
