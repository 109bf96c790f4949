"""What may be spent on labels, and what is left of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from voxloop.active.pool import Pool
from voxloop.active.query import Query, Unit
from voxloop.errors import LimitError, UsageError

__all__ = ["Budget", "slices_for_share"]

_ROUNDING = 1e-9


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
    return max(1, math.floor(share * pool.tiling_count + _ROUNDING))
