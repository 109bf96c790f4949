"""Choose what to label next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voxloop.active.advice.referee import with_control
from voxloop.active.cost.budget import Budget
from voxloop.active.cost.model import CostModel
from voxloop.active.cut import Cut
from voxloop.active.pool import CasePool, Pool
from voxloop.active.query import CONTROL, Query
from voxloop.active.strategies.context import SelectionContext
from voxloop.active.strategies.registry import find_strategy, needs_members
from voxloop.compute.progress import ProgressSink, silent
from voxloop.errors import UsageError
from voxloop.workspace.jobs import running_job
from voxloop.workspace.learning import read_scans
from voxloop.workspace.models import RoundModel, trained_model
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
from voxloop.workspace.suggestions import write_suggestions
from voxloop.workspace.times import logged_times
from voxloop.workspace.workspace import Workspace

__all__ = ["DEFAULT_STRATEGY", "SuggestResult", "Wish", "pool_of", "suggest"]

DEFAULT_STRATEGY = "entropy"

_PLANES = Cut()
_SEED_STRATEGY = "seed"
_CONTROL_STRATEGY = "foreground_random"


@dataclass(frozen=True)
class Wish:
    """What an annotator wants to be asked.

    Attributes:
        query_size: how many regions at most, 1 or more.
        strategy: key of a registered strategy, or the place of one's own; before there is a
            model, one that needs none or else the seed set.
        cut: what can be asked for.
        minutes: of the annotator's time that answering may take; None for any.
        control: share of the queries drawn by chance, 0 to 0.5, for the referee to compare with.
        seed: of the first round; later rounds keep the seed they were trained with.
        pictures: whether to draw a page of what is asked.

    Raises:
        UsageError: if the strategy is unknown, or a number out of range.
    """

    query_size: int = 16
    strategy: str = DEFAULT_STRATEGY
    cut: Cut = _PLANES
    minutes: float | None = None
    control: float = 0.0
    seed: int = 0
    pictures: bool = False

    def __post_init__(self) -> None:
        find_strategy(self.strategy)
        if self.minutes is not None and not self.minutes > 0:
            raise UsageError(f"an annotator's time is above 0 minutes, found {self.minutes:g}")
        if not 0 <= self.control <= 0.5:
            raise UsageError(f"the share of controls lies from 0 to 0.5, found {self.control:g}")


@dataclass(frozen=True)
class SuggestResult:
    """What `suggest` chose.

    Attributes:
        round_number: the round that asks.
        strategy: key of the strategy that chose.
        queries: what is open, best first.
        share_annotated: share of the workspace's regions that are annotated already.
        page: with a picture of each query; None where it was not drawn.
        next_step: what to do now, in words.
    """

    round_number: int
    strategy: str
    queries: tuple[StoredQuery, ...]
    share_annotated: float
    page: Path | None = None
    next_step: str = NEXT_STEPS[RoundStage.ANNOTATING]

    @property
    def seconds(self) -> float | None:
        """What answering is expected to take; None where no time was ever logged."""
        if any(q.query.unit != "seconds" for q in self.queries):
            return None
        return sum(q.query.cost for q in self.queries)

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {
            "round": self.round_number,
            "strategy": self.strategy,
            "share_annotated": self.share_annotated,
            "expected_seconds": self.seconds,
            "queries": [query.to_json() for query in self.queries],
            "page": None if self.page is None else str(self.page),
            "next": self.next_step,
        }


def suggest(
    workspace: Workspace,
    wish: Wish | None = None,
    *,
    actor: str = "",
    progress: ProgressSink = silent,
) -> SuggestResult:
    """Ask for regions: a seed set before there is a model, what the strategy chooses after that.

    While queries of the round are open the same ones are given again. Interrupted, the same
    call ends with the same queries.

    Args:
        workspace: with cases.
        wish: what to ask for.
        actor: for the audit trail; the workspace's author, then the system's user, where empty.
        progress: told about each case that is predicted.

    Raises:
        UsageError: if there is no case, the round must train first, or minutes are asked for
            where no time was ever logged.
        DataError: if a scan was changed or is bad.
    """
    wish = wish or Wish()
    layout = workspace.layout
    with running_job(layout, "suggest"):
        pool = pool_of(workspace, wish.cut)
        record = _round_that_asks(workspace, wish.seed, actor)
        model = trained_model(workspace, record)
        if record.stage is RoundStage.ANNOTATING:
            stored = workspace.open_queries()
        else:
            queries = _choose(workspace, record, pool, model, wish, progress=progress)
            if record.stage is not RoundStage.QUERYING:  # only once there is something to ask
                record = advance_round(layout, record.number, RoundStage.QUERYING, actor=actor)
            stored = _ask(workspace, record, queries, actor)
        page = (
            write_suggestions(workspace, record.number, stored, model, progress)
            if wish.pictures
            else None
        )
    asked_by = [q.query.strategy for q in stored if q.query.strategy != CONTROL]
    strategy = (asked_by or [CONTROL])[0]
    return SuggestResult(record.number, strategy, stored, pool.share_annotated, page)


def _choose(
    workspace: Workspace,
    record: Round,
    pool: Pool,
    model: RoundModel | None,
    wish: Wish,
    *,
    progress: ProgressSink,
) -> tuple[Query, ...]:
    """What the strategy wants, with controls among it, as far as the annotator's time goes."""
    chooser = find_strategy(wish.strategy)
    if model is None and chooser.needs_model:
        chooser = find_strategy(_SEED_STRATEGY)
    several = needs_members(chooser)
    context = SelectionContext(
        pool=pool,
        query_size=wish.query_size,
        rng=np.random.default_rng([record.seed, record.number]),
        costs=CostModel.from_times(logged_times(workspace)),
        labels=workspace.labels,
        predict=None if model is None else model.predictions(several=several, progress=progress),
        scans=lambda case_id: read_scans(workspace, workspace.case(case_id)),
        embed=None if model is None else model.features,
        round_number=max(1, record.number),
    )
    queries = chooser.query(context)
    if wish.control and context.predict is not None:
        controls = find_strategy(_CONTROL_STRATEGY).query(context)
        queries = with_control(queries, controls, wish.control, context.rng)
    return _affordable(context, queries, wish)


