"""Coarse to fine with trained networks on real scans: surface error by how the detail came back.

    python benchmarks/inference/coarse_to_fine.py --data ../shared/data

Cerebellum and brainstem in fetal brains of 0.8 mm, three cases to learn from, the five cases held
out to score. The network may work on so few voxels only that its grid is about 1.6 or 2.4 mm, as
that of a large CT would be. Compared: its probabilities upsampled, led by the scan's detail, and
drawn anew by a second network in the box of what it found. Dice and mean and 95th percentile of the
surface distance, all labels and cases alike; a case in which a label is missing from the prediction
has no distance and is counted. The result goes to benchmarks/results/coarse_to_fine.json.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from voxloop.compute.atomic import write_json
from voxloop.dataset.annotation import Annotation, merge
from voxloop.dataset.dataset import Dataset
from voxloop.dataset.layouts import read_dataset
from voxloop.dataset.load import read_case_channels, read_case_label_map
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

RESULT = Path(__file__).resolve().parent.parent / "results" / "coarse_to_fine.json"
SPLIT_SEED, HELD_OUT, LEARN = 12, 5, 3
"""As in benchmarks/training."""

WANTED = ("cerebellum", "brainstem")
MARGIN_MM = 10.0
Segment = Callable[[tuple[Volume, ...]], Prediction]


def main() -> int:
    """Train, compare, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = Path(os.environ.get("VOXLOOP_DATA", "../shared/data"))
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--coarser", type=float, nargs="*", default=[2.0, 3.0])
    arguments = parser.parse_args()
    dataset = read_dataset(arguments.data / "fetal_brain")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(dataset.ids))
    shuffled = [dataset.ids[i] for i in order]
    rows = []
    for coarser in arguments.coarser:
        with tempfile.TemporaryDirectory() as folder:
            rows += compare(dataset, shuffled, coarser, arguments.steps, Path(folder))
        write_json(RESULT, {"steps": arguments.steps, "n": HELD_OUT, "rows": rows})
    for row in rows:
        sys.stdout.write(
            f"{row['spacing_mm']:.2f} mm {row['method']:22s} Dice {row['dice']:.3f} "
            f"mean {row['mean_mm']:.3f} mm, p95 {row['p95_mm']:.3f} mm, {row['seconds']:.1f} s\n"
        )
    return 0


def compare(
    dataset: Dataset, shuffled: list[str], coarser: float, steps: int, folder: Path
) -> list[dict[str, Any]]:
    """Rows of the table for one coarseness of the first network."""
    cases = [annotated(dataset, case_id) for case_id in shuffled[:LEARN]]
    voxels = int(np.mean([case.target.values.size for case in cases]))
    config = TrainConfig(steps=steps, seed=0)
    with mock.patch("voxloop.plan.planner._WORKING_VOX", round(voxels / coarser**3)):
        coarse = learned(cases, config, folder / "coarse")
    closer = closer_cases(cases, Predictor(coarse), MARGIN_MM)
    fine = learned(closer, config, folder / "fine")
    sharp = Predictor(coarse)
    methods: dict[str, Segment] = {
        "upsampled": Predictor(coarse, quality="fast", overlap=0.5).segment,
        "led by the scan": sharp.segment,
        "second network": TwoStagePredictor(sharp, Predictor(fine), MARGIN_MM).segment,
    }
    test = shuffled[-HELD_OUT:]
    return [
        {"spacing_mm": coarse.plan.spacing_mm[0], "fine_mm": fine.plan.spacing_mm[0]}
        | scored(dataset, test, name, method)
        for name, method in methods.items()
    ]


def learned(cases: Any, config: TrainConfig, folder: Path) -> Checkpoint:
    """A model of some cases."""
    plan = plan_for(cases, cases[0].target.labels, ("MR",))
    prepared = prepare_cases(cases, plan, folder / "cache")
    return load_checkpoint(train(plan, prepared, config, folder).path)


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


def scored(dataset: Dataset, test: list[str], name: str, segment: Segment) -> dict[str, Any]:
    """Mean scores of a method."""
    scores, distances, seconds, missing = [], [], [], 0
    for case_id in test:
        truth = reference(dataset, case_id)
        started = time.monotonic()
        found = segment(read_case_channels(dataset.case(case_id))).label_map
        seconds.append(time.monotonic() - started)
        for value in truth.labels.values:
            one, other = truth.array == value, found.array == value
            scores.append(2 * np.count_nonzero(one & other) / (one.sum() + other.sum()))
            if not other.any():
                missing += 1
                continue
            measured = surface_distances(one, other, truth.geometry)
            distances.append((measured.assd_mm(), measured.hd95_mm()))
    mean_mm, p95_mm = np.mean(distances, axis=0)
    return {
        "method": name,
        "dice": round(float(np.mean(scores)), 4),
        "mean_mm": round(float(mean_mm), 4),
        "p95_mm": round(float(p95_mm), 4),
        "missing": missing,
        "seconds": round(float(np.median(seconds)), 2),
    }


if __name__ == "__main__":
    sys.exit(main())
