"""A simulation as data: what is compared, and each campaign such that any process can play it."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from voxloop.active.trial.campaign import FULL, START, Campaign, run_campaign
from voxloop.active.trial.study import LabelledCase, Rules, Study
from voxloop.compute.atomic import remove_leftovers, write_json
from voxloop.compute.progress import ProgressSink, silent
from voxloop.dataset.case import Case
from voxloop.dataset.dataset import Dataset
from voxloop.dataset.folds import k_folds
from voxloop.dataset.layouts import read_dataset
from voxloop.dataset.load import read_case_channels, read_case_geometry, read_case_label_map
from voxloop.errors import DataError, Problem, UsageError
from voxloop.volume.labels import LabelTable
from voxloop.workspace.cases import ScanFile
from voxloop.workspace.lock import exclusive

__all__ = [
    "Cell",
    "Simulation",
    "claim_folder",
    "one_thread",
    "open_study",
    "play",
    "require_labels",
    "split_cases",
]

_STUDY_FILE = "study.json"


@dataclass(frozen=True)
class Simulation:
    """What is compared, and at which cost.

    Attributes:
        strategies: keys of registered strategies, or places of one's own; one or more.
        seeds: one campaign per strategy and seed.
        rules: by which all play.
        test_share: share of the cases that is scored and never asked for.

    Raises:
        UsageError: if nothing is compared, something is named twice, or the share is impossible.
    """

    strategies: tuple[str, ...] = ("hybrid", "foreground_random")
    seeds: tuple[int, ...] = (0,)
    rules: Rules = field(default_factory=Rules)
    test_share: float = 0.25

    def __post_init__(self) -> None:
        if not self.strategies or not self.seeds:
            raise UsageError("a simulation needs at least one strategy and one seed")
        for named in (self.strategies, self.seeds):
            if len(set(named)) < len(named):
                raise UsageError(f"a strategy or seed is named twice: {', '.join(map(str, named))}")
        if not 0 < self.test_share < 1:
            raise UsageError(f"the share of test cases is between 0 and 1, found {self.test_share}")
        reserved = {START, FULL} & {campaign.key for campaign in self.compared}
        if reserved:
            raise UsageError(f"{', '.join(sorted(reserved))}: no strategy, but a name for others")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Simulation:
        """Read rules beside `strategies`, `seeds` (a list, or how many) and `test_share`.

        Raises:
            UsageError: if there is something unknown or impossible among it.
        """
        left = dict(document)
        default = cls()
        seeds = left.pop("seeds", default.seeds)
        strategies = left.pop("strategies", default.strategies)
        share = left.pop("test_share", default.test_share)
        try:
            numbers = tuple(range(seeds)) if isinstance(seeds, int) else tuple(map(int, seeds))
            return cls(tuple(map(str, strategies)), numbers, Rules.from_json(left), float(share))
        except (TypeError, ValueError) as error:
            message = "strategies and seeds are lists, test_share is a number; found"
            raise UsageError(f"{message} {strategies!r}, {seeds!r}, {share!r}") from error

    @property
    def compared(self) -> tuple[Campaign, ...]:
        """The campaigns of the strategies."""
        return tuple(Campaign(key, seed) for key in self.strategies for seed in self.seeds)

    @property
    def campaigns(self) -> tuple[Campaign, ...]:
        """Everything there is to play; what others build upon comes first."""
        kinds = (START,) if self.rules.full_steps is None else (START, FULL)
        shared = tuple(Campaign(kind, seed) for kind in kinds for seed in self.seeds)
        return shared + self.compared


@dataclass(frozen=True)
class Cell:
    """One campaign as data: all that another process or machine needs to play it.

    Attributes:
        source: the data set's folder.
        out: the folder of the study, which says the rest.
        campaign: which one.
    """

    source: str
    out: str
    campaign: Campaign

    def __str__(self) -> str:
        return str(self.campaign)


def require_labels(dataset: Dataset) -> LabelTable:
    """The labels of a data set that has a label map for every case.

    Raises:
        DataError: listing the cases that have none, or if the labels have no names.
    """
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


def split_cases(dataset: Dataset, test_share: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which cases may be asked for, and which are scored; always the same for one data set."""
    fold = k_folds(dataset.ids, max(2, round(1 / test_share)), seed=0)[0]
    return fold.train, fold.validation


