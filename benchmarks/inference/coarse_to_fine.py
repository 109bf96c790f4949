"""Coarse to fine with trained networks on real scans: surface error by how the detail came back.

    python benchmarks/inference/coarse_to_fine.py

Cerebellum and brainstem in fetal brains of 0.8 mm, three cases to learn from, the five cases held
out to score. The network may work on so few voxels only that its grid is about 1.6 or 2.4 mm, as
that of a large CT would be. Compared: its probabilities upsampled, led by the scan's detail, and
drawn anew by a second network in the box of what it found. The networks stay in .cache/benchmarks
and the result goes to benchmarks/results/coarse_to_fine.json after every method, so a run that was
stopped continues.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from ledger import CACHE, RESULTS, Ledger

from splits import split  # beside whose folder the ledger looks
from telling import Teller
from voxloop.dataset.annotation import Annotation, merge
from voxloop.dataset.dataset import Dataset
from voxloop.dataset.layouts import read_dataset
from voxloop.dataset.load import read_case_channels, read_case_label_map
from voxloop.metrics.bootstrap import estimate_mean
from voxloop.metrics.surface import surface_distances
from voxloop.model.checkpoint import Checkpoint, load_checkpoint
from voxloop.predict.predictor import Prediction, Predictor
from voxloop.predict.refine.two_stage import TwoStagePredictor
from voxloop.train.closer import closer_cases
from voxloop.train.config import TrainConfig
from voxloop.train.loop import train
from voxloop.train.prepare import AnnotatedCase, plan_for, prepare_cases
from voxloop.volume.labels import BACKGROUND, LabelTable
from voxloop.volume.volume import LabelMap, Volume

LEARN = 3

WANTED = ("cerebellum", "brainstem")
SCORES = ("dice", "mean_mm", "p95_mm")
MARGIN_MM = 10.0
CONVENTION = (
    "of each case the mean over labels of Dice, ASSD and 95th percentile of the surface distance "
    "(mm, whole scan, scan's grid); means over n cases with BCa 95 % intervals; a label missing "
    "from a prediction has no distance and is counted in missing; gain_mm: upsampled minus method, "
    "ASSD, paired; seconds: median wall time of a scan in memory"
)
Segment = Callable[[tuple[Volume, ...]], Prediction]
Models = tuple[Checkpoint, Checkpoint]


def main() -> int:
    """Train, compare, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = Path(os.environ.get("VOXLOOP_DATA", "../shared/data"))
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--steps", type=int, default=400, help="of each of the two networks")
    parser.add_argument("--coarser", type=float, nargs="*", default=[2.0, 3.0])
    parser.add_argument("--held-out", type=int, default=5, help="cases to score, at most 5")
    parser.add_argument("--out", type=Path, default=RESULTS / "coarse_to_fine.json")
    arguments = parser.parse_args()
    dataset = read_dataset(arguments.data / "fetal_brain")
    whole = split("fetal_brain", dataset.ids)
    learned, test = [*whole.tuning[:LEARN]], [*whole.held_out[: arguments.held_out]]
    settings = {"steps": arguments.steps, "coarser": arguments.coarser, "seed": 0}
    settings |= {"learned": learned, "held_out": test, "labels": WANTED}
    script = "benchmarks/inference/coarse_to_fine.py"
    ledger = Ledger(arguments.out, script, settings, CONVENTION)
    found = []
    for coarser in arguments.coarser:
        models = functools.cache(
            functools.partial(trained, dataset, learned, coarser, arguments.steps)
        )
        rows = [
            ledger.row(
                {"coarser": coarser, "method": name},
                functools.partial(scored, dataset, test, models, name),
            )
            for name in METHODS
        ]
        found += [summed_up(row, rows[0]) for row in rows]
        ledger.write(means=found)
    for row in found:
        sys.stdout.write(
            f"{row['spacing_mm'][0]:.2f} mm {row['method']:16s} Dice {shown(row['dice'])}, "
            f"mean {shown(row['mean_mm'])} mm, p95 {shown(row['p95_mm'])} mm, "
            f"{row['seconds']:.1f} s\n"
        )
    return 0


def trained(dataset: Dataset, learn: list[str], coarser: float, steps: int) -> Models:
    """The first and the second network for one coarseness of the first."""
    folder = CACHE / "coarse_to_fine" / f"{coarser:g}-{steps}"
    cases = [annotated(dataset, case_id) for case_id in learn]
    voxels = int(np.mean([case.target.values.size for case in cases]))
    config = TrainConfig(steps=steps, seed=0)
    with mock.patch("voxloop.plan.planner._WORKING_VOX", round(voxels / coarser**3)):
        coarse = learned(cases, config, folder / "coarse")
    closer = closer_cases(cases, Predictor(coarse), MARGIN_MM)
    return coarse, learned(closer, config, folder / "fine")


