"""What labelling costs, in one currency for slices, boxes and volumes, and what is left of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import median

from voxloop.active.pool import Pool
from voxloop.active.query import Query, Unit
from voxloop.errors import DataError, LimitError, Problem, UsageError
from voxloop.volume.boxes import Box

__all__ = ["Budget", "CostModel", "LoggedTime", "slices_for_share"]

_ROUNDING = 1e-9


@dataclass(frozen=True)
class LoggedTime:
    """How long a person took for one delivery.

    Attributes:
        voxel_count: voxels that were looked at, 1 or more.
        seconds: time spent, above zero; a delivery without a time has no `LoggedTime`.

    Raises:
        DataError: if either is not above zero and finite.
    """

    voxel_count: int
    seconds: float

    def __post_init__(self) -> None:
        if self.voxel_count < 1 or not (math.isfinite(self.seconds) and self.seconds > 0):
            raise DataError(
                Problem(
                    "logged time",
                    "voxels and seconds above zero",
                    f"{self.voxel_count} voxels in {self.seconds} s",
                    "correct the time or leave it out",
                )
            )


@dataclass(frozen=True)
class CostModel:
    """The expected cost of a region: proportional to its voxels.

    Coarse on purpose. A person's time follows the structures' outlines more than the frame of
    the slice, but what a slice shows is unknown before it is labelled, and a cost that guessed
    it from the prediction would favour slices the model believes to be empty.

    Attributes:
        unit: the currency.
        per_voxel: cost of one voxel, above zero.
    """

    unit: Unit = "voxels"
    per_voxel: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.per_voxel) and self.per_voxel > 0):
            message = f"the cost of a voxel is finite and above zero, found {self.per_voxel}"
            raise ValueError(message)

    @classmethod
    def from_times(cls, times: Iterable[LoggedTime]) -> CostModel:
        """Seconds at the median rate of the deliveries logged; voxels if there are none.

        The median, because a clock that ran over lunch must not set the price.
        """
        rates = [time.seconds / time.voxel_count for time in times]
        return cls("seconds", median(rates)) if rates else cls()

    def cost(self, region: Box) -> float:
        """Expected cost of labelling `region`, in `unit`."""
        return self.per_voxel * region.voxel_count


@dataclass(frozen=True)
class Budget:
    """What may be spent on labels, and what was.

    Attributes:
        limit: the most that may be spent, above zero, in `unit`.
        unit: the currency.
        spent: spent so far, from 0 to `limit`.

    Raises:
        UsageError: if the numbers are not so.
    """

    limit: float
    unit: Unit
    spent: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.limit) and 0 <= self.spent <= self.limit and self.limit > 0):
            raise UsageError(
                f"a budget is a limit above zero, of which at most all is spent; found "
                f"{self.spent:g} of {self.limit:g} {self.unit}"
            )

    @property
    def remaining(self) -> float:
        """What may still be spent, in `unit`."""
        return self.limit - self.spent

    def affordable(self, queries: Iterable[Query]) -> tuple[Query, ...]:
        """The longest beginning of `queries` that the remaining budget pays for."""
        total, kept = 0.0, []
        for query in queries:
            total += self._cost(query)
            if total > self._most:
                break
            kept.append(query)
        return tuple(kept)

    def charge(self, queries: Iterable[Query]) -> Budget:
        """The budget after `queries`.

        Raises:
            LimitError: if they cost more than what remains.
            UsageError: if they are counted in another unit.
        """
        total = sum(self._cost(query) for query in queries)
        if total > self._most:
            raise LimitError(
                f"the queries cost {total:g} {self.unit}, but {self.remaining:g} of "
                f"{self.limit:g} {self.unit} remain; ask for fewer or raise the budget"
            )
        return replace(self, spent=min(self.limit, self.spent + total))

    @property
    def _most(self) -> float:
        return self.remaining + _ROUNDING * self.limit

    def _cost(self, query: Query) -> float:
        if query.unit != self.unit:
            raise UsageError(
                f"the budget is in {self.unit}, the query for {query.case_id} in {query.unit}; "
                "set the budget in the unit of the queries"
            )
        return query.cost


def slices_for_share(pool: Pool, share: float) -> int:
    """How many slices are at most `share` of the pool's (annotated ones included); at least one.

    Args:
        pool: the cases.
        share: above 0 up to 1.

    Raises:
        UsageError: if the share is out of range.
    """
    if not 0 < share <= 1:
        raise UsageError(f"a share of the slices lies above 0 and up to 1, found {share}")
    return max(1, math.floor(share * pool.slice_count + _ROUNDING))
