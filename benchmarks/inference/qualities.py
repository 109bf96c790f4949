"""What the qualities are worth on real scans: Dice and time of fast, default and best.

    python benchmarks/quality/evaluate.py fetal_brain many    # leaves the models this needs
    python benchmarks/quality/evaluate.py hippocampus many
    python benchmarks/inference/qualities.py

The held-out cases of benchmarks/training, segmented by the models that benchmarks/quality has
trained on the others. The result goes to benchmarks/results/qualities.json after every case; a run
that was stopped continues.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from ledger import CACHE, RESULTS, Ledger

from splits import HELD_OUT, split  # beside whose folder the ledger looks
from voxloop.dataset.dataset import Dataset
from voxloop.dataset.layouts import read_dataset
from voxloop.dataset.load import read_case_channels, read_case_label_map
from voxloop.metrics.bootstrap import estimate_mean
from voxloop.metrics.overlap import dice, measure_overlap
from voxloop.model.checkpoint import load_checkpoint
from voxloop.predict.options import QUALITIES, QualityWord
from voxloop.predict.predictor import Predictor

GOAL = 0.005
"""Dice, default against best."""

CONVENTION = (
    "Dice: mean over labels of whole held-out scans, mean over n cases; minus_best: paired, with a "
    "BCa 95 % interval over cases; seconds: median wall time of a scan in memory"
)


def main() -> int:
    """Segment every held-out case at every quality."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = Path(os.environ.get("VOXLOOP_DATA", "../shared/data"))
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--models", type=Path, default=CACHE / "quality")
    parser.add_argument("--names", nargs="+", choices=list(HELD_OUT), default=list(HELD_OUT))
    parser.add_argument("--cases", type=int, help="the first of the held-out ones only")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--out", type=Path, default=RESULTS / "qualities.json")
    options = parser.parse_args()
    models = {name: newest_model(options.models, name) for name in options.names}
    settings = {"names": options.names, "cases": options.cases, "engine": options.engine}
    settings |= {"models": {name: str(p.parent.parent.name) for name, p in models.items()}}
    script = "benchmarks/inference/qualities.py"
    ledger = Ledger(options.out, script, settings | {"seed": 0}, CONVENTION)
    means = []
    for name, path in models.items():
        dataset = read_dataset(options.data / name)
        test = split(name, dataset.ids).held_out[: options.cases]
        predictor = cache(partial(opened, path, options.engine))
        rows = [
            ledger.row({"data": name, "case": i}, partial(of_case, predictor, dataset, i))
            for i in test
        ]
        means += [summed_up(name, quality, rows) for quality in QUALITIES]
        ledger.write(means=means, goal=GOAL)
    for mean in means:
        interval = mean["minus_best"]["interval"]
        shown = f"[{interval[0]:+.4f}, {interval[1]:+.4f}]" if interval else "no interval"
        sys.stdout.write(
            f"{mean['data']:12s} {mean['quality']:8s} n {mean['n']:2d}, Dice {mean['dice']:.4f}, "
            f"{mean['minus_best']['value']:+.4f} {shown}, {mean['seconds']:.2f} s\n"
        )
    return 0


def newest_model(folder: Path, name: str) -> Path:
    """What benchmarks/quality trained last with many labels."""
    found = sorted(
        folder.glob(f"{name}/many-*/model/model.safetensors"), key=lambda path: path.stat().st_mtime
    )
    if not found:
        raise SystemExit(f"no model yet: run benchmarks/quality/evaluate.py {name} many")
    return found[-1]


def opened(path: Path, engine: str, quality: QualityWord) -> Predictor:
    """A predictor with its engine compiled."""
    cache_folder = CACHE / "quality" / "engines"
    predictor = Predictor(load_checkpoint(path), quality=quality, engine=engine, cache=cache_folder)
    predictor.engines[0].name  # noqa: B018 - compiles it
    return predictor


def of_case(
    predictor: Callable[[QualityWord], Predictor], dataset: Dataset, case_id: str
) -> dict[str, Any]:
    """A case at every quality."""
    return {quality: scored(predictor(quality), dataset, case_id) for quality in QUALITIES}


def scored(predictor: Predictor, dataset: Dataset, case_id: str) -> dict[str, Any]:
    """Dice and seconds of one case."""
    case = dataset.case(case_id)
    if dataset.labels is None:
        raise SystemExit(f"{dataset.name} names no labels")
    reference, channels = read_case_label_map(case, dataset.labels), read_case_channels(case)
    started = time.monotonic()
    found = predictor.segment(channels)
    seconds = time.monotonic() - started
    values = reference.labels.values
    scores = [
        float(dice(measure_overlap(reference.mask(value), found.label_map.mask(value))))
        for value in values
    ]
    return {"dice": float(np.nanmean(scores)), "seconds": seconds, "engine": found.engine}


def summed_up(name: str, quality: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over the cases, and the difference to the best quality."""
    differences = [row[quality]["dice"] - row["best"]["dice"] for row in rows]
    found = estimate_mean(differences, rng=np.random.default_rng(0))
    return {
        "data": name,
        "quality": quality,
        "n": len(rows),
        "dice": float(np.mean([row[quality]["dice"] for row in rows])),
        "minus_best": {"value": found.value, "interval": found.interval, "note": found.note},
        "seconds": float(np.median([row[quality]["seconds"] for row in rows])),
        "engine": rows[0][quality]["engine"],
    }


if __name__ == "__main__":
    sys.exit(main())
