"""A simulated campaign: one strategy and one seed, from the starting set to the last round."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from voxloop.active.cost.effort import effort_of
from voxloop.active.cost.model import CostModel
from voxloop.active.doubt.acquisition import Members
from voxloop.active.pool import CasePool, Pool
from voxloop.active.query import Query
from voxloop.active.strategies.context import SelectionContext
from voxloop.active.strategies.registry import find_strategy, needs_members
from voxloop.active.trial.oracle import Oracle
from voxloop.active.trial.study import Study
from voxloop.compute.atomic import remove_leftovers, write_json
from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.dataset.annotation import Annotation, merge
from voxloop.errors import DataError, UsageError
from voxloop.metrics.score import LabelScore, score_case
from voxloop.model.checkpoint import Checkpoint, load_checkpoint
from voxloop.predict.predictor import Predictor
from voxloop.predict.views import VIEWS
from voxloop.train.loop import MODEL_FILE, train
from voxloop.train.prepare import AnnotatedCase, plan_for, prepare_cases

__all__ = [
    "FULL",
    "START",
    "Campaign",
    "RoundScores",
    "read_campaign",
    "run_campaign",
    "starting_set",
]

START = "start"
"""The campaign that ends with the first model; all strategies of its seed go on from there."""

FULL = "full"
"""The campaign that learns once, from all labels: what the others are measured by."""

Scores = dict[str, dict[str, float | None]]
"""Case and label name to a score; None where it is undefined."""


@dataclass(frozen=True, order=True)
class Campaign:
    """One strategy with one seed.

    Attributes:
        strategy: key of a registered strategy, or the place of one's own, `START` or `FULL`.
        seed: of the starting set, the choices and the training.

    Raises:
        UsageError: if there is no such strategy, or the seed is negative.
    """

    strategy: str
    seed: int

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"seeds count from 0, found {self.seed}")
        _ = self.key

    def __str__(self) -> str:
        return f"{self.key}, seed {self.seed}"

    @property
    def key(self) -> str:
        """The strategy as results name it."""
        special = self.strategy in {START, FULL}
        return self.strategy if special else find_strategy(self.strategy).key

    def folder(self, study: Study) -> Path:
        """Where the rounds are kept. Full trainings of different lengths lie side by side."""
        name = f"{FULL}-{study.rules.full_steps}" if self.strategy == FULL else self.key
        return study.folder / name / f"seed-{self.seed}"

    def last_round(self, study: Study) -> int:
        """Number of the last round; the first is 0."""
        return 0 if self.strategy in {START, FULL} else study.rules.rounds


@dataclass(frozen=True)
class RoundScores:
    """What a round's model reached on the test cases.

    Attributes:
        round: from 0 on.
        slices: annotated regions it learned from; slices, unless others are asked for.
        share: of the pool's regions.
        voxels: that were looked at.
        seconds: that labelling them takes by assumed prices, for what the annotator drew.
        steps: of its training.
        dice: of each test case and label.
        surface_dice: the same at 1 mm.
        chosen: the queries that follow this round, as documents.
    """

    round: int
    slices: int
    share: float
    voxels: int
    seconds: float
    steps: int
    dice: Scores
    surface_dice: Scores
    chosen: tuple[dict[str, Any], ...]

    @property
    def queries(self) -> tuple[Query, ...]:
        """What is asked after this round."""
        return tuple(Query.from_json(document) for document in self.chosen)


def run_campaign(
    study: Study, campaign: Campaign, progress: ProgressSink = silent
) -> tuple[RoundScores, ...]:
    """Play all rounds of a campaign with an oracle; finished rounds are read from disk.

    Each round is one small file, written when it is done, and training resumes within a round;
    so an interrupted campaign continues where it was and ends the same. Everything follows from
    the study, the strategy and the seed, so a campaign can be played anywhere. Two processes
    must not play the same one at once.

    Args:
        study: cases, rules and folder.
        campaign: what to play. Strategies begin with what `START` of their seed has left, and
            play it first where that has not been done.
        progress: told about each round, and what happens within it.
    """
    last = campaign.last_round(study)
    player = _Player(study, campaign, progress)
    remove_leftovers(player.folder)
    asked = [player.first_queries()]
    done: list[RoundScores] = []
    for number in range(last + 1):
        progress(Progress("rounds", number, last + 1, str(campaign)))
        scores = _read_round(player.folder, number)
        if scores is None:
            scores = player.play(number, asked)
            write_json(player.folder / _file_name(number), asdict(scores))
            player.forget_model(number - 1)
        done.append(scores)
        asked.append(scores.queries)
    progress(Progress("rounds", last + 1, last + 1, str(campaign)))
    return tuple(done)


def read_campaign(study: Study, campaign: Campaign) -> tuple[RoundScores, ...] | None:
    """The rounds of a campaign that was played to its end; None before that."""
    last, folder = campaign.last_round(study), campaign.folder(study)
    if not (folder / _file_name(last)).exists():
        return None
    found = [_read_round(folder, number) for number in range(last + 1)]
    rounds = tuple(scores for scores in found if scores is not None)
    return rounds if len(rounds) == last + 1 else None


def starting_set(study: Study, seed: int) -> tuple[Query, ...]:
    """What is labelled before the first model of a seed, the same for all strategies."""
    return _Player(study, Campaign(START, seed), silent).first_queries()


@dataclass(frozen=True, eq=False)
class _Player:
    """Plays the rounds of one campaign; `asked` is what was asked in each round so far."""

    study: Study
    campaign: Campaign
    progress: ProgressSink

    @property
    def folder(self) -> Path:
        return self.campaign.folder(self.study)

    @cached_property
    def fresh_pool(self) -> Pool:
        cut = self.study.rules.cut
        return Pool(tuple(CasePool.on(c.id, c.geometry, cut=cut) for c in self.study.pool))

    def first_queries(self) -> tuple[Query, ...]:
        if self.campaign.strategy != FULL:
            return self._select(0, self.fresh_pool, None)
        context = self._context(0, self.fresh_pool, self.fresh_pool.region_count, None)
        everything = ((candidate, "all labels") for candidate in self.fresh_pool.candidates)
        return context.in_order(everything, FULL)

    def play(self, number: int, asked: Sequence[tuple[Query, ...]]) -> RoundScores:
        """Learn from what is answered, score, and choose what comes next."""
        starts = number == 0 and self.campaign.strategy not in {START, FULL}
        if starts:  # scored already
            start = replace(self.campaign, strategy=START)
            scores = run_campaign(self.study, start, self.progress)[0]
            checkpoint = self._model(number, asked)
        else:
            checkpoint = self._model(number, asked)
            scores = self._score(number, asked, checkpoint)
        if number == self.campaign.last_round(self.study):
            return scores
        pool = self.fresh_pool.with_annotated(_flat(asked))
        chosen = self._select(number + 1, pool, Predictor(checkpoint))
        return replace(scores, chosen=tuple(query.to_json() for query in chosen))

    def forget_model(self, number: int) -> None:
        """Free the disk of a model that nothing builds upon any more."""
        if number > 0:  # the first one is shared by all strategies
            shutil.rmtree(self._model_folder(number), ignore_errors=True)

    def _score(
        self, number: int, asked: Sequence[tuple[Query, ...]], checkpoint: Checkpoint
    ) -> RoundScores:
        pool = self.fresh_pool.with_annotated(_flat(asked))
        predictor = Predictor(checkpoint)
        dice, surface_dice = {}, {}
        for index, case in enumerate(self.study.test, start=1):
            prediction = predictor.segment(case.read()).label_map
            found = score_case(case.id, case.reference(), prediction)
            dice[case.id] = _by_label(found, "dice")
            surface_dice[case.id] = _by_label(found, "surface_dice")
            self.progress(Progress("scoring", index, len(self.study.test), case.id))
        voxels, seconds = 0, 0.0
        for case_id, annotation in self._answers(asked):
            known = annotation.label_map
            effort = effort_of(known.array, known.geometry.spacing_mm, pool.by_id[case_id].axis)
            voxels += int(annotation.looked_at.sum())
            seconds += float(CostModel().seconds(effort.row[None])[0])
        return RoundScores(
            round=number,
            slices=pool.annotated_count,
            share=pool.share_annotated,
            voxels=voxels,
            seconds=seconds,
            steps=int(checkpoint.provenance["steps"]),
            dice=dice,
            surface_dice=surface_dice,
            chosen=(),
        )

    def _model(self, number: int, asked: Sequence[tuple[Query, ...]]) -> Checkpoint:
        """The model of a round: trained now, where it is not there yet or not there any more."""
        folder = self._model_folder(number)
        with contextlib.suppress(DataError):  # absent or damaged
            return load_checkpoint(folder / MODEL_FILE)
        study, rules, seed = self.study, self.study.rules, self.campaign.seed
        cases = [
            AnnotatedCase(
                case_id,
                study.pool_cases[case_id].read,
                annotation.label_map.geometry,
                merge([annotation], annotation.label_map.geometry.shape, study.labels),
                study.pool_cases[case_id].content,
            )
            for case_id, annotation in self._answers(asked[: number + 1])
        ]
        plan = plan_for(cases, study.labels, study.channel_names)
        prepared = prepare_cases(cases, plan, study.folder / "cache")
        is_full = self.campaign.strategy == FULL
        config = rules.full_training(seed) if is_full else rules.training(seed, number)
        start = self._model(number - 1, asked) if number and config.warm_start else None
        if start is not None and not plan.has_network_of(start.plan):
            start = None
        result = train(plan, prepared, config, folder, self.progress, start=start)
        return load_checkpoint(result.path)

    def _model_folder(self, number: int) -> Path:
        # the first model depends on the seed alone: one training serves all strategies
        shared = number == 0 and self.campaign.strategy != FULL
        owner = replace(self.campaign, strategy=START) if shared else self.campaign
        place = owner.folder(self.study).relative_to(self.study.folder)
        return self.study.folder / "models" / place / f"round-{number}"

    def _answers(self, asked: Sequence[tuple[Query, ...]]) -> Iterator[tuple[str, Annotation]]:
        """One case after the other, so that no more than one label map is held at once."""
        oracle = Oracle(
            lambda case_id: self.study.pool_cases[case_id].reference(),
            error=self.study.rules.error(self.campaign.seed),
        )
        by_case: dict[str, list[Query]] = {}
        for query in _flat(asked):
            by_case.setdefault(query.case_id, []).append(query)
        for case_id in sorted(by_case):
            yield from oracle.answer(by_case[case_id]).items()

    def _select(self, number: int, pool: Pool, predictor: Predictor | None) -> tuple[Query, ...]:
        """The queries of a round; drawn from seed and round only, so that a resumed run agrees."""
        rules = self.study.rules
        size = rules.size(number)
        strategy = find_strategy(self.campaign.strategy if number else rules.start)
        return strategy.query(self._context(number, pool, size, predictor))

    def _context(
        self, number: int, pool: Pool, size: int, predictor: Predictor | None
    ) -> SelectionContext:
        cases = self.study.pool_cases
        return SelectionContext(
            pool=pool,
            query_size=size,
            rng=np.random.default_rng([self.campaign.seed, number]),
            costs=CostModel(),  # counts regions, as the budgets do
            labels=self.study.labels,
            predict=None if predictor is None else self._members(predictor),
            scans=lambda case_id: cases[case_id].read(),
            embed=None
            if predictor is None
            else lambda case_id: predictor.features_on_grid(cases[case_id].read()),
            round_number=max(1, number),
        )

    def _members(self, predictor: Predictor) -> Callable[[str], Members]:
        cases = self.study.pool_cases
        if needs_members(find_strategy(self.campaign.strategy)):
            return lambda case_id: predictor.members_on_grid(cases[case_id].read(), VIEWS)
        return lambda case_id: predictor.probabilities_on_grid(cases[case_id].read())[None]


def _flat(asked: Sequence[tuple[Query, ...]]) -> tuple[Query, ...]:
    return tuple(query for queries in asked for query in queries)


def _by_label(scores: Sequence[LabelScore], metric: str) -> dict[str, float | None]:
    values = {score.name: float(getattr(score, metric)) for score in scores}
    return {name: None if np.isnan(value) else value for name, value in values.items()}


def _file_name(number: int) -> str:
    return f"round-{number}.json"


def _read_round(folder: Path, number: int) -> RoundScores | None:
    with contextlib.suppress(OSError, ValueError, TypeError):
        document = json.loads((folder / _file_name(number)).read_text())
        return RoundScores(**{**document, "chosen": tuple(document["chosen"])})
    return None
