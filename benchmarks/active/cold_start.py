"""What the first slices bring: one round after a starting set that was chosen without any label.

    python benchmarks/active/cold_start.py --seeds 10

Hippocampus, ten slices of a pool of 120 cases, scored on the 40 cases kept for tuning first and,
with --held-out, on the 40 that chose nothing. Strategies without chance choose once; they are
trained with a few seeds, so that the spread of training is known apart from that of the choice.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from strategies import HIPPOCAMPUS, RESULTS, ROOT, Suite, study_of

from voxloop.active.trial.campaign import START, Campaign, run_campaign
from voxloop.active.trial.results import foreground_dice
from voxloop.compute.atomic import write_json
from voxloop.metrics.bootstrap import estimate_mean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provenance import provenance

DRAWN = ("random_slices", "seed")
FIXED = ("typical", "coverage", "strided")
"""Strategies that draw, and those that choose the same whatever the seed."""

SLICES = 10


def main() -> int:
    """Play what is missing and print a table."""
    arguments = _arguments()
    found: dict[str, dict[str, object]] = {}
    for start in (*DRAWN, *FIXED):
        rules = replace(HIPPOCAMPUS, budgets=(SLICES,), start=start, first_steps=None, steps=300)
        suite = Suite("hippocampus", (), (), rules, tuning=not arguments.held_out)
        place = arguments.work / f"cold-{start}{'-held-out' if arguments.held_out else ''}"
        study = study_of(suite, arguments.data, place)
        means = []
        for seed in range(arguments.seeds if start in DRAWN else arguments.fixed_seeds):
            (scores,) = run_campaign(study, Campaign(START, seed))
            means.append(float(np.nanmean([foreground_dice(scores, c) for c in scores.dice])))
            print(f"{start}, seed {seed}: Dice {means[-1]:.4f}", flush=True)
        mean = estimate_mean(means, rng=np.random.default_rng(0))
        spread = float(np.std(means, ddof=1)) if len(means) > 1 else None
        found[start] = {"dice": means, "mean": mean.value, "interval": mean.interval}
        found[start]["spread"] = spread
    name = "cold_start" if arguments.held_out else "cold_start_tuning"
    write_json(
        RESULTS / f"{name}.json", {**provenance(__file__), "slices": SLICES, "starts": found}
    )
    print(json.dumps(found, indent=1))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--fixed-seeds", type=int, default=4, help="of strategies without chance")
    parser.add_argument("--held-out", action="store_true")
    data = os.environ.get("VOXLOOP_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(data))
    parser.add_argument("--work", type=Path, default=ROOT / ".cache" / "active")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
