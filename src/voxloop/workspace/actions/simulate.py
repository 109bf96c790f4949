"""Compare query strategies on a labelled data set with a simulated annotator."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from voxloop import __version__
from voxloop.active.trial.campaign import (
    FULL,
    START,
    Campaign,
    RoundScores,
    read_campaign,
    starting_set,
)
from voxloop.active.trial.comparison import Comparison, compare
from voxloop.active.trial.results import DiceGrid, campaign_rows, foreground_dice
from voxloop.active.trial.study import Rules, Study
from voxloop.compute.executor import Executor, InProcess
from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.dataset.check import check_dataset
from voxloop.dataset.layouts import read_dataset
from voxloop.errors import MissingExtraError, UsageError
from voxloop.report.campaigns import campaign_sections, standing_rows
from voxloop.report.content import Report
from voxloop.report.html import write_html
from voxloop.report.tidy import write_rows_csv, write_rows_parquet
from voxloop.workspace.simulation import (
    Cell,
    Simulation,
    claim_folder,
    open_study,
    play,
    require_labels,
    split_cases,
)

__all__ = ["SimulateResult", "simulate"]

_NAMED = 12
"""Cases of a starting set that a report names."""

_LOOK_EVERY_S = 1.0
"""How often is looked whether the campaigns of other processes are finished."""


@dataclass(frozen=True, eq=False)
class SimulateResult:
    """What the campaigns reached.

    Attributes:
        campaigns: those that were played to their end, by whomever, with their rounds.
        comparison: of the strategies; None as long as a campaign is missing.
        missing: campaigns that are not finished.
        pool_cases: number of cases that could be asked for.
        test_cases: number of cases scored.
        wrote: report and tables.
        warnings: what was left out, and why.
    """

    campaigns: dict[Campaign, tuple[RoundScores, ...]]
    comparison: Comparison | None
    missing: tuple[Campaign, ...]
    pool_cases: int
    test_cases: int
    wrote: tuple[Path, ...]
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The result as a document; a number that does not exist is null."""
        found = self.comparison
        document: dict[str, Any] = {
            "pool_cases": self.pool_cases,
            "test_cases": self.test_cases,
            "missing": [str(campaign) for campaign in self.missing],
        }
        if found is not None:
            document |= {
                "full_dice": found.grid.full_dice,
                "strategies": [asdict(standing) for standing in found.standings],
                "areas": [asdict(pair) for pair in found.areas],
                "times": [asdict(pair) for pair in found.times],
                "budgets": [asdict(pair) for pair in found.budgets],
                "wins": found.wins.tolist(),
            }
        return {key: _without_nan(value) for key, value in document.items()}

    @property
    def standings(self) -> tuple[tuple[str, str, str, str, str], ...]:
        """Strategy, seeds, area, last Dice and rank, the best first; as text."""
        return () if self.comparison is None else standing_rows(self.comparison)


def simulate(
    source: Path,
    simulation: Simulation,
    out: Path,
    progress: ProgressSink = silent,
    *,
    executor: Executor | None = None,
    only: Sequence[Campaign] = (),
) -> SimulateResult:
    """Play every strategy with every seed, and compare them at equal cost.

    All strategies of a seed start from the same slices and the same model. Finished rounds are
    kept in `out`, so that an interrupted simulation continues. Several processes, also of
    several machines on one shared folder (if it can lock files, as NFS 4 does), may simulate
    into the same `out`: each campaign is played by one of them, and each of them ends with the
    whole table.

    Args:
        source: a data-set folder with labels for every case.
        simulation: what to compare.
        out: folder for the results; created if need be.
        progress: told about rounds and what happens within.
        executor: where campaigns run; in this process where None.
        only: campaigns to play, of those of the simulation; all where empty. Nothing is
            compared then unless all others are finished, too.

    Raises:
        DataError: listing all problems of the data set.
        UsageError: if `out` holds a simulation of something else, or one of `only` is none of
            the simulation's.
        InterruptedJobError: if a worker died.
    """
    unknown = sorted(set(only) - set(simulation.campaigns))
    if unknown:
        raise UsageError(f"not a part of this simulation: {'; '.join(map(str, unknown))}")
    dataset = read_dataset(source)
    require_labels(dataset)
    check_dataset(dataset, progress)
    claim_folder(out, dataset, simulation.rules, *split_cases(dataset, simulation.test_share))
    study = open_study(source, out)
    wanted = tuple(only) or simulation.campaigns
    for batch in _in_turn(wanted):
        _play_all(study, [Cell(str(source), str(out), campaign) for campaign in batch],
                  executor or InProcess(), progress)  # fmt: skip
    found = {campaign: read_campaign(study, campaign) for campaign in simulation.campaigns}
    played = {campaign: rounds for campaign, rounds in found.items() if rounds is not None}
    missing = tuple(campaign for campaign in found if campaign not in played)
    if missing:
        return SimulateResult(played, None, missing, len(study.pool), len(study.test), (out,))
    comparison = compare(DiceGrid.of(played), np.random.default_rng(0))
    wrote, warnings = _write(study, played, comparison)
    return SimulateResult(played, comparison, (), len(study.pool), len(study.test), wrote, warnings)


