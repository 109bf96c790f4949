"""What campaigns reached, as tidy rows and as one array for statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.active.trial.campaign import FULL, START, Campaign, RoundScores
from voxloop.errors import UsageError

__all__ = ["CampaignRow", "Campaigns", "DiceGrid", "campaign_rows", "foreground_dice"]

FloatArray = npt.NDArray[np.float64]

Campaigns = Mapping[Campaign, Sequence[RoundScores]]
"""Each campaign that was played to its end, with its rounds."""


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """One test case and label after one round of one campaign: the tidy form of a study.

    Attributes:
        strategy: key of the strategy; `full` for the model that learned from all labels.
        seed: of the campaign.
        round: from 0 on.
        slices: annotated regions the round's model learned from.
        share: of the pool's regions.
        voxels: that were looked at.
        seconds: that labelling takes by assumed prices.
        steps: of the round's training.
        case_id: the test case.
        label: the label's name.
        dice: 0 to 1; None where both label maps lack the label.
        surface_dice: at 1 mm, 0 to 1; None where both label maps lack the label.
    """

    strategy: str
    seed: int
    round: int
    slices: int
    share: float
    voxels: int
    seconds: float
    steps: int
    case_id: str
    label: str
    dice: float | None
    surface_dice: float | None


def campaign_rows(campaigns: Campaigns) -> list[CampaignRow]:
    """All scores of all campaigns, one row each; by strategy, seed, round, case and label."""
    return [
        CampaignRow(
            campaign.key, campaign.seed, r.round, r.slices, r.share, r.voxels, r.seconds, r.steps,
            case_id, label, dice, r.surface_dice[case_id][label],
        )
        for campaign in sorted(campaigns)
        if campaign.strategy != START
        for r in campaigns[campaign]
        for case_id, by_label in r.dice.items()
        for label, dice in by_label.items()
    ]  # fmt: skip


def foreground_dice(scores: RoundScores, case_id: str) -> float:
    """Mean Dice over a case's labels; NaN where all are undefined."""
    defined = [dice for dice in scores.dice[case_id].values() if dice is not None]
    return float(np.mean(defined)) if defined else float("nan")


@dataclass(frozen=True, eq=False)
class DiceGrid:
    """Mean foreground Dice of strategies that all played the same seeds and rounds.

    Attributes:
        strategies: (K,), in the order in which they were named.
        seeds: (S,), ascending.
        case_ids: (C,), test cases with a defined Dice everywhere.
        slices: (B,), annotated regions after each round.
        share: (B,), of the pool's regions.
        seconds: (K, S, B), that labelling takes by assumed prices.
        dice: (K, S, B, C).
        full: (S', C), of models that learned from all labels, over their own seeds; None
            without any.
        undefined: test cases left out, because their Dice is undefined somewhere.
    """

    strategies: tuple[str, ...]
    seeds: tuple[int, ...]
    case_ids: tuple[str, ...]
    slices: tuple[int, ...]
    share: tuple[float, ...]
    seconds: FloatArray
    dice: FloatArray
    full: FloatArray | None
    undefined: tuple[str, ...] = ()

    @classmethod
    def of(cls, campaigns: Campaigns) -> DiceGrid:
        """Take the seeds that every strategy has played.

        Raises:
            UsageError: if there is no strategy, or no seed that all of them have played.
        """
        played = [c for c in campaigns if c.strategy not in {START, FULL}]
        strategies = tuple(dict.fromkeys(c.strategy for c in played))
        common = [{c.seed for c in played if c.strategy == name} for name in strategies]
        seeds = tuple(sorted(set.intersection(*common))) if common else ()
        if not seeds:
            raise UsageError("no seed was played by all strategies yet")
        grid = [[campaigns[Campaign(name, seed)] for seed in seeds] for name in strategies]
        case_ids = tuple(grid[0][0][0].dice)
        dice = np.array(
            [[[[foreground_dice(r, case) for case in case_ids] for r in rounds]
              for rounds in row] for row in grid]
        )  # fmt: skip
        full = [
            [foreground_dice(campaigns[c][0], case) for case in case_ids]
            for c in sorted(campaigns)
            if c.strategy == FULL
        ]
        everything = np.concatenate([dice.reshape(-1, len(case_ids)), *map(np.atleast_2d, full)])
        defined = ~np.isnan(everything).any(axis=0)
        first = grid[0][0]
        return cls(
            strategies=tuple(Campaign(name, 0).key for name in strategies),
            seeds=seeds,
            case_ids=tuple(np.array(case_ids)[defined].tolist()),
            slices=tuple(r.slices for r in first),
            share=tuple(r.share for r in first),
            seconds=np.array([[[r.seconds for r in rounds] for rounds in row] for row in grid]),
            dice=dice[..., defined],
            full=np.array(full)[:, defined] if full else None,
            undefined=tuple(np.array(case_ids)[~defined].tolist()),
        )

    @property
    def full_dice(self) -> float | None:
        """Mean Dice with all labels, over seeds and cases."""
        return None if self.full is None else float(self.full.mean())
