"""Which strategy is better, by how much, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from voxloop.active.trial.results import DiceGrid
from voxloop.metrics.bootstrap import Estimate, estimate_mean
from voxloop.metrics.budget_curve import area_between, area_under_budget, budget_to_reach
from voxloop.metrics.paired import holm, paired_t, sign_flip
from voxloop.metrics.ranks import mean_ranks, significant_wins

__all__ = ["SIGNIFICANT", "TARGETS", "Comparison", "Pair", "Reach", "Standing", "compare"]

FloatArray = npt.NDArray[np.float64]

SIGNIFICANT = 0.05
"""Corrected p values below it are called significant."""

TARGETS = (0.90, 0.95, 0.97, 0.99)
"""Shares of the Dice with all labels whose cost is told."""


@dataclass(frozen=True)
class Reach:
    """What it costs a strategy to reach a share of the Dice with all labels.

    Attributes:
        target: the share.
        cost_share: of the pool's regions, on the mean curve over seeds and cases; None where it
            was not reached.
        slices: the same in regions.
        seconds: the same in seconds by assumed prices.
        seeds: how many seeds reached it by themselves.
    """

    target: float
    cost_share: float | None
    slices: float | None
    seconds: float | None
    seeds: int


@dataclass(frozen=True)
class Standing:
    """How one strategy did.

    Attributes:
        strategy: its key.
        area: under the budget curve: mean Dice over the range of budgets; resampled over seeds.
        area_cases: the same area, resampled over test cases.
        time_area: mean Dice over the seconds of labelling that all strategies of a seed have spent,
            by assumed prices; resampled over seeds; None where they have none in common.
        final: Dice after the last round; resampled over seeds.
        full_share: of the Dice with all labels, after the last round; None without that.
        area_rank: mean over seeds of its rank by area, 1 for the best.
        final_rank: the same by the last Dice.
        reach: what the `TARGETS` cost; empty where the Dice with all labels is not known.
    """

    strategy: str
    area: Estimate
    area_cases: Estimate
    time_area: Estimate | None
    final: Estimate
    full_share: float | None
    area_rank: float
    final_rank: float
    reach: tuple[Reach, ...]


@dataclass(frozen=True)
class Pair:
    """Two strategies in one number each: an area, or the Dice at one budget.

    Attributes:
        first: key of a strategy.
        second: key of another.
        slices: the budget; None for an area.
        difference: first minus second, over seeds and cases.
        p_seeds: paired t-test over seeds, of means over cases; NaN with one seed.
        p_flips: sign-flip permutation test over the same; cannot get below 2 / 2^seeds.
        p_cases: sign-flip permutation test over test cases, of means over seeds.
        p_corrected: `p_seeds` after Holm's correction over all pairs of its family.
    """

    first: str
    second: str
    slices: int | None
    difference: float
    p_seeds: float
    p_flips: float
    p_cases: float
    p_corrected: float

    @property
    def is_significant(self) -> bool:
        """True if chance is an unlikely explanation of the difference between seeds."""
        return self.p_corrected < SIGNIFICANT


@dataclass(frozen=True, eq=False)
class Comparison:
    """All strategies beside one another.

    The unit of the headline test is the seed. A seed draws a starting set, the chances of the
    choices and of the training anew: it is a repetition of the experiment, and with it the claim
    is that a strategy would be ahead again. The test cases are the same in all repetitions;
    resampling them asks something else, whether it would be ahead on other patients, and treats
    one run's luck as if it were the strategy's. So it stands beside, and a difference is beyond
    doubt where both say so.

    Attributes:
        grid: what it rests on.
        standings: one per strategy.
        areas: one pair for each two strategies; one family of tests.
        times: the same for the area over equal seconds of labelling: a strategy that asks for
            slices full of outlines pays for them here. Another family; empty without such areas.
        budgets: the same at every budget after the starting set; another family.
        wins: (K, K), at how many budgets the one is significantly above the other.
    """

    grid: DiceGrid
    standings: tuple[Standing, ...]
    areas: tuple[Pair, ...]
    times: tuple[Pair, ...]
    budgets: tuple[Pair, ...]
    wins: npt.NDArray[np.int64]

    def area_pair(self, first: str, second: str) -> Pair:
        """The pair of two strategies by area, in either order of their names."""
        return next(pair for pair in self.areas if {pair.first, pair.second} == {first, second})


def compare(grid: DiceGrid, rng: np.random.Generator) -> Comparison:
    """Compare strategies that played the same seeds.

    Args:
        grid: Dice of all.
        rng: source of bootstrap resamples and of sign patterns.
    """
    areas = area_under_budget(grid.share, np.moveaxis(grid.dice, 2, -1))  # (K, S, C)
    times = _areas_by_time(grid)
    later = grid.dice[:, :, 1:]
    by_budget = [
        (slices, later[:, :, index])
        for index, slices in enumerate(grid.slices[1:])
    ]  # fmt: skip
    return Comparison(
        grid=grid,
        standings=_standings(grid, areas, times, rng),
        areas=_pairs(grid.strategies, [(None, areas)], rng),
        times=() if times is None else _pairs(grid.strategies, [(None, times)], rng),
        budgets=_pairs(grid.strategies, by_budget, rng),
        wins=significant_wins(later.mean(axis=-1), SIGNIFICANT),
    )


def _areas_by_time(grid: DiceGrid) -> FloatArray | None:
    """(K, S, C), each seed over the seconds that all of its strategies have spent."""
    low, high = grid.seconds[..., 0].max(axis=0), grid.seconds[..., -1].min(axis=0)
    if not (low < high).all():
        return None
    curves = np.moveaxis(grid.dice, 2, -1)  # (K, S, C, B)
    return np.array(
        [
            [
                area_between(grid.seconds[k, s], curves[k, s], low[s], high[s])
                for s in range(len(grid.seeds))
            ]
            for k in range(len(grid.strategies))
        ]
    )


def _standings(
    grid: DiceGrid, areas: FloatArray, times: FloatArray | None, rng: np.random.Generator
) -> tuple[Standing, ...]:
    finals = grid.dice[:, :, -1].mean(axis=-1)
    area_ranks, final_ranks = mean_ranks(areas.mean(axis=-1)), mean_ranks(finals)
    full = grid.full_dice
    return tuple(
        Standing(
            strategy=strategy,
            area=estimate_mean(areas[k].mean(axis=-1), rng=rng),
            area_cases=estimate_mean(areas[k].mean(axis=0), rng=rng),
            time_area=None if times is None else estimate_mean(times[k].mean(axis=-1), rng=rng),
            final=estimate_mean(finals[k], rng=rng),
            full_share=None if not full else float(finals[k].mean() / full),
            area_rank=float(area_ranks[k]),
            final_rank=float(final_ranks[k]),
            reach=() if full is None else tuple(_reach(grid, k, t, full) for t in TARGETS),
        )
        for k, strategy in enumerate(grid.strategies)
    )


def _reach(grid: DiceGrid, k: int, target: float, full: float) -> Reach:
    by_seed = grid.dice[k].mean(axis=-1)
    mean, wanted = by_seed.mean(axis=0), target * full
    return Reach(
        target=target,
        cost_share=budget_to_reach(grid.share, mean, wanted),
        slices=budget_to_reach(grid.slices, mean, wanted),
        seconds=budget_to_reach(grid.seconds[k].mean(axis=0), mean, wanted),
        seeds=int(np.count_nonzero(by_seed.max(axis=-1) >= wanted)),
    )


def _pairs(
    strategies: tuple[str, ...],
    measures: Sequence[tuple[int | None, FloatArray]],
    rng: np.random.Generator,
) -> tuple[Pair, ...]:
    """Every two strategies by every measure (K, S, C), corrected together."""
    found = []
    for slices, values in measures:
        for i, j in combinations(range(len(strategies)), 2):
            between = values[i] - values[j]
            by_seed, by_case = between.mean(axis=1), between.mean(axis=0)
            flips, cases = sign_flip(by_seed, rng=rng), sign_flip(by_case, rng=rng)
            p_values = paired_t(by_seed), flips, cases
            found.append(((strategies[i], strategies[j], slices, float(between.mean())), p_values))
    corrected = holm([p_values[0] for _, p_values in found]).tolist() if found else []
    return tuple(
        Pair(*named, *p_values, p_corrected=p)
        for (named, p_values), p in zip(found, corrected, strict=True)
    )