def _in_turn(campaigns: Sequence[Campaign]) -> Iterator[list[Campaign]]:
    """What others build upon first, so that no worker waits for another one's beginning."""
    shared = [campaign for campaign in campaigns if campaign.strategy in {START, FULL}]
    yield shared
    yield [campaign for campaign in campaigns if campaign not in shared]


def _play_all(
    study: Study, cells: Sequence[Cell], executor: Executor, progress: ProgressSink
) -> None:
    """Play cells until all are finished, here or by whoever else works on the folder."""

    def report(cell: Cell, said: Progress) -> None:
        if isinstance(executor, InProcess):
            progress(said)
        elif said.stage == "rounds":
            progress(replace(said, stage=str(cell), note=""))

    left = list(cells)
    while left := [cell for cell in left if read_campaign(study, cell.campaign) is None]:
        if not any(executor.map(play, left, report)):
            names = "; ".join(map(str, left))
            progress(Progress("other processes", 0, len(left), f"at work on {names}"))
            time.sleep(_LOOK_EVERY_S)


def _write(
    study: Study, campaigns: Mapping[Campaign, Sequence[RoundScores]], comparison: Comparison
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Write report and tables; give their places, and what was left out."""
    out, rules, rows = study.folder, study.rules, campaign_rows(campaigns)
    page, table, columns = out / "report.html", out / "rows.csv", out / "rows.parquet"
    write_rows_csv(table, rows)
    wrote, warnings = [page, table], []
    starts = list(_starts(study, campaigns))
    try:
        write_rows_parquet(columns, rows)
        wrote.append(columns)
    except MissingExtraError as error:
        warnings.append(f"the table was written as CSV only: {error}")
    report = Report(
        title="Comparison of query strategies",
        provenance=(
            ("Voxloop", __version__),
            ("pool and test cases", f"{len(study.pool)} and {len(study.test)}"),
            ("seeds", ", ".join(map(str, comparison.grid.seeds))),
            (f"{rules.regions} after each round, begun by {rules.start}",
             ", ".join(map(str, rules.budgets))),
            ("training", _training(rules)),
            ("annotator", _annotator(rules)),
        ),
        sections=campaign_sections(comparison, starts, np.random.default_rng(0)),
    )  # fmt: skip
    write_html(page, report)
    return tuple(wrote), tuple(warnings)


def _training(rules: Rules) -> str:
    each = f"{rules.minutes:g} minutes" if rules.steps is None else f"{rules.steps} steps"
    first = "" if rules.first_steps is None else f", {rules.first_steps} for the first model"
    full = "" if rules.full_steps is None else f", {rules.full_steps} with all labels"
    begins = "the weights of the round before" if rules.warm_start else "new weights"
    return f"{each} per round{first}{full}; each round begins with {begins}"


def _annotator(rules: Rules) -> str:
    if rules.error(0).none:
        return "simulated, without mistakes"
    return (
        f"simulated; outlines stray by {rules.jitter_mm:g} mm, "
        f"{rules.missed:.0%} of labels are overlooked"
    )


def _starts(
    study: Study, campaigns: Mapping[Campaign, Sequence[RoundScores]]
) -> Iterator[tuple[str, ...]]:
    """Seed, number of slices and cases, first Dice, and the slices of each starting set."""
    for campaign, rounds in campaigns.items():
        if campaign.strategy != START:
            continue
        by_case: dict[str, list[str]] = {}
        for query in sorted(
            starting_set(study, campaign.seed), key=lambda q: (q.case_id, q.region)
        ):
            axis = query.region.slice_axis
            place = query.region.start if axis is None else query.region.start[axis]
            by_case.setdefault(query.case_id, []).append(str(place))
        named = [f"{case_id}: {', '.join(places)}" for case_id, places in by_case.items()]
        more = f"; and {len(named) - _NAMED} more cases" if len(named) > _NAMED else ""
        dice = [foreground_dice(rounds[0], case_id) for case_id in rounds[0].dice]
        counts = str(rounds[0].slices), str(len(by_case))
        first = f"{np.nanmean(dice):.3f}"
        yield str(campaign.seed), *counts, first, "; ".join(named[:_NAMED]) + more


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
