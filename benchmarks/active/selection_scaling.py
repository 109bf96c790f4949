"""Time and memory of choosing 40 regions from 100, 1 000 and 10 000 volumes of 40 slices.

    python benchmarks/active/selection_scaling.py

Whole strategies choose from real pools; what comes from a network is simulated and small (32
features per slice, a prediction of 4 x 4 voxels per slice), so that selecting is what is measured.
400 slices are annotated, and the strategies of diversity keep away from them. Each figure comes
from a process of its own: wall and processor time of the query (the fastest of the repeats; the
processor's says more on a busy machine), and the peak of memory beyond what the pool itself holds.
The exponent is that between the two largest pools; n log n has 1.09 there. The result goes to
benchmarks/results/selection_scaling.json; `--table` prints it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.active.cost.model import CostModel
from voxloop.active.doubt.acquisition import Members
from voxloop.active.doubt.ranking import ScoreRanking
from voxloop.active.pool import CasePool, Pool
from voxloop.active.strategies.context import SelectionContext, Strategy
from voxloop.active.strategies.coverage import CoverRegions
from voxloop.active.strategies.foreground import ForegroundRandom
from voxloop.active.strategies.gradient import GradientRegions
from voxloop.active.strategies.registry import SCORERS, find_strategy
from voxloop.active.strategies.suggestive import SuggestiveRegions
from voxloop.active.strategies.typical import TypicalRegions
from voxloop.active.strategies.uncertain import UncertainRegions
from voxloop.compute.atomic import write_json
from voxloop.compute.memory import peak_rss_bytes
from voxloop.volume.labels import LabelTable

RESULT = Path(__file__).resolve().parent.parent / "results" / "selection_scaling.json"

VOLUMES = (100, 1_000, 10_000)
SLICES = 40
FEATURES = 32
ANNOTATED = 400
QUERIES = 40

ENTROPY = SCORERS["entropy"]
STRATEGIES: dict[str, Strategy] = {
    "top-k": UncertainRegions("entropy", ENTROPY),
    "power noise": UncertainRegions("entropy_power", ENTROPY, ScoreRanking("power")),
    "class-stratified (ClaSP PE)": find_strategy("entropy_class"),
    "k-center (core-set)": CoverRegions("coreset", "network"),
    "k-means++ (BADGE-like)": GradientRegions("badge", ENTROPY),
    "typicality (TypiClust)": TypicalRegions("typical", "network"),
    "suggestive annotation": SuggestiveRegions("suggestive", ENTROPY),
    "foreground-aware random": ForegroundRandom(),
    "hybrid": SuggestiveRegions("hybrid", ENTROPY, young=1.0),
}

_ROUND = 3
"""Of the selection: the hybrid then draws a third of its queries and suggests the others."""


def main() -> None:
    """Measure every strategy on every size, or one of them in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs=2, metavar=("STRATEGY", "VOLUMES"), help="print one figure")
    parser.add_argument("--table", action="store_true", help="print the result that is there")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only[0], int(options.only[1]))))
        return
    if not options.table:
        write_json(RESULT, measure_all(options.repeats))
    print(table(json.loads(RESULT.read_text())))


