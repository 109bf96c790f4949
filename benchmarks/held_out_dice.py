"""Dice on held-out cases after training within a wall-time budget on this machine.

By default: all labels of 160 hippocampus cases, scored on 40 held-out cases. The
last `--test` cases of a fixed shuffle are held out, the first `--train` are learned from, whole or
a few evenly spaced slices of each. Prints one JSON document.

    python benchmarks/held_out_dice.py
    python benchmarks/held_out_dice.py DATA --train 3 --test 5 --slices 8 --minutes 10
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from voxloop.active.pool import slice_axis
from voxloop.compute.memory import peak_rss_bytes
from voxloop.dataset.annotation import Annotation, annotate_region, merge
from voxloop.dataset.case import Case
from voxloop.dataset.layouts import read_dataset
from voxloop.dataset.load import read_case_channels, read_case_label_map
from voxloop.metrics.table import FOREGROUND_MEAN, LabelScore, score_case, summarise, to_rows
from voxloop.model.checkpoint import load_checkpoint
from voxloop.predict.predictor import Predictor
from voxloop.train.config import TrainConfig
from voxloop.train.loop import train
from voxloop.train.prepare import AnnotatedCase, plan_for, prepare_cases
from voxloop.volume.boxes import Box
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap

SPLIT_SEED = 12


def main() -> int:
    """Run the benchmark once."""
    arguments = _arguments()
    dataset = read_dataset(arguments.data)
    if dataset.labels is None:
        raise SystemExit(f"{arguments.data} names no labels")
    labels = dataset.labels
    order = [
        dataset.ids[i] for i in np.random.default_rng(SPLIT_SEED).permutation(len(dataset.ids))
    ]
    test = order[-arguments.test :]
    learn = order[: -arguments.test][: arguments.train]
    cases = [_annotated(dataset.case(case_id), labels, arguments.slices) for case_id in learn]
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_for(cases, labels, dataset.channel_names)
        prepared = prepare_cases(cases, plan, Path(folder) / "cache")
        config = TrainConfig(minutes=arguments.minutes, seed=arguments.seed)
        result = train(plan, prepared, config, Path(folder) / "run")
        predictor = Predictor(load_checkpoint(result.path))
        scores: list[LabelScore] = []
        started = time.monotonic()
        for case_id in test:
            case = dataset.case(case_id)
            prediction = predictor.segment(read_case_channels(case)).label_map
            scores += score_case(case_id, read_case_label_map(case, labels), prediction)
        seconds_per_case = (time.monotonic() - started) / len(test)
    summaries = summarise(scores, rng=np.random.default_rng(0))
    mean = next(s for s in summaries if (s.metric, s.name) == ("dice", FOREGROUND_MEAN))
    document = {
        "what": f"{dataset.name}: {len(learn)} cases, "
        + (f"{arguments.slices} slices of each" if arguments.slices else "all labels")
        + f"; scored on {len(test)} held-out cases",
        "dice": {"mean": mean.mean, "low": mean.low, "high": mean.high, "n": mean.cases},
        "train_minutes": round(result.seconds / 60, 2),
        "steps": result.steps,
        "seed": arguments.seed,
        "seconds_per_case": round(seconds_per_case, 3),
        "peak_gib": round(peak_rss_bytes() / 2**30, 2),
        "summaries": to_rows(summaries),
        "test_cases": test,
        "plan": plan.to_json(),
        "machine": _machine(),
        "commit": _commit(),
    }
    print(json.dumps(document, indent=2))
    return 0


def _annotated(case: Case, labels: LabelTable, slices: int) -> AnnotatedCase:
    reference = read_case_label_map(case, labels)
    shape = reference.geometry.shape
    annotation = _some_slices(reference, slices) if slices else Annotation.of_whole(reference)
    return AnnotatedCase(
        case.id,
        lambda: read_case_channels(case),
        reference.geometry,
        merge([annotation], shape, labels),
        case.id,
    )


def _some_slices(reference: LabelMap, count: int) -> Annotation:
    axis = slice_axis(reference.geometry)
    length = reference.geometry.shape[axis]
    indices = ((np.arange(count) + 0.5) / count * length).astype(int).tolist()
    regions = [Box.slice_at(reference.geometry.shape, axis, index) for index in indices]
    return annotate_region(reference, regions)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    data = os.environ.get("VOXLOOP_DATA", "../shared/data")
    parser.add_argument("data", type=Path, nargs="?", default=Path(data) / "hippocampus")
    parser.add_argument("--train", type=int, default=160)
    parser.add_argument("--test", type=int, default=40)
    parser.add_argument("--slices", type=int, default=0, help="of each case; 0: all")
    parser.add_argument("--minutes", type=float, default=17.0)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _machine() -> dict[str, Any]:
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 - the git of whoever runs this
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