def claim_folder(
    out: Path, dataset: Dataset, rules: Rules, pool: Sequence[str], test: Sequence[str]
) -> None:
    """Write down what a folder is about; strategies, seeds and the reference may be added later.

    Args:
        out: the folder.
        dataset: of the cases.
        rules: by which all play.
        pool: cases that may be asked for.
        test: cases that are scored.

    Raises:
        UsageError: if it holds a simulation of something else.
    """
    document = {
        "dataset": dataset.name,
        "pool": {case_id: _content(dataset.case(case_id)) for case_id in pool},
        "test": {case_id: _content(dataset.case(case_id)) for case_id in test},
        "rules": json.loads(json.dumps(rules.to_json())),
    }
    file = out / _STUDY_FILE
    remove_leftovers(out)
    if not file.exists():
        write_json(file, document)
        return
    earlier = json.loads(file.read_text())
    if _comparable(earlier) != _comparable(document):
        raise UsageError(f"{out} holds a simulation of something else; choose another folder")
    if earlier["rules"] != document["rules"] and rules.full_steps is not None:
        write_json(file, document)


def _comparable(document: Mapping[str, Any]) -> dict[str, Any]:
    """All that must not change; the length of the full training names a folder of its own."""
    rules = {k: v for k, v in document.get("rules", {}).items() if k != "full_steps"}
    return {**document, "rules": rules}


def open_study(source: Path, out: Path) -> Study:
    """The study that a folder is about; whoever plays a campaign of it needs nothing else.

    Args:
        source: the data set's folder.
        out: the folder that `claim_folder` wrote to.
    """
    document = json.loads((out / _STUDY_FILE).read_text())
    dataset = read_dataset(source)
    labels = require_labels(dataset)

    def cases(part: str) -> tuple[LabelledCase, ...]:
        return tuple(
            _labelled(dataset.case(case_id), dataset, labels, content)
            for case_id, content in document[part].items()
        )

    return Study(
        pool=cases("pool"),
        test=cases("test"),
        labels=labels,
        channel_names=dataset.channel_names,
        folder=out,
        rules=Rules.from_json(document["rules"]),
    )


def _labelled(case: Case, dataset: Dataset, labels: LabelTable, content: str) -> LabelledCase:
    return LabelledCase(
        id=case.id,
        read=lambda: read_case_channels(case),
        reference=lambda: read_case_label_map(case, labels, ignore_value=dataset.ignore_value),
        geometry=read_case_geometry(case),
        content=content,
    )


def _content(case: Case) -> str:
    return "-".join(ScanFile.of(path, path.name).sha256[:16] for path in case.channels)


def play(cell: Cell, progress: ProgressSink = silent) -> bool:
    """Play one campaign of a study, unless somebody else is just playing it.

    Args:
        cell: which, and where the study is.
        progress: told about rounds and what happens within.

    Returns:
        True if it is finished now.
    """
    study, campaign = open_study(Path(cell.source), Path(cell.out)), cell.campaign
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(exclusive(_lock_file(study, campaign), str(campaign)))
        except UsageError:
            return False
        if campaign.strategy not in {START, FULL}:
            start = replace(campaign, strategy=START)
            with exclusive(_lock_file(study, start), str(start), wait_s=math.inf):
                run_campaign(study, start, progress)
        run_campaign(study, campaign, progress)
    return True


def one_thread() -> None:
    """Let this process compute with one thread: several workers share the cores."""
    import torch

    torch.set_num_threads(1)


def _lock_file(study: Study, campaign: Campaign) -> Path:
    return campaign.folder(study) / "campaign.lock"
