"""Compare query strategies on a labelled data set with a simulated annotator."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from voxloop import __version__
from voxloop.active.experiment import Campaign, LabelledCase, RoundScores, Study, run_campaign
from voxloop.compute.atomic import write_json, write_text
from voxloop.compute.progress import ProgressSink, silent
from voxloop.dataset.case import Case
from voxloop.dataset.check import check_dataset
from voxloop.dataset.dataset import Dataset
from voxloop.dataset.folds import k_folds
from voxloop.dataset.layouts import read_dataset
from voxloop.dataset.load import read_case_channels, read_case_geometry, read_case_label_map
from voxloop.errors import DataError, Problem, UsageError
from voxloop.report.campaigns import (
    CampaignRow,
    area_table,
    campaign_rows,
    curve_of,
    share_table,
)
from voxloop.report.content import Figure, Report, Section
from voxloop.report.curves import learning_curve_png
from voxloop.report.html import write_html
from voxloop.train.config import TrainConfig
from voxloop.volume.labels import LabelTable
from voxloop.workspace.cases import ScanFile

__all__ = ["SimulateResult", "Simulation", "simulate"]


@dataclass(frozen=True)
class Simulation:
    """What is compared, and at which cost.

    Attributes:
        strategies: keys of registered strategies, one or more.
        seeds: one campaign per strategy and seed.
        seed_size: slices of the seed set.
        query_size: slices per round after it.
        rounds: rounds after the first model.
        train: duration of each training; its seed is replaced by the campaign's. Steps make
            the budgets exactly equal, minutes only nearly so.
        test_share: share of the cases that is scored and never asked for.
    """

    strategies: tuple[str, ...] = ("entropy", "foreground_random")
    seeds: tuple[int, ...] = (0,)
    seed_size: int = 16
    query_size: int = 16
    rounds: int = 3
    train: TrainConfig = field(default_factory=lambda: TrainConfig(minutes=1.5))
    test_share: float = 0.25

    def __post_init__(self) -> None:
        if not self.strategies or not self.seeds:
            raise UsageError("a simulation needs at least one strategy and one seed")
        if len(set(self.strategies)) < len(self.strategies):
            raise UsageError(f"a strategy is named twice: {', '.join(self.strategies)}")
        if not 0 < self.test_share < 1:
            raise UsageError(f"--test-share lies between 0 and 1, found {self.test_share}")


@dataclass(frozen=True, eq=False)
class SimulateResult:
    """What the campaigns reached.

    Attributes:
        campaigns: strategy and seed to rounds.
        pool_cases: number of cases that could be asked for.
        test_cases: number of cases scored.
        wrote: report, table, picture.
    """

    campaigns: dict[tuple[str, int], tuple[RoundScores, ...]]
    pool_cases: int
    test_cases: int
    wrote: tuple[Path, ...]

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {
            "pool_cases": self.pool_cases,
            "test_cases": self.test_cases,
            "areas": [dict(zip(_AREA_KEYS, row, strict=True)) for row in self.areas],
        }

    @property
    def areas(self) -> tuple[tuple[str, ...], ...]:
        """Strategy, seeds, area under the budget curve, final Dice; as text."""
        return area_table(self.campaigns).rows


_AREA_KEYS = ("strategy", "seeds", "area", "final_dice")


def simulate(
    source: Path, simulation: Simulation, out: Path, progress: ProgressSink = silent
) -> SimulateResult:
    """Play every strategy with every seed, and compare them at equal cost.

    All strategies of a seed start from the same slices and the same model. Finished rounds are
    kept in `out`, so that an interrupted simulation continues.

    Args:
        source: a data-set folder with labels for every case.
        simulation: what to compare.
        out: folder for the results; created if need be.
        progress: told about rounds and what happens within.

    Raises:
        DataError: listing all problems of the data set.
        UsageError: if `out` holds a simulation of something else.
    """
    dataset = read_dataset(source)
    labels = _require_labels(dataset)
    check_dataset(dataset, progress)
    study = _study(dataset, labels, simulation, out)
    _require_same(out, dataset, simulation)
    campaigns = {}
    for seed in simulation.seeds:
        for strategy in simulation.strategies:
            campaign = Campaign(
                strategy=strategy,
                seed=seed,
                seed_size=simulation.seed_size,
                query_size=simulation.query_size,
                rounds=simulation.rounds,
                train=simulation.train,
            )
            campaigns[strategy, seed] = run_campaign(study, campaign, progress)
    wrote = _write(study, campaigns, simulation, out)
    return SimulateResult(campaigns, len(study.pool), len(study.test), wrote)


def _require_labels(dataset: Dataset) -> LabelTable:
    missing = [
        Problem(case.where(), "a label map for the oracle", "none", "leave the case out")
        for case in dataset.cases
        if case.label_map is None
    ]
    if missing:
        raise DataError(missing)
    if dataset.labels is None:
        raise DataError(
            Problem(
                f'data set "{dataset.name}"',
                "a label table",
                "none",
                "use a folder in nnU-Net or Decathlon layout",
            )
        )
    return dataset.labels


def _study(dataset: Dataset, labels: LabelTable, simulation: Simulation, out: Path) -> Study:
    folds = max(2, round(1 / simulation.test_share))
    fold = k_folds(dataset.ids, folds, seed=0)[0]
    cases = {case.id: _labelled(case, dataset, labels) for case in dataset.cases}
    return Study(
        pool=tuple(cases[case_id] for case_id in fold.train),
        test=tuple(cases[case_id] for case_id in fold.validation),
        labels=labels,
        channel_names=dataset.channel_names,
        folder=out,
    )


def _labelled(case: Case, dataset: Dataset, labels: LabelTable) -> LabelledCase:
    return LabelledCase(
        id=case.id,
        read=lambda: read_case_channels(case),
        reference=lambda: read_case_label_map(case, labels, ignore_value=dataset.ignore_value),
        geometry=read_case_geometry(case),
        content="-".join(ScanFile.of(path, path.name).sha256[:16] for path in case.channels),
    )


def _require_same(out: Path, dataset: Dataset, simulation: Simulation) -> None:
    """Results of one folder belong to one study; strategies and seeds may be added."""
    document = asdict(simulation) | {"dataset": dataset.name, "cases": list(dataset.ids)}
    for added in ("strategies", "seeds"):
        document.pop(added)
    file = out / "study.json"
    if file.exists():
        if json.loads(file.read_text()) != json.loads(json.dumps(document)):
            raise UsageError(f"{out} holds a simulation of something else; choose another folder")
        return
    write_json(file, document)


def _write(
    study: Study,
    campaigns: dict[tuple[str, int], tuple[RoundScores, ...]],
    simulation: Simulation,
    out: Path,
) -> tuple[Path, ...]:
    rng = np.random.default_rng(0)
    curves = [curve_of(campaigns, strategy, rng) for strategy in simulation.strategies]
    table, page = out / "rows.csv", out / "report.html"
    write_text(table, _csv(campaign_rows(campaigns)))
    figure = Figure(
        learning_curve_png(curves),
        alt="Learning curves: mean foreground Dice over the share of annotated slices",
        caption="Bands: 95 % BCa interval over test cases.",
    )
    report = Report(
        title="Comparison of query strategies",
        provenance=(
            ("Voxloop", __version__),
            ("pool and test cases", f"{len(study.pool)} and {len(study.test)}"),
            ("seeds", ", ".join(map(str, simulation.seeds))),
            ("seed set, query size, rounds",
             f"{simulation.seed_size}, {simulation.query_size}, {simulation.rounds}"),
        ),
        sections=(
            Section("Learning curves", (figure, share_table(curves))),
            Section("Strategies", (area_table(campaigns),)),
        ),
    )  # fmt: skip
    write_html(page, report)
    return page, table


def _csv(rows: Sequence[CampaignRow]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [column.name for column in fields(CampaignRow)],
                            lineterminator="\n")  # fmt: skip
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()
