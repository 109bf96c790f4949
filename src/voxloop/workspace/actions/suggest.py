"""Choose what to label next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from voxloop.active.acquisition import ProbArray
from voxloop.active.budget import CostModel, LoggedTime
from voxloop.active.pool import CasePool, Pool
from voxloop.active.query import Query
from voxloop.active.strategies.context import SelectionContext
from voxloop.active.strategies.registry import find_strategy
from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.errors import UsageError
from voxloop.train.loop import MODEL_FILE
from voxloop.workspace.annotations import Revision
from voxloop.workspace.jobs import running_job
from voxloop.workspace.learning import read_scans
from voxloop.workspace.queries import StoredQuery, put_queries, queries_of
from voxloop.workspace.rounds import (
    NEXT_STEPS,
    Round,
    RoundStage,
    advance_round,
    begin_round,
    put_round,
)
from voxloop.workspace.staging import open_staging
from voxloop.workspace.workspace import Workspace

__all__ = ["SuggestResult", "pool_of", "suggest"]

_SEED_STRATEGY = "seed"


@dataclass(frozen=True)
class SuggestResult:
    """What `suggest` chose.

    Attributes:
        round_number: the round that asks.
        strategy: key of the strategy that chose.
        queries: what is open, best first.
        share_annotated: share of the workspace's slices that are annotated already.
        next_step: what to do now, in words.
    """

    round_number: int
    strategy: str
    queries: tuple[StoredQuery, ...]
    share_annotated: float
    next_step: str = NEXT_STEPS[RoundStage.ANNOTATING]

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {
            "round": self.round_number,
            "strategy": self.strategy,
            "share_annotated": self.share_annotated,
            "queries": [query.to_json() for query in self.queries],
            "next": self.next_step,
        }


def suggest(
    workspace: Workspace,
    *,
    query_size: int = 16,
    strategy: str = "entropy",
    seed: int = 0,
    actor: str = "",
    progress: ProgressSink = silent,
) -> SuggestResult:
    """Ask for slices: a seed set before there is a model, what the strategy chooses after that.

    While queries of the round are open the same ones are given again. Interrupted, the same
    call ends with the same queries.

    Args:
        workspace: with cases.
        query_size: how many slices.
        strategy: key of a registered strategy; before there is a model, one that needs none
            or else the seed set.
        seed: of the first round; later rounds keep the seed they were trained with.
        actor: for the audit trail; the workspace's author, then the system's user, where empty.
        progress: told about each case that is predicted.

    Raises:
        UsageError: if there is no case, the strategy is unknown, or the round must train first.
        DataError: if a scan was changed or is bad.
    """
    chooser = find_strategy(strategy)
    layout = workspace.layout
    with running_job(layout, "suggest"):
        pool = pool_of(workspace)
        record = _round_that_asks(workspace, seed, actor)
        if record.stage is RoundStage.ANNOTATING:
            waiting = workspace.open_queries()
            return SuggestResult(
                record.number, waiting[0].query.strategy, waiting, pool.share_annotated
            )
        predict = _predictions(workspace, record, progress)
        if predict is None and chooser.needs_model:
            chooser = find_strategy(_SEED_STRATEGY)
        context = SelectionContext(
            pool=pool,
            query_size=query_size,
            rng=np.random.default_rng([record.seed, record.number]),
            costs=CostModel.from_times(_logged_times(workspace)),
            labels=workspace.labels,
            predict=predict,
        )
        if record.stage is not RoundStage.QUERYING:  # entered only once there is something to ask
            record = advance_round(layout, record.number, RoundStage.QUERYING, actor=actor)
        stored = _ask(workspace, record, chooser.query(context), actor)
    return SuggestResult(record.number, chooser.key, stored, pool.share_annotated)


def pool_of(workspace: Workspace) -> Pool:
    """The slices of all cases: annotated, asked for, or open.

    Raises:
        UsageError: if there are no cases.
    """
    records = workspace.cases()
    if not records:
        raise UsageError(f"{workspace.root} has no cases; run `voxloop add FOLDER` first")
    pool = Pool(
        tuple(
            CasePool.on(
                record.id,
                record.geometry,
                workspace.target_of(record.id).looked_at
                if workspace.annotations_of(record.id)
                else None,
                record.slice_axis,
            )
            for record in records
        )
    )
    return pool.with_asked(stored.query for stored in workspace.open_queries())


def _round_that_asks(workspace: Workspace, seed: int, actor: str) -> Round:
    """The round that asks now or has asked; the first one is begun."""
    layout, record = workspace.layout, workspace.current_round()
    if record is None:
        record = begin_round(layout, seed=seed, strategy="", annotations=(), actor=actor)
    if record.stage in {RoundStage.TRAINING, RoundStage.COMPLETE}:
        raise UsageError(
            f'round {record.number} is at stage "{record.stage}"; {NEXT_STEPS[record.stage]}'
        )
    return record


def _predictions(
    workspace: Workspace, record: Round, progress: ProgressSink
) -> Callable[[str], ProbArray] | None:
    path = workspace.layout.member_folder(record.number, 0) / MODEL_FILE
    if not path.exists():
        return None
    from voxloop.model.checkpoint import load_checkpoint
    from voxloop.predict.predictor import Predictor

    predictor = Predictor(load_checkpoint(path))
    total, seen = len(workspace.cases()), 0

    def predict(case_id: str) -> ProbArray:
        nonlocal seen
        seen += 1
        progress(Progress("predicting", seen, total, case_id))
        channels = read_scans(workspace, workspace.case(case_id))
        return predictor.probabilities_on_grid(channels)

    return predict


def _logged_times(workspace: Workspace) -> list[LoggedTime]:
    times = []
    for record in workspace.cases():
        before = 0
        for revision in workspace.annotations_of(record.id):
            times.extend(_logged_time(revision, before))
            before = revision.coverage.voxels
    return times


def _logged_time(revision: Revision, before: int) -> list[LoggedTime]:
    new = revision.coverage.voxels - before
    seconds = revision.origin.seconds
    return [LoggedTime(new, seconds)] if seconds and new > 0 else []


def _ask(
    workspace: Workspace, record: Round, queries: tuple[Query, ...], actor: str
) -> tuple[StoredQuery, ...]:
    layout = workspace.layout
    stored = tuple(StoredQuery(n, query) for n, query in enumerate(queries, start=1))
    with open_staging(layout) as staging, staging.commit("suggest", actor) as commit:
        put_queries(commit, layout, record.number, stored)
        put_round(commit, layout, record.advanced(RoundStage.ANNOTATING))
    return queries_of(layout, record.number)
