"""A full-size CT from file to label map file: seconds by stage and peak memory, by labels.

    python benchmarks/inference/full_ct.py
    python benchmarks/inference/full_ct.py --model model.safetensors --out mine.json

The scan is the public abdominal CT among the shared data (VOXLOOP_DATA), resampled to 512 x 512 x
200 voxels. The network is that of the plan which such a scan gets, for each number of labels, with
two kinds of weights (`ct_networks.py`): `trained` a thousand steps on this very scan, to cut its
tissue into as many compact pieces as there are labels, and `random`, made as decided as trained
ones and turned towards the background, so that labels are scattered in crumbs all over the scan: a
bad case. (`undecided` leaves random weights as they are, which is the worst case: nearly every
voxel lies between several labels.) Every number of labels is run at default quality, the other
qualities with one of them (`--labels-of-qualities`) and the first weights. With `--model` a model
of your own is used instead. Every cell runs in a process of its own, `--rounds` times in turn;
`cells` holds medians of seconds and the highest peaks. `all` is from file to file, imports
excepted; `process` has them, too. `open` is long once, when the engine is compiled and compared,
which is left out (`longest_open`). The result goes to benchmarks/results/full_ct.json after every
run; a run that was stopped continues.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, get_args

import numpy as np
from ct_networks import SEED, Weights, ct_model, ct_scan
from ledger import CACHE, RESULTS, Ledger

from voxloop.compute.memory import GIB, peak_rss_bytes
from voxloop.io.formats import read_volume, write_label_map, write_volume
from voxloop.model.checkpoint import load_checkpoint
from voxloop.predict.options import QUALITIES, QualityWord
from voxloop.predict.predictor import Predictor

LABELS = (1, 5, 25, 100)
SHAPE = (512, 512, 200)
CONVENTION = (
    "wall seconds from file to label map file in a fresh process without its imports, engine "
    "compiled before; cells: median and range over the rounds, peak: the highest resident memory"
)
SETTINGS = (
    "shape", "labels", "weights", "quality", "labels_of_qualities", "engine", "uncertainty",
    "rounds",
)  # fmt: skip
Row = dict[str, Any]


def main() -> int:
    """Run every cell and print one JSON document."""
    arguments = _arguments()
    if arguments.cell:
        sys.stdout.write(json.dumps(run_cell(**json.loads(arguments.cell))) + "\n")
        return 0
    i, j, k = arguments.shape
    work = CACHE / f"ct-{i}x{j}x{k}"
    scan = work / "scan.nii.gz"
    if not scan.exists():
        work.mkdir(parents=True, exist_ok=True)
        write_volume(scan, ct_scan(arguments.data, (i, j, k)))
    if arguments.scan_only:
        return 0
    settings: Row = {key: vars(arguments)[key] for key in SETTINGS} | {"seed": SEED}
    settings["model"] = None if arguments.model is None else arguments.model.name
    ledger = Ledger(arguments.out, "benchmarks/inference/full_ct.py", settings, CONVENTION)
    base: Row = {"scan": str(scan), "engine": arguments.engine, "cache": str(work / "engines")}
    base["uncertainty"] = arguments.uncertainty
    found = run_in_turn(
        [base | cell for cell in _cells(arguments, work, scan)], arguments.rounds, ledger
    )
    ledger.write(cells=found)
    for cell in found:
        sys.stdout.write(
            f"{cell['labels']:3d} labels, {cell['key']['weights']:9s} {cell['quality']:7s} "
            f"{cell['seconds']['all']:6.1f} s, {cell['peak_gib']:.2f} GiB, {cell['engine']}\n"
        )
    return 0


def _cells(arguments: argparse.Namespace, work: Path, scan: Path) -> list[Row]:
    """Every number of labels at the first quality, the other qualities with one number."""
    first, *others = arguments.quality
    if arguments.model is not None:
        own = {"model": str(arguments.model), "labels": None, "weights": "given"}
        return [own | {"quality": quality} for quality in arguments.quality]
    wanted = [(n, weights, first) for weights in arguments.weights for n in arguments.labels]
    wanted += [(arguments.labels_of_qualities, arguments.weights[0], other) for other in others]
    return [
        {
            "model": str(ct_model(work, labels, scan, weights)),
            "labels": labels,
            "weights": weights,
            "quality": quality,
        }
        for labels, weights, quality in wanted
    ]


def run_cell(
    *,
    scan: str,
    model: str,
    labels: int | None,
    quality: QualityWord,
    engine: str,
    uncertainty: bool,
    cache: str,
) -> Row:
    """Segment one scan and report what it took, the process's own start excepted."""
    start = time.monotonic()
    volume = read_volume(Path(scan))
    read = time.monotonic()
    checkpoint = load_checkpoint(Path(model))
    predictor = Predictor(
        checkpoint, quality=quality, engine=engine, cache=Path(cache), memory_bytes=4 * GIB
    )
    name = predictor.engines[0].name
    opened = time.monotonic()
    tiles = 0

    def count(_progress: object) -> None:
        nonlocal tiles
        tiles += 1

    found = predictor.segment((volume,), count, uncertainty=uncertainty)
    segmented = time.monotonic()
    write_label_map(Path(scan).parent / "out.nii.gz", found.label_map)
    done = time.monotonic()
    return {
        "labels": labels or len(checkpoint.plan.labels),
        "quality": quality,
        "spacing_mm": checkpoint.plan.spacing_mm,
        "patch": checkpoint.plan.patch_shape,
        "engine": name,
        "tiles": tiles,
        "seconds": {
            "read": read - start,
            "open": opened - read,
            **found.seconds,
            "write": done - segmented,
            "all": done - start,
        },
        "peak_gib": peak_rss_bytes() / GIB,
        "labelled_share": float((found.label_map.array > 0).mean()),
        "labels_found": int(np.count_nonzero(np.bincount(found.label_map.array.ravel()[::7]))) - 1,
    }


