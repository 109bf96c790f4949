"""How often the forecast's interval holds the Dice that is reached in the end.

Run `python benchmarks/active/forecast_coverage.py RESULTS...` with folders that
`voxloop simulate --out` wrote: each campaign's last Dice is forecast from the first half of its
budget (a quarter and three quarters as well), and compared with what was reached. Without a
folder the curves are made up: power laws, exponentials, and late risers, which no power law
fits, with the scatter of a real training. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.active.advice.forecast import (
    LEVEL,
    MIN_ROUNDS,
    LearningCurve,
    Measured,
    measured_rounds,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provenance import provenance

FloatArray = npt.NDArray[np.float64]

SHARES = (0.25, 0.5, 0.75)
"""Of the final budget: how much of it is spent when the forecast is made."""


@dataclass(frozen=True)
class Campaign:
    """The measured rounds of one run.

    Attributes:
        family: the strategy, or the kind of curve.
        rounds: by budget.
    """

    family: str
    rounds: tuple[Measured, ...]


@dataclass(frozen=True)
class Outcome:
    """One forecast beside what came.

    Attributes:
        family: as the campaign's.
        rounds: the forecast rests on.
        covered: the interval holds what came.
        width: of the interval.
        error: forecast minus truth.
        last_error: what came minus the last score known: a forecast of "no change".
    """

    family: str
    rounds: int
    covered: bool
    width: float
    error: float
    last_error: float


def main() -> None:
    """Forecast every campaign and print how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="*", type=Path, help="folders with a rows.csv")
    parser.add_argument("--curves", type=int, default=600, help="how many to make up")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.results:
        campaigns = [c for folder in options.results for c in read_campaigns(folder / "rows.csv")]
    else:
        rng = np.random.default_rng(options.seed)
        campaigns = [made_up(rng) for _ in range(options.curves)]
    print(
        json.dumps(
            {
                **provenance(__file__),
                "benchmark": "coverage of the learning curve's forecast of the last Dice",
                "curves": "measured" if options.results else "made up",
                "campaigns": len(campaigns),
                "nominal": LEVEL,
                "fewest_rounds": MIN_ROUNDS,
                "at_share_of_budget": {str(share): report(campaigns, share) for share in SHARES},
            },
            indent=2,
        )
    )


def read_campaigns(table: Path) -> list[Campaign]:
    """The campaigns of a `rows.csv`: per strategy and seed, the mean Dice of each test case."""
    found: dict[tuple[str, str], dict[float, dict[str, list[float]]]] = defaultdict(dict)
    with table.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            spent = float(row.get("voxels") or row["slices"])  # boxes are no whole slices
            by_case = found[row["strategy"], row["seed"]].setdefault(spent, {})
            if row["dice"]:
                by_case.setdefault(row["case_id"], []).append(float(row["dice"]))
    return [
        Campaign(
            strategy,
            measured_rounds(
                sorted(rounds),
                [{c: math.fsum(d) / len(d) for c, d in rounds[b].items()} for b in sorted(rounds)],
            ),
        )
        for (strategy, _), rounds in found.items()
    ]


def report(campaigns: Iterable[Campaign], share: float) -> dict[str, Any]:
    """Coverage, width and error of all forecasts made at one share of the budget."""
    tried = [forecast_last(campaign, share) for campaign in campaigns]
    outcomes = [outcome for outcome in tried if outcome is not None]
    families = sorted({outcome.family for outcome in outcomes})
    return {
        "too_few_rounds": len(tried) - len(outcomes),
        "all": summary(outcomes),
        **{name: summary([o for o in outcomes if o.family == name]) for name in families},
    }


def forecast_last(campaign: Campaign, share: float) -> Outcome | None:
    """Forecast the last round from those within a share of its budget; None where too few."""
    last = campaign.rounds[-1]
    known = [r for r in campaign.rounds[:-1] if r.budget <= share * last.budget]
    curve = LearningCurve.through(known)
    if curve is None:
        return None
    found = curve.at(last.budget)
    return Outcome(
        family=campaign.family,
        rounds=curve.rounds,
        covered=found.low <= last.score <= found.high,
        width=found.high - found.low,
        error=found.value - last.score,
        last_error=known[-1].score - last.score,
    )


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The figures of a set of forecasts."""
    if not outcomes:
        return {"n": 0}
    covered = np.array([o.covered for o in outcomes])
    errors = np.array([o.error for o in outcomes])
    still = np.array([o.last_error for o in outcomes])
    return {
        "n": len(outcomes),
        "rounds": [min(o.rounds for o in outcomes), max(o.rounds for o in outcomes)],
        "coverage": round(float(covered.mean()), 3),
        "median_width": round(float(np.median([o.width for o in outcomes])), 4),
        "mean_error": round(float(errors.mean()), 4),
        "mean_absolute_error": round(float(np.abs(errors).mean()), 4),
        "mean_absolute_error_of_no_change": round(float(np.abs(still).mean()), 4),
    }


def made_up(rng: np.random.Generator) -> Campaign:
    """A campaign as simulations have them: shape, plateau, start, rounds and scatter drawn."""
    rounds = int(rng.integers(6, 17))
    if rng.random() < 0.5:
        budgets = np.arange(1.0, rounds + 1) * float(rng.integers(8, 33))
    else:
        budgets = np.geomspace(8, 8 * float(rng.uniform(1.3, 2)) ** (rounds - 1), rounds)
    family = str(rng.choice(["power law", "exponential", "late riser", "flat", "two stages"]))
    score = shape(family, budgets, rng)
    scatter = float(rng.choice([0.002, 0.005, 0.01, 0.02]))
    # a young model depends more on the chance of its training than an old one
    noise = scatter * rng.standard_normal(rounds) * (1 + 2 * (score[-1] - score).clip(0) / 0.3)
    return Campaign(
        family,
        tuple(
            Measured(float(b), float(s))
            for b, s in zip(budgets, np.clip(score + noise, 0, 1), strict=True)
        ),
    )


def shape(family: str, budgets: FloatArray, rng: np.random.Generator) -> FloatArray:
    """The curve without scatter."""
    plateau, start = float(rng.uniform(0.6, 0.97)), float(rng.uniform(0.25, 0.6))
    growth = budgets / budgets[0]
    if family == "flat":
        return np.full(budgets.shape, plateau)
    if family == "power law":
        return np.asarray(plateau - (plateau - start) * growth ** -float(rng.uniform(0.3, 1.5)))
    if family == "exponential":
        rate = float(rng.uniform(0.15, 1.2))
        return np.asarray(plateau - (plateau - start) * np.exp(-rate * (growth - 1)))
    if family == "late riser":
        middle, steep = float(rng.uniform(0.5, 1.5)), float(rng.uniform(1.5, 4))
        return np.asarray(plateau / (1 + np.exp(-steep * (np.log(growth) - middle))))
    early = float(rng.uniform(0.3, 1.5))
    late = 0.05 * rng.random() * np.log2(growth) / 4
    score = plateau - 0.05 - (plateau - start) * growth**-early + late
    return np.asarray(np.clip(score, 0, 0.99))


if __name__ == "__main__":
    main()
