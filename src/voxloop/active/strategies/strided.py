"""Evenly spaced slices over cases and positions, without chance and without a model."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from voxloop.active.pool import Candidate, CasePool
from voxloop.active.query import Query
from voxloop.active.strategies.context import SelectionContext

__all__ = ["StridedSlices"]

_GOLDEN = (math.sqrt(5) - 1) / 2
"""Multiples of the golden section, taken modulo 1, are evenly spread for any number of them."""


@dataclass(frozen=True)
class StridedSlices:
    """Fill the largest gaps: the case with the fewest slices first, its widest gap first.

    The first slice of a case lies at a depth that differs from case to case, so that together
    they cover the whole anatomy; every further one halves the widest gap of its case. So rounds
    continue one another instead of repeating. Strided slices are a strong baseline at no cost
    (Burmeister et al. 2022, arXiv 2207.00845).
    """

    key: str = "strided"
    needs_model: bool = False

    def query(self, context: SelectionContext) -> tuple[Query, ...]:
        """Choose `context.count` slices; the generator is not touched."""
        cases = context.pool.open_cases
        rank = {case.case_id: i * _GOLDEN % 1 for i, case in enumerate(context.pool.cases)}
        taken = {case.case_id: set(case.taken) for case in cases}
        met = sum(len(case.taken) for case in context.pool.cases)
        picks = []
        for number in range(met + 1, met + 1 + context.count):
            case = min(
                (c for c in cases if len(taken[c.case_id]) < c.slice_count),
                key=lambda c: (len(taken[c.case_id]), rank[c.case_id]),
            )
            done = taken[case.case_id]
            if done:
                index = _middle_of_widest_gap(case, done)
                reason = f"the widest gap between the {len(done)} slices chosen so far in this case"
            else:
                index = int(number * _GOLDEN % 1 * case.slice_count)
                depth = f"{(index + 0.5) / case.slice_count:.0%}"
                reason = f"the first slice of this case, at {depth} of its depth"
            done.add(index)
            picks.append((Candidate(case.case_id, index), f"evenly spaced: {reason}"))
        return context.in_order(picks, self.key)


def _middle_of_widest_gap(case: CasePool, taken: Collection[int]) -> int:
    free: Sequence[int] = [i for i in range(case.slice_count) if i not in taken]
    places = np.asarray(free)
    to_taken = np.abs(places[:, None] - np.asarray(sorted(taken))).min(axis=1)
    to_border = np.minimum(places + 0.5, case.slice_count - 0.5 - places)
    # evenly spaced slices lie half a stride from the borders
    return free[int(np.minimum(to_taken, 2 * to_border).argmax())]