def run_in_turn(cells: list[Row], rounds: int, ledger: Ledger) -> list[Row]:
    """Run every cell so many times, each in a process of its own, and sum up."""
    found: list[list[Row]] = [[] for _ in cells]
    for number in range(rounds):
        for cell, runs in zip(cells, found, strict=True):
            key = {"scan": cell.get("name", "ct"), "labels": cell["labels"]}
            key |= {"weights": cell["weights"], "quality": cell["quality"], "round": number}
            runs.append(ledger.row(key, partial(_in_a_process, cell)))
    return [_summary(runs) for runs in found]


def _in_a_process(cell: Row) -> Row:
    start = time.monotonic()
    wanted = {name: value for name, value in cell.items() if name not in {"name", "weights"}}
    told = subprocess.run(
        [sys.executable, str(Path(__file__)), "--cell", json.dumps(wanted)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: Row = json.loads(told.stdout)
    found["seconds"]["process"] = time.monotonic() - start
    return found


def _summary(runs: list[Row]) -> Row:
    """Medians over the rounds; of `open` over those that found the engine compiled."""
    opened = [run["seconds"]["open"] for run in runs]
    least = min(opened)
    runs_s = [{**run["seconds"], "open": least} for run in runs]
    for run_s, run in zip(runs_s, runs, strict=True):
        for whole in ("all", "process"):
            run_s[whole] = run["seconds"][whole] - run["seconds"]["open"] + least
    seconds = {s: round(median(run_s[s] for run_s in runs_s), 3) for s in runs_s[0]}
    kept = {name: runs[0][name] for name in runs[0] if name not in {"commit", "seconds"}}
    return {
        **kept,
        "seconds": seconds,
        "longest_open": round(max(opened), 2),
        "seconds_all_range": [round(f(r["all"] for r in runs_s), 2) for f in (min, max)],
        "peak_gib": round(max(run["peak_gib"] for run in runs), 3),
        "rounds": len(runs),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, nargs="+", default=list(LABELS))
    words = ["default", "fast", "best"]
    kinds = get_args(Weights)
    parser.add_argument("--weights", nargs="+", choices=kinds, default=["trained", "random"])
    parser.add_argument("--quality", nargs="+", choices=QUALITIES, default=words)
    parser.add_argument("--labels-of-qualities", type=int, default=5)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--uncertainty", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shape", type=int, nargs=3, default=list(SHAPE))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS / "full_ct.json")
    parser.add_argument("--scan-only", action="store_true", help="make the scan, measure nothing")
    data = os.environ.get("VOXLOOP_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(data))
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
