"""Dice with all labels of 160 hippocampus cases on 40 cases that nothing was chosen on.

Reads the 200 cases in nnU-Net v2 layout, trains the recipe once within a wall-time budget on this
machine, and scores the 40 held-out cases. Prints JSON; `--out` keeps it as a file.

    python benchmarks/hippocampus_full.py DATA --minutes 18 --out benchmarks/results/NAME.json
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

from voxloop.compute.memory import peak_rss_bytes
from voxloop.dataset.annotation import Annotation, merge
from voxloop.dataset.layouts import read_dataset
from voxloop.dataset.load import read_case_channels, read_case_label_map
from voxloop.metrics.table import FOREGROUND_MEAN, LabelScore, score_case, summarise, to_rows
from voxloop.model.checkpoint import load_checkpoint
from voxloop.predict.predictor import Predictor
from voxloop.train.config import TrainConfig
from voxloop.train.loop import train
from voxloop.train.prepare import AnnotatedCase, plan_for, prepare_cases

SPLIT_SEED = 12
TEST_CASES = 40


def main() -> int:
    """Run the benchmark once."""
    arguments = _arguments()
    dataset = read_dataset(arguments.data)
    if dataset.labels is None:
        return 2
    labels = dataset.labels
    order = np.random.default_rng(SPLIT_SEED).permutation(len(dataset.ids))
    ids = [dataset.ids[i] for i in order]
    test, learn = ids[-TEST_CASES:], ids[:-TEST_CASES]
    cases = []
    for case_id in learn:
        case = dataset.case(case_id)
        reference = read_case_label_map(case, labels)
        grid = reference.geometry
        target = merge([Annotation.of_whole(reference)], grid.shape, labels)
        cases.append(
            AnnotatedCase(case_id, lambda c=case: read_case_channels(c), grid, target, case_id)  # type: ignore[misc]
        )
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_for(cases, labels, dataset.channel_names)
        prepared = prepare_cases(cases, plan, Path(folder) / "cache")
        started = time.monotonic()
        config = TrainConfig(minutes=arguments.minutes, seed=arguments.seed)
        result = train(plan, prepared, config, Path(folder) / "run")
        minutes = (time.monotonic() - started) / 60
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
        "what": "hippocampus, all labels of 160 cases, 40 cases never used for any choice",
        "dice": {"mean": mean.mean, "low": mean.low, "high": mean.high, "n": mean.cases},
        "train_minutes": round(minutes, 2),
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
    text = json.dumps(document, indent=2)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text + "\n")
    print(text)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    data = os.environ.get("VOXLOOP_DATA", "../shared/data")
    parser.add_argument("data", type=Path, nargs="?", default=Path(data) / "hippocampus")
    parser.add_argument("--minutes", type=float, default=18.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
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
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return found.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