def measure_all(repeats: int) -> dict[str, Any]:
    """Every strategy on every size, each time in a process of its own."""
    strategies = {}
    for name in STRATEGIES:
        rows = []
        for volumes in VOLUMES:
            runs = [in_own_process(name, volumes) for _ in range(repeats)]
            best = {key: min(run[key] for run in runs) for key in runs[0]}
            rows.append(best | {"extra_mib": max(run["extra_mib"] for run in runs)})
            print(name, rows[-1], file=sys.stderr)
        strategies[name] = {
            "sizes": rows,
            "time_exponent": exponent([row["seconds"] for row in rows]),
            "processor_time_exponent": exponent([row["cpu_seconds"] for row in rows]),
            "memory_exponent": exponent([row["extra_mib"] for row in rows]),
        }
    regions = [volumes * SLICES for volumes in VOLUMES]
    return {
        "benchmark": "choosing from a pool, features and scores simulated",
        "queries": QUERIES,
        "annotated": ANNOTATED,
        "features": FEATURES,
        "repeats": repeats,
        "machine": {
            "cores": os.cpu_count(),
            "threads": os.environ.get("OMP_NUM_THREADS", "all"),
            "processor": platform.machine(),
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
        "n_log_n_exponent": exponent([n * math.log(n) for n in regions]),
        "strategies": strategies,
    }


def in_own_process(name: str, volumes: int) -> dict[str, float]:
    """One figure, whose memory is not mixed with that of others."""
    command = [sys.executable, __file__, "--only", name, str(volumes)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(name: str, volumes: int) -> dict[str, float]:
    """Seconds and memory of one query from a fresh pool."""
    pool = pool_of(volumes)
    context = SelectionContext(
        pool,
        QUERIES,
        np.random.default_rng(0),
        CostModel(),
        LabelTable.from_names("organ", "tumour"),
        predict=prediction,
        embed=features,
        round_number=_ROUND,
    )
    held = peak_rss_bytes()
    start, used = time.perf_counter(), time.process_time()
    queries = STRATEGIES[name].query(context)
    seconds, used = time.perf_counter() - start, time.process_time() - used
    if len({(query.case_id, query.region) for query in queries}) != QUERIES:
        sys.exit(f"{name} gave {len(queries)} queries")
    return {
        "volumes": volumes,
        "regions": pool.region_count,
        "seconds": round(seconds, 3),
        "cpu_seconds": round(used, 3),
        "extra_mib": round((peak_rss_bytes() - held) / 2**20, 1),
        "before_mib": round(held / 2**20, 1),
    }


def pool_of(volumes: int) -> Pool:
    """Cases of 40 slices, the annotated ones spread over the first cases."""
    cases = [
        CasePool(f"case{number:05d}", (4, 4, SLICES), (1.0, 1.0, 3.0), 2)
        for number in range(volumes)
    ]
    for number in range(min(volumes, ANNOTATED)):
        each = ANNOTATED // min(volumes, ANNOTATED)
        done = frozenset((number + 9 * turn) % SLICES for turn in range(each))
        cases[number] = replace(cases[number], annotated=done)
    return Pool(tuple(cases))


def prediction(case_id: str) -> Members:
    """Probabilities of three classes, more or less sure from slice to slice."""
    rng = np.random.default_rng(int(case_id[4:]))
    raw = rng.random((1, 3, 4, 4, SLICES), dtype=np.float32) ** rng.integers(1, 9, SLICES)
    raw += np.float32(1e-6)
    return np.asarray(raw / raw.sum(axis=1, keepdims=True), dtype=np.float32)


def features(case_id: str) -> npt.NDArray[np.float32]:
    """Slices that drift through one of twenty places, as anatomies do."""
    number = int(case_id[4:])
    place = np.random.default_rng(number % 20).standard_normal((FEATURES, 2))
    along = np.stack([np.ones(SLICES), np.linspace(-1, 1, SLICES)])
    noise = np.random.default_rng(10**6 + number).standard_normal((FEATURES, SLICES))
    return (place @ along + 0.5 * noise)[:, None, None, :].astype(np.float32)


def exponent(values: list[float]) -> float | None:
    """Of the growth from the last but one pool to the largest; None where nothing was held."""
    if min(values[-2:]) <= 0:
        return None
    return round(math.log(values[-1] / values[-2]) / math.log(VOLUMES[-1] / VOLUMES[-2]), 2)


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    heads = [f"{volumes:,} volumes".replace(",", " ") for volumes in VOLUMES]
    lines = [
        "| strategy | "
        + " | ".join(heads)
        + " | exponent of time | of processor time | of memory |",
        "|---" * (len(heads) + 4) + "|",
    ]
    for name, found in result["strategies"].items():
        cells = [f"{row['seconds']:.2f} s, {row['extra_mib']:.0f} MiB" for row in found["sizes"]]
        kinds = ("time", "processor_time", "memory")
        ends = [found[f"{kind}_exponent"] for kind in kinds]
        lines.append(f"| {name} | " + " | ".join([*cells, *map(str, ends)]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
