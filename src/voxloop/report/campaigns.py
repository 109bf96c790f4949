"""Simulated campaigns side by side: the page that shows who is ahead, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from voxloop.active.trial.comparison import SIGNIFICANT, Comparison, Pair, Reach
from voxloop.active.trial.results import DiceGrid
from voxloop.metrics.bootstrap import Estimate, estimate_mean
from voxloop.report.content import Block, Figure, Section, Table, Text
from voxloop.report.curves import Curve, learning_curve_png
from voxloop.report.matrix import difference_matrix_png

__all__ = ["campaign_sections", "curves_of", "share_table", "standing_rows"]

_AT_ONCE = 8
"""Curves that can be told apart in one picture."""

_DASH = "\u2013"
_JOINED = "\u00a0"
"""A space at which lines do not break."""


def campaign_sections(
    comparison: Comparison, starts: Sequence[tuple[str, ...]], rng: np.random.Generator
) -> tuple[Section, ...]:
    """Everything a comparison has to tell, in reading order.

    Args:
        comparison: of the strategies.
        starts: seed, slices, cases, and Dice of the first model, as text.
        rng: source of the resamples for the curves' bands.
    """
    grid = comparison.grid
    curves = curves_of(grid, rng)
    return (
        Section("Learning curves", (*_curve_figures(curves, grid), share_table(curves))),
        Section("Standings", _standings(comparison)),
        Section("Who beats whom", _beats(comparison)),
        Section("What it costs to come near all labels", _reaches(comparison)),
        Section("Where all began", (_start_table(starts),)),
    )


def curves_of(grid: DiceGrid, rng: np.random.Generator) -> tuple[Curve, ...]:
    """The learning curve of each strategy: mean foreground Dice per round, over cases and seeds.

    A case's Dice is averaged over seeds first; the interval resamples cases.
    """
    curves = []
    for strategy, dice in zip(grid.strategies, grid.dice, strict=True):
        found = [estimate_mean(by_case, rng=rng) for by_case in dice.mean(axis=0)]
        bounds = [estimate.interval or (math.nan, math.nan) for estimate in found]
        means = tuple(estimate.value for estimate in found)
        lower, upper = zip(*bounds, strict=True)
        curves.append(Curve(_shown(strategy), grid.share, means, lower, upper))
    return tuple(curves)


def share_table(curves: Sequence[Curve]) -> Table:
    """Dice of each strategy at each annotated share."""
    shares = curves[0].cost_share
    rows = tuple(
        (f"{100 * share:.2f} %", *(_point(curve, index) for curve in curves))
        for index, share in enumerate(shares)
    )
    caption = "Mean foreground Dice on the test cases [95 % BCa interval over cases]"
    return Table(caption, ("annotated", *(curve.name for curve in curves)), rows)


def standing_rows(comparison: Comparison) -> tuple[tuple[str, str, str, str, str], ...]:
    """Strategy, seeds, area, last Dice and mean rank by area; the best area first."""
    seeds = str(len(comparison.grid.seeds))
    ranked = sorted(comparison.standings, key=lambda s: -s.area.value)
    return tuple(
        (s.strategy, seeds, *_plain(_estimate(s.area), _estimate(s.final)), f"{s.area_rank:.1f}")
        for s in ranked
    )


def _plain(area: str, final: str) -> tuple[str, str]:
    return area.replace(_JOINED, " "), final.replace(_JOINED, " ")


def _curve_figures(curves: Sequence[Curve], grid: DiceGrid) -> Iterable[Figure]:
    reference = "" if grid.full is None else (
        f" The dashed line is the mean of {_counted(len(grid.full), 'model')} that learned from "
        "all labels."
    )  # fmt: skip
    for start in range(0, len(curves), _AT_ONCE):
        yield Figure(
            learning_curve_png(curves[start : start + _AT_ONCE], full_dice=grid.full_dice),
            alt="Learning curves: mean foreground Dice over the share of annotated slices",
            caption=f"Means over {_counted(len(grid.seeds), 'seed')} and "
            f"{len(grid.case_ids)} test cases; bands: 95 % BCa interval over test cases."
            f"{reference}",
        )


def _standings(comparison: Comparison) -> tuple[Block, ...]:
    grid = comparison.grid
    rows = tuple(
        (
            _shown(s.strategy),
            _estimate(s.area),
            _interval(s.area_cases).strip("[]").replace(",", f"{_JOINED}to"),
            _DASH if s.time_area is None else _estimate(s.time_area),
            _estimate(s.final),
            _DASH if s.full_share is None else f"{100 * s.full_share:.1f} %",
            f"{s.area_rank:.2f}",
            f"{s.final_rank:.2f}",
        )
        for s in sorted(comparison.standings, key=lambda s: -s.area.value)
    )
    header = (
        "strategy", "area", "over cases", "over time", "last Dice", "of all labels", "rank: area",
        "rank: last",
    )  # fmt: skip
    first, last = grid.share[0], grid.share[-1]
    seeds = _counted(len(grid.seeds), "seed")
    caption = (
        f"Area under the budget curve (mean Dice from {_percent(first)} to {_percent(last)} "
        f"of the pool), best first; {seeds} [95 % BCa interval over seeds, from 5 on]; over "
        "cases: interval of the same area over test cases; over time: mean Dice over the seconds "
        "of labelling, by assumed prices, that all have spent; ranks: mean over seeds, 1 is best"
    )
    left_out = (
        (Text(f"Left out, since their Dice is undefined somewhere: {', '.join(grid.undefined)}."),)
        if grid.undefined
        else ()
    )
    return (Table(caption, header, rows), *left_out)


def _beats(comparison: Comparison) -> tuple[Block, ...]:
    grid = comparison.grid
    if len(grid.strategies) < 2:
        return (Text("One strategy alone has nobody to beat."),)
    explanation = Text(
        "The headline is the paired t-test over seeds, of the area, corrected by Holm for the "
        "number of pairs. Each seed repeats the whole experiment with another starting set and "
        "other chances, so it says whether a strategy would be ahead again. The sign-flip test "
        "over seeds assumes no distribution, but with n seeds its p cannot get below 2 / 2^n. The "
        "sign-flip test over test cases asks another question: whether the runs seen would be "
        "ahead on other patients. Trust a difference where they agree."
    )
    few = (
        (Text("With one seed there is no test over seeds: the differences prove nothing."),)
        if len(grid.seeds) == 1
        else ()
    )
    names = [_shown(strategy) for strategy in grid.strategies]
    order = np.argsort([-s.area.value for s in comparison.standings], kind="stable").tolist()
    figure = Figure(
        difference_matrix_png(
            [names[k] for k in order],
            [[_signed(comparison, i, j) for j in order] for i in order],
            SIGNIFICANT,
        ),
        alt="Matrix of differences in area between strategies with their corrected p values",
        caption="Row minus column: difference in area, in hundredths of Dice, and its corrected "
        f"p. Full colour where p < {SIGNIFICANT:g}, else pale.",
    )
    by_area = _pair_table(comparison.areas, "Difference in area")
    by_time = (
        (_pair_table(comparison.times, "Difference in mean Dice over equal time of labelling"),)
        if comparison.times
        else ()
    )
    return (*few, explanation, figure, by_area, *by_time, _win_table(comparison, order))


def _signed(comparison: Comparison, i: int, j: int) -> tuple[float, float]:
    """Difference and corrected p of the strategies i and j; NaN of one with itself."""
    if i == j:
        return math.nan, math.nan
    names = comparison.grid.strategies
    pair = comparison.area_pair(names[i], names[j])
    return (pair.difference if pair.first == names[i] else -pair.difference), pair.p_corrected


def _pair_table(pairs: Sequence[Pair], what: str) -> Table:
    rows = []
    for pair in sorted(pairs, key=lambda pair: -abs(pair.difference)):
        ahead, behind = (pair.first, pair.second)[:: 1 if pair.difference >= 0 else -1]
        rows.append(
            (
                f"{_shown(ahead)} over {_shown(behind)}",
                f"{abs(pair.difference):.4f}",
                *map(_p, (pair.p_corrected, pair.p_seeds, pair.p_flips, pair.p_cases)),
            )
        )
    header = ("pair", "difference", "p, corrected", "p, seeds", "p, flips", "p, cases")
    caption = f"{what}; p: two-sided, by Holm's correction, and the three tests raw"
    return Table(caption, header, tuple(rows))


def _win_table(comparison: Comparison, order: Sequence[int]) -> Table:
    names, wins = comparison.grid.strategies, comparison.wins
    budgets = len(comparison.grid.slices) - 1
    rows = tuple(
        (
            _shown(names[i]),
            *(
                _DASH if i == j else
                _joined(wins[i, j], budgets - wins[i, j] - wins[j, i], wins[j, i])
                for j in order
            ),
        )
        for i in order
    )  # fmt: skip
    caption = (
        f"Wins / ties / losses of the row against the column, over {_counted(budgets, 'budget')}: "
        "paired t-test over seeds, Holm's correction over all pairs and budgets"
    )
    return Table(caption, ("", *(_shown(names[j]) for j in order)), rows)


def _joined(*counts: int) -> str:
    return f"{_JOINED}/{_JOINED}".join(map(str, counts))


def _reaches(comparison: Comparison) -> tuple[Block, ...]:
    grid, first = comparison.grid, comparison.standings[0]
    if not first.reach:
        return (Text("Nothing was learned from all labels: set `full_steps` in the rules."),)
    rows = tuple(
        (_shown(s.strategy), *(_reach(reach, len(grid.seeds)) for reach in s.reach))
        for s in sorted(comparison.standings, key=lambda s: -s.area.value)
    )
    header = ("strategy", *(f"{100 * reach.target:.0f} %" for reach in first.reach))
    caption = (
        f"Where the mean curve first reaches that share of the Dice with all labels "
        f"({grid.full_dice:.3f}), interpolated: share of the pool, slices, time by assumed "
        "prices; then how many seeds reached it"
    )
    return (Table(caption, header, rows),)


def _reach(reach: Reach, seeds: int) -> str:
    count = f"{reach.seeds} of {_counted(seeds, 'seed')}"
    if reach.cost_share is None or reach.slices is None or reach.seconds is None:
        return f"not reached ({count})"
    time = f"{reach.seconds / 60:.0f} min" if reach.seconds >= 90 else f"{reach.seconds:.0f} s"
    return f"{_percent(reach.cost_share)}; {reach.slices:.0f} slices, {time}; {count}"


def _start_table(starts: Sequence[tuple[str, ...]]) -> Table:
    caption = (
        "The starting set of each seed, the same for all strategies, and the Dice of the first "
        "model that learned from it"
    )
    return Table(caption, ("seed", "slices", "cases", "first Dice", "which"), tuple(starts))


def _shown(key: str) -> str:
    return key.replace("_", " ")


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _p(value: float) -> str:
    if math.isnan(value):
        return _DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _estimate(found: Estimate) -> str:
    interval = _interval(found)
    return f"{found.value:.3f}" if interval == _DASH else f"{found.value:.3f}{_JOINED}{interval}"


def _interval(found: Estimate) -> str:
    if found.interval is None:
        return _DASH
    return f"[{found.interval[0]:.3f},{_JOINED}{found.interval[1]:.3f}]"


def _point(curve: Curve, index: int) -> str:
    if index >= len(curve.dice):
        return "n/a"
    interval = (
        ""
        if math.isnan(curve.lower[index])
        else f"{_JOINED}[{curve.lower[index]:.3f},{_JOINED}{curve.upper[index]:.3f}]"
    )
    return f"{curve.dice[index]:.3f}{interval}"