def _affordable(
    context: SelectionContext, queries: tuple[Query, ...], wish: Wish
) -> tuple[Query, ...]:
    if wish.minutes is None:
        return queries
    if context.costs.unit != "seconds":
        raise UsageError(
            "no time was logged yet, so that nobody knows what fits into "
            f"{wish.minutes:g} minutes; ask for a number of regions, and give --seconds to "
            "`voxloop collect`"
        )
    afforded = Budget(60 * wish.minutes, "seconds").affordable(queries)
    return afforded or queries[:1]  # whoever has time for half a slice is asked for one


def pool_of(workspace: Workspace, cut: Cut = _PLANES) -> Pool:
    """The regions of all cases: annotated, asked for, or open.

    What somebody skipped in whatever round counts as asked for: a slice that cannot be read stays
    doubtful, and would be asked for again and again.

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
                cut,
            )
            for record in records
        )
    )
    waiting = (*workspace.open_queries(), *workspace.skipped_queries())
    return pool.with_asked(stored.query for stored in waiting)


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


def _ask(
    workspace: Workspace, record: Round, queries: tuple[Query, ...], actor: str
) -> tuple[StoredQuery, ...]:
    layout = workspace.layout
    stored = tuple(StoredQuery(n, query) for n, query in enumerate(queries, start=1))
    with open_staging(layout) as staging, staging.commit("suggest", actor) as commit:
        put_queries(commit, layout, record.number, stored)
        put_round(commit, layout, record.advanced(RoundStage.ANNOTATING))
    return queries_of(layout, record.number)
