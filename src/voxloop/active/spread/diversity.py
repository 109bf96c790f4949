"""Keeping the regions of one selection from repeating one another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from voxloop.active.pool import Candidate, Pool

__all__ = ["Spread", "pick_spread"]

_ROUNDING_MM = 1e-6


@dataclass(frozen=True)
class Spread:
    """How far apart the regions of one selection must be.

    Attributes:
        gap_mm: least distance, centre to centre, to every other region of the case that is
            picked, asked for or annotated; 0 for none. Slices that cross are not compared.
        most_per_case: picks per case and selection, 1 or more; None for any number.
    """

    gap_mm: float
    most_per_case: int | None

    def __post_init__(self) -> None:
        if not self.gap_mm >= 0 or (self.most_per_case is not None and self.most_per_case < 1):
            message = f"a gap of 0 mm or more and 1 slice per case or more, found {self}"
            raise ValueError(message)

    def relaxed(self) -> Iterator[Spread]:
        """This, then ever weaker demands: the gap is given up first, the cases' shares last."""
        yield self
        yield replace(self, gap_mm=self.gap_mm / 2)
        yield replace(self, gap_mm=0.0)
        yield Spread(0.0, None)


def pick_spread(
    pool: Pool,
    ranking: Sequence[Candidate],
    count: int,
    spread: Spread,
    picked: Mapping[Candidate, Spread] = MappingProxyType({}),
) -> dict[Candidate, Spread]:
    """Go down a ranking and pick what is far enough from all that is picked or taken.

    Where the demands leave fewer than `count`, they are weakened step by step, so that exactly
    `count` come back as long as the ranking has as many.

    Args:
        pool: knows which regions are taken and the distance between regions.
        ranking: candidates of the pool, best first.
        count: how many are wanted.
        spread: the demands to begin with.
        picked: what is picked already; it counts, and comes first in the result.

    Returns:
        The picks, in the order picked, each with the demands it met.
    """
    picks = dict(picked)
    taken: dict[str, set[int]] = {}
    per_case = Counter(candidate.case_id for candidate in picks)
    for candidate in picks:
        taken.setdefault(candidate.case_id, set(pool.by_id[candidate.case_id].taken)).add(
            candidate.index
        )
    for demands in spread.relaxed():
        limit = count if demands.most_per_case is None else demands.most_per_case
        for candidate in ranking:
            if len(picks) == count:
                return picks
            name = candidate.case_id
            if candidate in picks or per_case[name] >= limit:
                continue
            reach_mm = demands.gap_mm - _ROUNDING_MM
            mine = taken.setdefault(name, set(pool.by_id[name].taken))
            if (pool.by_id[name].distances_mm(candidate.index, mine) < reach_mm).any():
                continue
            picks[candidate] = demands
            mine.add(candidate.index)
            per_case[name] += 1
    return picks
