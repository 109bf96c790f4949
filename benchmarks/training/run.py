"""Run a suite of training cells; what is there already is not run again.

    python benchmarks/training/run.py --list
    python benchmarks/training/run.py time cases slices --data ../shared/data

Each cell leaves one JSON file in benchmarks/results/training, so that a run may be stopped at any
moment and continued, here or on another machine. `--table` prints what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from cell import Cell, run_cell
from suites import SUITES

from voxloop.compute.atomic import write_json

RESULTS = Path(__file__).resolve().parent.parent / "results" / "training"


def main() -> int:
    """Run or list or tabulate."""
    arguments = _arguments()
    cells = [cell for suite in arguments.suites or SUITES for cell in SUITES[suite]]
    if arguments.seeds is not None:
        cells = [cell for cell in cells if cell.seed in arguments.seeds]
    if arguments.table:
        print(table(cells))
        return 0
    for number, cell in enumerate(cells, start=1):
        path = RESULTS / f"{cell.name}.json"
        state = "done" if path.exists() else "to do"
        if arguments.list or path.exists():
            print(f"{number:3d}/{len(cells)} {state:5s} {cell.name}")
            continue
        started = time.monotonic()
        found = run_cell(cell, arguments.data)
        write_json(path, found)
        print(
            f"{number:3d}/{len(cells)} {cell.name}: {found['dice']['mean']:.4f} "
            f"after {found['steps']} steps, {(time.monotonic() - started) / 60:.1f} min in all",
            flush=True,
        )
    return 0


def table(cells: list[Cell]) -> str:
    """A table in Markdown: one row for each kind of cell, seeds put together."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for cell in cells:
        path = RESULTS / f"{cell.name}.json"
        if path.exists():
            groups[cell.name.replace(f"_seed{cell.seed}", "")].append(json.loads(path.read_text()))
    rows = ["| cell | seeds | slices | steps | minutes | Dice | of one seed (95 %, cases) |"]
    rows.append("|---|---|---|---|---|---|---|")
    for name, found in groups.items():
        means = [one["dice"]["mean"] for one in found]
        spread = f" ± {np.std(means, ddof=1):.3f}" if len(means) > 1 else ""
        interval = found[0]["dice"]["interval"]
        shown = f"{interval[0]:.3f}..{interval[1]:.3f}" if interval else "n too small"
        rows.append(
            f"| {name} | {len(found)} | {found[0]['annotated_slices']} "
            f"| {np.mean([one['steps'] for one in found]):.0f} "
            f"| {np.mean([one['train_minutes'] for one in found]):.1f} "
            f"| {np.mean(means):.3f}{spread} | {shown} |"
        )
    return "\n".join(rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", choices=[[], *SUITES], help="all where none is named")
    parser.add_argument("--seeds", type=int, nargs="*", default=None)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--table", action="store_true")
    data = os.environ.get("VOXLOOP_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(data))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
