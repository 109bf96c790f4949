"""What a query strategy is given, and what it must give back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from voxloop.active.acquisition import ProbArray
from voxloop.active.budget import CostModel
from voxloop.active.pool import Candidate, CasePool, Pool
from voxloop.active.query import Query
from voxloop.errors import DataError, Problem, UsageError
from voxloop.volume.labels import LabelTable

__all__ = ["SelectionContext", "Strategy"]

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class SelectionContext:
    """All a strategy may look at.

    Attributes:
        pool: what can be asked for.
        query_size: how many slices are wanted, 1 or more.
        rng: the only source of chance; strategies advance it.
        costs: what a region is expected to cost.
        labels: the label table; channel c > 0 of a prediction belongs to its c-th value.
        predict: gives a case's probabilities (C, I, J, K) on the case's own grid; None before
            there is a model.

    Raises:
        UsageError: if no slice is wanted, or none is left to ask for.
    """

    pool: Pool
    query_size: int
    rng: np.random.Generator
    costs: CostModel
    labels: LabelTable
    predict: Callable[[str], ProbArray] | None = None

    def __post_init__(self) -> None:
        if self.query_size < 1:
            raise UsageError(f"a query size of 1 or more is needed, found {self.query_size}")
        if not self.pool.candidates:
            raise UsageError(
                "nothing is left to ask for: every slice of the pool is annotated or asked for "
                "already; add cases or collect what was asked"
            )

    @property
    def count(self) -> int:
        """How many queries to give: the query size, or all that is left of the pool."""
        return min(self.query_size, len(self.pool.candidates))

    def each_prediction(self, summarise: Callable[[CasePool, ProbArray], T]) -> list[T]:
        """Predict every case that has open slices, one at a time, and keep a summary of each.

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

    def query(self, candidate: Candidate, score: float, strategy: str, reason: str) -> Query:
        """Make a query of a slice; the reason also says so when the pool runs out with it."""
        region, left = self.pool.region(candidate), len(self.pool.candidates)
        if left <= self.query_size:
            reason = f"{reason}; this selection takes the last {left} open slices of the pool"
        cost = self.costs.cost(region)
        return Query(candidate.case_id, region, score, strategy, reason, cost, self.costs.unit)

    def in_order(self, picks: Iterable[tuple[Candidate, str]], strategy: str) -> tuple[Query, ...]:
        """Make queries of picks (slice, reason) that have an order but no measured score.

        The score then tells the order only: 1 for the first, evenly down to 1/n for the last.
        """
        listed = list(picks)
        return tuple(
            self.query(candidate, (len(listed) - place) / len(listed), strategy, reason)
            for place, (candidate, reason) in enumerate(listed)
        )

    def _prediction(self, case: CasePool) -> ProbArray:
        if self.predict is None:
            raise UsageError(
                "this strategy needs a trained model, and there is none yet; label a seed set "
                "and train first, or choose a strategy that needs no model"
            )
        probs = self.predict(case.case_id)
        where, expected = (
            f'prediction of case "{case.case_id}"',
            (len(self.labels) + 1, *case.shape),
        )
        if probs.shape != expected:
            raise DataError(
                Problem(
                    where,
                    f"probabilities of shape {expected}",
                    f"{probs.shape}",
                    "predict on the case's own grid with a model of this label table",
                )
            )
        if not np.isfinite(probs.sum(dtype=np.float64)):  # one pass, no mask of the same size
            raise DataError(
                Problem(
                    where,
                    "finite probabilities",
                    "values that are infinite or not a number",
                    "check the scan's voxels, then train again",
                )
            )
        return probs


class Strategy(Protocol):
    """A query strategy: acquisition, aggregation, diversity and exclusion in one.

    It gives `context.count` queries, best first, all of open slices, none twice; the same for
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
