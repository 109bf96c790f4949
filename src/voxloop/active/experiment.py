"""A simulated campaign: one strategy and one seed, from the seed set to the last round."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from voxloop.active.budget import CostModel
from voxloop.active.oracle import Oracle
from voxloop.active.pool import CasePool, Pool
from voxloop.active.query import Query
from voxloop.active.strategies.context import SelectionContext
from voxloop.active.strategies.registry import find_strategy
from voxloop.compute.atomic import write_json
from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.dataset.annotation import Annotation, merge
from voxloop.errors import UsageError
from voxloop.metrics.score import score_case
from voxloop.model.checkpoint import load_checkpoint
from voxloop.predict.predictor import Predictor
from voxloop.train.config import TrainConfig
from voxloop.train.loop import train
from voxloop.train.prepare import AnnotatedCase, plan_for, prepare_cases
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume

__all__ = ["Campaign", "LabelledCase", "RoundScores", "Study", "run_campaign"]

_SEED_STRATEGY = "seed"


@dataclass(frozen=True, eq=False)
class LabelledCase:
    """A case whose reference is known to the simulation, but not to the strategy.

    Attributes:
        id: the case.
        read: gives the channels.
        reference: gives the reference label map.
        geometry: the case's grid.
        content: names the images' content, for the cache.
    """

    id: str
    read: Callable[[], tuple[Volume, ...]]
    reference: Callable[[], LabelMap]
    geometry: Geometry
    content: str


@dataclass(frozen=True, eq=False)
class Study:
    """What all campaigns of a comparison share.

    Attributes:
        pool: cases that may be asked for.
        test: cases that are scored, and never asked for.
        labels: the label table.
        channel_names: one per channel.
        folder: of the study; campaigns keep their files below it.
    """

    pool: tuple[LabelledCase, ...]
    test: tuple[LabelledCase, ...]
    labels: LabelTable
    channel_names: tuple[str, ...]
    folder: Path

    def __post_init__(self) -> None:
        both = {case.id for case in self.pool} & {case.id for case in self.test}
        if both or not self.pool or not self.test:
            raise UsageError(
                f"a study needs pool and test cases, none in both; found {len(self.pool)}, "
                f"{len(self.test)}, and {len(both)} in both"
            )

    def pool_case(self, case_id: str) -> LabelledCase:
        """A case of the pool by its id."""
        return next(case for case in self.pool if case.id == case_id)


@dataclass(frozen=True)
class Campaign:
    """One strategy with one seed. Campaigns of one seed start from the same seed set and model.

    Attributes:
        strategy: key of a registered strategy.
        seed: of the seed set, the choices and the training.
        seed_size: slices before the first model.
        query_size: slices per round after that.
        rounds: rounds after the first model.
        train: duration of each round's training.
    """

    strategy: str
    seed: int
    seed_size: int
    query_size: int
    rounds: int
    train: TrainConfig

    def __post_init__(self) -> None:
        find_strategy(self.strategy)
        if min(self.seed_size, self.query_size) < 1 or self.rounds < 0:
            raise UsageError("a campaign needs seed and query sizes above 0, and no rounds below 0")


@dataclass(frozen=True)
class RoundScores:
    """What a round's model reached on the test cases.

    Attributes:
        round: from 0 on.
        slices: annotated slices it learned from.
        share: of the pool's slices.
        steps: of training; 0 where a finished training was taken over.
        dice: per test case and label name; None where it is undefined.
        chosen: the queries that follow this round, as documents.
    """

    round: int
    slices: int
    share: float
    steps: int
    dice: dict[str, dict[str, float | None]]
    chosen: tuple[dict[str, object], ...]


def run_campaign(
    study: Study, campaign: Campaign, progress: ProgressSink = silent
) -> tuple[RoundScores, ...]:
    """Play all rounds of a campaign with an oracle; finished rounds are read from disk.

    Each round is one small file, written when it is done, and training resumes within a round;
    so an interrupted campaign continues where it was and ends the same.

    Args:
        study: cases and folder.
        campaign: what to play.
        progress: told about each round, and what happens within it.
    """
    place = study.folder / campaign.strategy / f"seed-{campaign.seed}"
    pool = Pool(tuple(CasePool.on(case.id, case.geometry) for case in study.pool))
    oracle = Oracle(lambda case_id: study.pool_case(case_id).reference())
    answers: dict[str, list[Annotation]] = {}
    done: list[RoundScores] = []
    queries = _select(study, campaign, pool, 0, None)
    for number in range(campaign.rounds + 1):
        progress(Progress("rounds", number, campaign.rounds + 1, campaign.strategy))
        for case_id, annotation in oracle.answer(queries).items():
            answers.setdefault(case_id, []).append(annotation)
        pool = pool.with_annotated(queries)
        file = place / f"round-{number}.json"
        scores = _read(file)
        if scores is None:
            scores = _play(study, campaign, number, pool=pool, answers=answers, progress=progress)
            write_json(file, asdict(scores))
        done.append(scores)
        queries = tuple(Query.from_json(document) for document in scores.chosen)
    progress(Progress("rounds", campaign.rounds + 1, campaign.rounds + 1, campaign.strategy))
    return tuple(done)


def _play(
    study: Study,
    campaign: Campaign,
    number: int,
    *,
    pool: Pool,
    answers: dict[str, list[Annotation]],
    progress: ProgressSink,
) -> RoundScores:
    """Train on what is answered, score, and choose what comes next."""
    cases = [_annotated(case, answers[case.id], study.labels) for case in study.pool
             if case.id in answers]  # fmt: skip
    config = replace(campaign.train, seed=campaign.seed)
    # the first model depends on the seed alone: one training serves all strategies
    owner = _SEED_STRATEGY if number == 0 else campaign.strategy
    folder = study.folder / "models" / owner / f"seed-{campaign.seed}" / f"round-{number}"
    plan = plan_for(cases, study.labels, study.channel_names)
    prepared = prepare_cases(cases, plan, study.folder / "cache")
    result = train(plan, prepared, config, folder, progress)
    predictor = Predictor(load_checkpoint(result.path))
    dice = {}
    for index, case in enumerate(study.test, start=1):
        dice[case.id] = _dice(case, predictor)
        progress(Progress("scoring", index, len(study.test), case.id))
    is_last = number == campaign.rounds
    chosen = () if is_last else _select(study, campaign, pool, number + 1, predictor)
    return RoundScores(
        round=number,
        slices=pool.annotated_count,
        share=pool.share_annotated,
        steps=result.steps,
        dice=dice,
        chosen=tuple(query.to_json() for query in chosen),
    )


def _select(
    study: Study, campaign: Campaign, pool: Pool, number: int, predictor: Predictor | None
) -> tuple[Query, ...]:
    """The queries of a round; drawn from seed and round only, so that a resumed run agrees."""
    context = SelectionContext(
        pool=pool,
        query_size=campaign.query_size if number else campaign.seed_size,
        rng=np.random.default_rng([campaign.seed, number]),
        costs=CostModel(),
        labels=study.labels,
        predict=None
        if predictor is None
        else lambda case_id: predictor.probabilities_on_grid(study.pool_case(case_id).read()),
    )
    return find_strategy(campaign.strategy if number else _SEED_STRATEGY).query(context)


def _annotated(
    case: LabelledCase, annotations: Sequence[Annotation], labels: LabelTable
) -> AnnotatedCase:
    target = merge(annotations, case.geometry.shape, labels)
    return AnnotatedCase(case.id, case.read, case.geometry, target, case.content)


def _dice(case: LabelledCase, predictor: Predictor) -> dict[str, float | None]:
    prediction = predictor.segment(case.read()).label_map
    scores = score_case(case.id, case.reference(), prediction)
    return {score.name: None if np.isnan(score.dice) else score.dice for score in scores}


def _read(file: Path) -> RoundScores | None:
    with contextlib.suppress(OSError, ValueError, TypeError):
        document = json.loads(file.read_text())
        return RoundScores(**{**document, "chosen": tuple(document["chosen"])})
    return None