METHODS: dict[str, Callable[[Checkpoint, Checkpoint], Segment]] = {
    "upsampled": lambda first, _: Predictor(first, quality="fast", overlap=0.5).segment,
    "led by the scan": lambda first, _: Predictor(first).segment,
    "second network": lambda first, second: (
        TwoStagePredictor(Predictor(first), Predictor(second), MARGIN_MM).segment
    ),
}


def learned(cases: Any, config: TrainConfig, folder: Path) -> Checkpoint:
    """A model of some cases."""
    plan = plan_for(cases, cases[0].target.labels, ("MR",))
    prepared = prepare_cases(cases, plan, folder / "cache")
    tell = Teller(f"{folder.parent.name} {folder.name}")
    return load_checkpoint(train(plan, prepared, config, folder, tell).path)


def annotated(dataset: Dataset, case_id: str) -> AnnotatedCase:
    """A case with the wanted structures labelled everywhere."""
    case, label_map = dataset.case(case_id), reference(dataset, case_id)
    shape = label_map.geometry.shape
    target = merge([Annotation.of_whole(label_map)], shape, label_map.labels)
    return AnnotatedCase(
        case_id, lambda: read_case_channels(case), label_map.geometry, target, case_id
    )


def reference(dataset: Dataset, case_id: str) -> LabelMap:
    """The reference, of the wanted structures only."""
    if dataset.labels is None:
        raise SystemExit("the data set names no labels")
    whole = read_case_label_map(
        dataset.case(case_id), dataset.labels, ignore_value=dataset.ignore_value
    )
    names = {value: name for value, name in dataset.labels.names.items() if name in WANTED}
    kept = np.where(np.isin(whole.array, list(names)), whole.array, BACKGROUND)
    return LabelMap(kept.astype(np.uint8), whole.geometry, LabelTable(names))


def scored(
    dataset: Dataset, test: list[str], models: Callable[[], Models], name: str
) -> dict[str, Any]:
    """Scores of a method, case by case."""
    coarse, fine = models()
    segment = METHODS[name](coarse, fine)
    cases, seconds = [], []
    for case_id in test:
        truth, channels = reference(dataset, case_id), read_case_channels(dataset.case(case_id))
        started = time.monotonic()
        found = segment(channels).label_map
        seconds.append(time.monotonic() - started)
        cases.append({"case": case_id, **case_scores(truth, found)})
    return {
        "spacing_mm": coarse.plan.spacing_mm,
        "fine_mm": fine.plan.spacing_mm,
        "cases": cases,
        "missing": sum(case["missing"] for case in cases),
        "seconds": round(float(np.median(seconds)), 2),
    }


def case_scores(truth: LabelMap, found: LabelMap) -> dict[str, Any]:
    """Means over labels; distances over those that were found at all."""
    dice, distances = [], []
    for value in truth.labels.values:
        one, other = truth.array == value, found.array == value
        dice.append(2 * np.count_nonzero(one & other) / (one.sum() + other.sum()))
        if other.any():
            measured = surface_distances(one, other, truth.geometry)
            distances.append((measured.assd_mm(), measured.hd95_mm()))
    mean_mm, p95_mm = np.mean(distances, axis=0).tolist() if distances else (None, None)
    missing = len(truth.labels.values) - len(distances)
    return {"dice": float(np.mean(dice)), "mean_mm": mean_mm, "p95_mm": p95_mm, "missing": missing}


def summed_up(row: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """Means of a method, and what it gained on upsampling."""
    kept = ("spacing_mm", "fine_mm", "missing", "seconds")
    pairs = [
        (before["mean_mm"], after["mean_mm"])
        for before, after in zip(plain["cases"], row["cases"], strict=True)
    ]
    gains = [before - after for before, after in pairs if None not in {before, after}]
    return {
        **row["key"],
        **{key: row[key] for key in kept},
        **{key: mean_of([case[key] for case in row["cases"]]) for key in SCORES},
        "gain_mm": mean_of(gains),
    }


def mean_of(values: list[float | None]) -> dict[str, Any]:
    """With its interval, if there are cases enough."""
    known = [value for value in values if value is not None]
    found = estimate_mean(known, rng=np.random.default_rng(0))
    value = found.value if np.isfinite(found.value) else None
    return {"value": value, "interval": found.interval, "n": found.cases, "note": found.note}


def shown(found: dict[str, Any]) -> str:
    """A mean, or that there is none."""
    return "none" if found["value"] is None else f"{found['value']:.3f}"


if __name__ == "__main__":
    sys.exit(main())
