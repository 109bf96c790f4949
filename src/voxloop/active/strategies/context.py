"""What a query strategy is given, and what it must give back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from voxloop.active.cost.effort import expected_efforts
from voxloop.active.cost.model import CostModel
from voxloop.active.doubt.acquisition import Members, ScoreArray
from voxloop.active.pool import Candidate, CasePool, Pool
from voxloop.active.query import Query
from voxloop.errors import DataError, Problem, UsageError
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import Volume

__all__ = ["FeatureArray", "SelectionContext", "Strategy"]

T = TypeVar("T")

FeatureArray = npt.NDArray[np.floating[Any]]
"""(F, a, b, c): F features in cells that span a case's grid evenly."""


@dataclass(frozen=True, eq=False)
class SelectionContext:
    """All a strategy may look at.

    Attributes:
        pool: what can be asked for.
        query_size: how many regions are wanted, 1 or more.
        rng: the only source of chance; strategies advance it.
        costs: what a region is expected to cost.
        labels: the label table; channel c > 0 of a prediction belongs to its c-th value.
        predict: gives a case's probabilities of one or more members (M, C, I, J, K) on the
            case's own grid; None before there is a model.
        scans: gives a case's channels, for strategies that look at images without a model.
        embed: gives the network's features of a case (F, a, b, c) on a coarse grid that spans
            the case's grid evenly; None before there is a model.
        round_number: of the selections with a model, from 1 on.

    Raises:
        UsageError: if no region is wanted, or none is left to ask for.
    """

    pool: Pool
    query_size: int
    rng: np.random.Generator
    costs: CostModel
    labels: LabelTable
    predict: Callable[[str], Members] | None = None
    scans: Callable[[str], tuple[Volume, ...]] | None = None
    embed: Callable[[str], FeatureArray] | None = None
    round_number: int = 1

    def __post_init__(self) -> None:
        if self.query_size < 1:
            raise UsageError(f"a query size of 1 or more is needed, found {self.query_size}")
        if not self.pool.candidates:
            raise UsageError(
                "nothing is left to ask for: every region of the pool is annotated, skipped or "
                "asked for already; add cases or collect what was asked"
            )

    @property
    def count(self) -> int:
        """How many queries to give: the query size, or all that is left of the pool."""
        return min(self.query_size, len(self.pool.candidates))

    def each_prediction(self, summarise: Callable[[CasePool, Members], T]) -> list[T]:
        """Predict every case that has open regions, one at a time, and keep a summary of each.

        Only one case's probabilities are in memory at any moment, provided that the summary
        holds no reference to them. Each case is predicted once.

        Args:
            summarise: called with a case and its checked probabilities, in the pool's order.

        Raises:
            UsageError: if there is no model yet.
            DataError: if a prediction is not finite, or does not fit the case's grid or the
                label table.
        """
        return [summarise(case, self._prediction(case)) for case in self.pool.open_cases]

    def costs_of(self, case: CasePool, members: Members) -> ScoreArray:
        """What each region of a case is expected to cost, (n,), given what is predicted there."""
        if not self.costs.calibrated:
            return self.costs.by_size(case.voxel_counts)
        efforts = expected_efforts(members, case.spacing_mm, case.lattices, case.axis)
        return self.costs.seconds(efforts)

    def query(
        self,
        candidate: Candidate,
        score: float,
        strategy: str,
        reason: str,
        cost: float | None = None,
    ) -> Query:
        """Make a query of a region; the reason also says so when the pool runs out with it."""
        region, left = self.pool.region(candidate), len(self.pool.candidates)
        if left <= self.query_size:
            reason = f"{reason}; this selection takes the last {left} open regions of the pool"
        expected = self.costs.cost(region) if cost is None else cost
        return Query(candidate.case_id, region, score, strategy, reason, expected, self.costs.unit)

    def in_order(self, picks: Iterable[tuple[Candidate, str]], strategy: str) -> tuple[Query, ...]:
        """Make queries of picks (region, reason) that have an order but no measured score.

        The score then tells the order only: 1 for the first, evenly down to 1/n for the last.
        """
        listed = list(picks)
        return tuple(
            self.query(candidate, (len(listed) - place) / len(listed), strategy, reason)
            for place, (candidate, reason) in enumerate(listed)
        )

    def _prediction(self, case: CasePool) -> Members:
        if self.predict is None:
            raise UsageError(
                "this strategy needs a trained model, and there is none yet; label a seed set "
                "and train first, or choose a strategy that needs no model"
            )
        members = self.predict(case.case_id)
        where, expected = (
            f'prediction of case "{case.case_id}"',
            (len(self.labels) + 1, *case.shape),
        )
        if members.ndim != 5 or not len(members) or members.shape[1:] != expected:
            raise DataError(
                Problem(
                    where,
                    f"probabilities of one or more members, each of shape {expected}",
                    f"{members.shape}",
                    "predict on the case's own grid with a model of this label table",
                )
            )
        if not np.isfinite(members.sum(dtype=np.float64)):  # one pass, no mask of the same size
            raise DataError(
                Problem(
                    where,
                    "finite probabilities",
                    "values that are infinite or not a number",
                    "check the scan's voxels, then train again",
                )
            )
        return members


class Strategy(Protocol):
    """A query strategy: acquisition, aggregation, diversity and exclusion in one.

    It gives `context.count` queries, best first, all of open regions, none twice; the same for
    the same pool and generator state, in whatever order the cases were listed.
    """

    @property
    def key(self) -> str:
        """The name it is registered and recorded by."""

    @property
    def needs_model(self) -> bool:
        """True if it calls for predictions, so that it cannot choose the seed set."""

    def query(self, context: SelectionContext) -> tuple[Query, ...]:
        """Choose what to ask for next."""
