"""Simulated campaigns side by side: rows, learning curves, areas, and the page that shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from voxloop.active.experiment import RoundScores
from voxloop.errors import UsageError
from voxloop.metrics.bootstrap import estimate_mean
from voxloop.report.content import Table
from voxloop.report.curves import Curve

__all__ = ["CampaignRow", "area_table", "campaign_rows", "curve_of", "share_table"]

Campaigns = Mapping[tuple[str, int], Sequence[RoundScores]]
"""Strategy and seed to the rounds of that campaign."""


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """One test case and label after one round of one campaign: the tidy form of a study.

    Attributes:
        strategy: key of the strategy.
        seed: of the campaign.
        round: from 0 on.
        slices: annotated slices the round's model learned from.
        share: of the pool's slices.
        case_id: the test case.
        label: the label's name.
        dice: 0 to 1; None where both label maps lack the label.
    """

    strategy: str
    seed: int
    round: int
    slices: int
    share: float
    case_id: str
    label: str
    dice: float | None


def campaign_rows(campaigns: Campaigns) -> list[CampaignRow]:
    """All scores of all campaigns, one row each."""
    return [
        CampaignRow(strategy, seed, r.round, r.slices, r.share, case_id, label, dice)
        for (strategy, seed), rounds in campaigns.items()
        for r in rounds
        for case_id, by_label in r.dice.items()
        for label, dice in by_label.items()
    ]


def curve_of(campaigns: Campaigns, strategy: str, rng: np.random.Generator) -> Curve:
    """The learning curve of a strategy: mean foreground Dice per round, over cases and seeds.

    A case's Dice is averaged over seeds first; the interval resamples cases.

    Raises:
        UsageError: if the strategy has no campaign.
    """
    mine = [rounds for (key, _), rounds in campaigns.items() if key == strategy]
    if not mine:
        raise UsageError(f"no campaign of the strategy {strategy!r}")
    points = []
    for at_once in zip(*mine, strict=True):
        by_case = [
            float(np.mean([_foreground(r, case_id) for r in at_once]))
            for case_id in at_once[0].dice
        ]
        found = estimate_mean(np.array(by_case), rng=rng)
        low, high = found.interval or (np.nan, np.nan)
        points.append((float(np.mean([r.share for r in at_once])), found.value, low, high))
    share, dice, lower, upper = zip(*points, strict=True)
    return Curve(strategy, share, dice, lower, upper)


def area_table(campaigns: Campaigns) -> Table:
    """Per strategy the area under the budget curve and the last Dice, over seeds.

    The area is the mean Dice over the range of annotated shares (trapezium rule); with one
    seed there is no spread, and a difference says nothing about the strategy.
    """
    rows = []
    for strategy in dict.fromkeys(key for key, _ in campaigns):
        mine = [rounds for (key, _), rounds in campaigns.items() if key == strategy]
        areas = [_area(rounds) for rounds in mine]
        finals = [_mean_dice(rounds[-1]) for rounds in mine]
        rows.append((strategy, str(len(mine)), _spread(areas), _spread(finals)))
    caption = (
        "Mean foreground Dice over the budget (area under the curve) and after the last round; "
        "mean, and lowest to highest seed"
    )
    return Table(caption, ("strategy", "seeds", "area", "final Dice"), tuple(rows))


def share_table(curves: Sequence[Curve]) -> Table:
    """Dice of each strategy at each annotated share."""
    shares = curves[0].cost_share
    rows = tuple(
        (f"{100 * share:.2f} %", *(_point(curve, index) for curve in curves))
        for index, share in enumerate(shares)
    )
    caption = "Mean foreground Dice on the test cases [95 % BCa interval over cases]"
    return Table(caption, ("annotated", *(curve.name for curve in curves)), rows)


def _foreground(scores: RoundScores, case_id: str) -> float:
    defined = [dice for dice in scores.dice[case_id].values() if dice is not None]
    return float(np.mean(defined)) if defined else float("nan")


def _mean_dice(scores: RoundScores) -> float:
    return float(np.nanmean([_foreground(scores, case_id) for case_id in scores.dice]))


def _area(rounds: Sequence[RoundScores]) -> float:
    dice = [_mean_dice(r) for r in rounds]
    shares = [r.share for r in rounds]
    if len(rounds) == 1:
        return dice[0]
    return float(np.trapezoid(dice, shares) / (shares[-1] - shares[0]))


def _spread(values: Sequence[float]) -> str:
    mean = f"{np.mean(values):.3f}"
    return f"{mean} ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else mean


def _point(curve: Curve, index: int) -> str:
    if index >= len(curve.dice):
        return "n/a"
    interval = (
        ""
        if np.isnan(curve.lower[index])
        else (f" [{curve.lower[index]:.3f}, {curve.upper[index]:.3f}]")
    )
    return f"{curve.dice[index]:.3f}{interval}"
