"""Which strategy pays, on real scans: campaigns of several strategies and seeds, beside all labels.

    python benchmarks/active/strategies.py screen          # chooses; on cases kept for tuning
    python benchmarks/active/strategies.py confirm         # judges; on cases that chose nothing
    python benchmarks/active/strategies.py fetal
    python benchmarks/active/strategies.py screen --report # what is there so far

Each round leaves a small file under .cache/active, so that a run may be stopped at any moment,
and several may share one suite. The results are one JSON per suite in benchmarks/results/active,
and beside the rounds the page that `voxloop simulate` would write, with the learning curves.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from voxloop.active.trial.campaign import FULL, Campaign, read_campaign
from voxloop.active.trial.comparison import Comparison, compare
from voxloop.active.trial.results import Campaigns, DiceGrid, campaign_rows
from voxloop.active.trial.study import Rules, Study
from voxloop.compute.atomic import write_bytes, write_json
from voxloop.compute.progress import Progress
from voxloop.dataset.layouts import read_dataset
from voxloop.report.campaigns import campaign_sections
from voxloop.report.content import Figure, Report
from voxloop.report.html import write_html
from voxloop.report.tidy import write_rows_csv
from voxloop.workspace.simulation import Cell, claim_folder, open_study, play

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provenance import commit, machine
from splits import split
from without_nan import without_nan

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "active"

CONTROLS = ("random_slices", "foreground_random", "strided")
HIPPOCAMPUS = Rules(budgets=(17, 34, 74, 142, 285), steps=450, first_steps=600, full_steps=1500)
"""0.3, 0.6, 1.3, 2.5 and 5 % of the slices of 160 cases along the scans' own axis; 0.3, 0.5, 1.1,
2.2 and 4.4 % of all there is to look at. Rounds take about a minute on two cores."""

TUNING = Rules(budgets=(13, 26, 56, 107, 214), steps=225, first_steps=450, full_steps=1500)
"""The same shares of the 120 cases that are left beside those for tuning and the held-out ones."""

FETAL = replace(HIPPOCAMPUS, budgets=(16, 31, 62, 155))
"""1, 2, 4 and 10 % of the slices of 10 cases; all else as it was chosen elsewhere."""


@dataclass(frozen=True)
class Suite:
    """One comparison.

    Attributes:
        data: name of the data set's folder.
        strategies: their keys.
        seeds: of each.
        rules: by which they play.
        tuning: score on the cases kept for tuning; the held-out ones are not touched.
        rounds_of: the suite whose rounds it shares; its own where empty.
    """

    data: str
    strategies: tuple[str, ...]
    seeds: tuple[int, ...]
    rules: Rules
    tuning: bool = False
    rounds_of: str = ""


SUITES = {
    "screen": Suite(
        "hippocampus",
        (
            *CONTROLS,
            "entropy",
            "entropy_class",
            "displacement_class",
            "bald_power",
            "badge",
            "suggestive",
            "hybrid",
        ),
        (0, 1),
        TUNING,
        tuning=True,
    ),
    "slices": Suite(
        "hippocampus",
        ("random_slices", "foreground_random", "entropy_class", "hybrid"),
        (0, 1),
        replace(TUNING, regions="slices"),
        tuning=True,
    ),
    # what beginning with the weights of the round before saves: beside `screen`, twice the steps
    # from new weights in each round, and as many
    "anew": Suite(
        "hippocampus",
        ("foreground_random",),
        (0, 1),
        replace(TUNING, steps=450, first_steps=None, warm_start=False),
        tuning=True,
    ),
    "anew_short": Suite(
        "hippocampus",
        ("foreground_random",),
        (0, 1),
        replace(TUNING, warm_start=False),
        tuning=True,
    ),
    "confirm": Suite(
        "hippocampus",
        ("foreground_random", "hybrid", "badge", "random_slices"),
        (0, 1, 2, 3, 4),
        HIPPOCAMPUS,
    ),
    # the one comparison that was named before its seeds were played, but for one of them
    "confirm_pair": Suite(
        "hippocampus",
        ("foreground_random", "hybrid"),
        tuple(range(10)),
        HIPPOCAMPUS,
        rounds_of="confirm",
    ),
    "fetal": Suite(
        "fetal_brain",
        ("foreground_random", "hybrid", "random_slices", "badge"),
        (0, 1, 2, 3, 4),
        FETAL,
    ),
}


def main() -> int:
    """Play what is missing, then compare what is there."""
    arguments = _arguments()
    for name in arguments.suites:
        suite = SUITES[name]
        folder = arguments.work / (suite.rounds_of or name)
        study = study_of(suite, arguments.data, folder)
        campaigns = [
            Campaign(strategy, seed)
            for seed in suite.seeds
            if arguments.seeds is None or seed in arguments.seeds
            for strategy in (*suite.strategies, *([FULL] if seed == 0 else []))
        ]
        if not arguments.report:
            for campaign in campaigns:
                _play(suite, arguments.data, folder, campaign)
        played = _played(suite, study)
        if not suite.rounds_of:  # for forecast_coverage.py
            write_rows_csv(folder / "rows.csv", campaign_rows(played))
        comparison = compare(DiceGrid.of(_paired(suite, played)), np.random.default_rng(0))
        write_json(RESULTS / f"{name}.json", without_nan(_document(suite, study, comparison)))
        _draw(name, study, comparison)
        print(table(json.loads((RESULTS / f"{name}.json").read_text())))
    return 0


def _play(suite: Suite, data: Path, folder: Path, campaign: Campaign) -> None:
    """One campaign, unless it is done or another process is at it."""
    if read_campaign(study_of(suite, data, folder), campaign) is not None:
        return
    play(Cell(str(data / suite.data), str(folder), campaign), _say)


def _say(progress: Progress) -> None:
    if progress.stage == "rounds":
        print(f"{progress.note}: {progress.done:g} of {progress.total:g} rounds", flush=True)


def study_of(suite: Suite, data: Path, folder: Path) -> Study:
    """The study of a suite; its folder is claimed."""
    dataset = read_dataset(data / suite.data)
    pool, test = split(suite.data, dataset.ids).learn_and_score(tuning=suite.tuning)
    claim_folder(folder, dataset, suite.rules, sorted(pool), sorted(test))
    return open_study(data / suite.data, folder)


def _played(suite: Suite, study: Study) -> Campaigns:
    """The campaigns that are finished."""
    return {
        campaign: rounds
        for seed in suite.seeds
        for strategy in (*suite.strategies, FULL)
        for campaign in [Campaign(strategy, seed)]
        if (rounds := read_campaign(study, campaign)) is not None
    }


def _draw(name: str, study: Study, comparison: Comparison) -> None:
    """The page with the learning curves, and these alone, beside the rounds."""
    facts = (
        ("suite", name),
        ("pool and test cases", f"{len(study.pool)} and {len(study.test)}"),
        ("commit", commit()),
    )
    *sections, _starts = campaign_sections(comparison, (), np.random.default_rng(0))
    curves = next(block for block in sections[0].blocks if isinstance(block, Figure))
    write_bytes(study.folder / f"curves-{name}.png", curves.png)
    write_html(
        study.folder / f"report-{name}.html",
        Report("Query strategies compared", facts, (*sections,)),
    )


def _document(suite: Suite, study: Study, comparison: Comparison) -> dict[str, Any]:
    """Everything that was reached, and what it says of the strategies."""
    grid = comparison.grid
    return {
        "suite": asdict(suite),
        "pool_cases": len(study.pool),
        "test_cases": len(study.test),
        "seeds": grid.seeds,
        "share": grid.share,
        "slices": grid.slices,
        "full_dice": grid.full_dice,
        "dice": {
            name: grid.dice[k].mean(axis=-1).round(5).tolist()
            for k, name in enumerate(grid.strategies)
        },
        "standings": [asdict(standing) for standing in comparison.standings],
        "seconds": {
            name: grid.seconds[k].round(1).tolist() for k, name in enumerate(grid.strategies)
        },
        "areas": [asdict(pair) for pair in comparison.areas],
        "times": [asdict(pair) for pair in comparison.times],
        "budgets": [asdict(pair) for pair in comparison.budgets],
        "machine": machine(),
        "commit": commit(),
    }


def _paired(suite: Suite, played: Campaigns) -> Campaigns:
    """The seeds with the most strategies, and of those the strategies that have all these seeds."""
    by_seed = {
        seed: {c.strategy for c in played if c.seed == seed} - {FULL} for seed in suite.seeds
    }
    most = max(len(strategies) for strategies in by_seed.values())
    seeds = {seed for seed, strategies in by_seed.items() if len(strategies) == most}
    common = set.intersection(*(by_seed[seed] for seed in seeds))
    return {
        campaign: rounds
        for campaign, rounds in played.items()
        if campaign.strategy == FULL or (campaign.seed in seeds and campaign.strategy in common)
    }


def table(document: dict[str, Any]) -> str:
    """Mean Dice over seeds at each budget, and the area, in Markdown; best area first."""
    header = [f"{100 * share:.1f} %" for share in document["share"]]
    lines = [f"{len(document['seeds'])} seeds, all labels {document['full_dice'] or 0:.4f}", ""]
    lines.append("| strategy | " + " | ".join(header) + " | area |")
    lines.append("|---" * (len(header) + 2) + "|")
    for standing in sorted(document["standings"], key=lambda s: -s["area"]["value"]):
        curve = np.mean(document["dice"][standing["strategy"]], axis=0)
        points = " | ".join(f"{value:.3f}" for value in curve)
        lines.append(f"| {standing['strategy']} | {points} | {standing['area']['value']:.4f} |")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="+", choices=list(SUITES))
    parser.add_argument("--seeds", type=int, nargs="*", default=None)
    parser.add_argument("--report", action="store_true", help="compare only what is there")
    data = os.environ.get("VOXLOOP_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(data))
    parser.add_argument("--work", type=Path, default=ROOT / ".cache" / "active")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
