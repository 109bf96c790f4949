"""Evenly spaced regions over cases and positions, without chance and without a model."""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from voxloop.active.pool import Candidate, CasePool
from voxloop.active.query import Query
from voxloop.active.strategies.context import SelectionContext
from voxloop.active.strategies.placement import main_axis, places

__all__ = ["StridedSlices"]

_GOLDEN = (math.sqrt(5) - 1) / 2
"""Multiples of the golden section, taken modulo 1, are evenly spread for any number of them."""


@dataclass(frozen=True)
class StridedSlices:
    """Fill the largest gaps: the case with the fewest slices first, its widest gap first.

    The first region of a case lies at a depth that differs from case to case, so that together
    they cover the whole anatomy; every further one halves the widest gap of its case. So rounds
    continue one another instead of repeating. Strided slices are a strong baseline at no cost
    (Burmeister et al. 2022, arXiv 2207.00845).
    """

    key: str = "strided"
    needs_model: bool = False

    def query(self, context: SelectionContext) -> tuple[Query, ...]:
        """Choose `context.count` regions; the generator is not touched."""
        cases = context.pool.open_cases
        rank = {case.case_id: i * _GOLDEN % 1 for i, case in enumerate(context.pool.cases)}
        taken = {case.case_id: set(case.taken) for case in cases}
        left = {case.case_id: set(case.open_regions) for case in cases}
        met = sum(len(case.taken) for case in context.pool.cases)
        picks = []
        queue = [(len(taken[c.case_id]), rank[c.case_id], c.case_id) for c in cases]
        heapq.heapify(queue)
        for number in range(met + 1, met + 1 + context.count):
            case = context.pool.by_id[queue[0][2]]
            done, free = taken[case.case_id], sorted(left[case.case_id])
            if done:
                index = _middle_of_widest_gap(case, free, done)
                reason = f"the widest gap between the {len(done)} chosen so far in this case"
            else:
                depth = number * _GOLDEN % 1
                index = _at_depth(case, free, depth)
                reason = f"the first of this case, at {depth:.0%} of its depth"
            done.add(index)
            left[case.case_id].remove(index)
            heapq.heappop(queue)
            if left[case.case_id]:
                heapq.heappush(queue, (len(done), rank[case.case_id], case.case_id))
            picks.append((Candidate(case.case_id, index), f"evenly spaced: {reason}"))
        return context.in_order(picks, self.key)


def _at_depth(case: CasePool, free: Sequence[int], depth: float) -> int:
    """The region whose extent holds a depth along its tiling's axis, in the middle otherwise."""
    away = np.abs(places(case)[list(free)] - 0.5)
    axes = [main_axis(case, index) for index in free]
    rows = np.arange(len(free))
    away[rows, axes] = np.abs(places(case)[list(free), axes] - depth)
    return free[int(away.sum(axis=1).argmin())]


def _middle_of_widest_gap(case: CasePool, free: Sequence[int], taken: Collection[int]) -> int:
    """Of the tiling with the fewest taken, the region furthest from those and from the ends."""
    fewest = np.bincount(case.tiling[list(taken)], minlength=len(case.lattices))
    fewest[np.setdiff1d(np.arange(len(case.lattices)), case.tiling[list(free)])] = len(taken) + 1
    mine = [index for index in free if case.tiling[index] == fewest.argmin()]
    gaps = [_gap(case, index, taken) for index in mine]
    return mine[int(np.argmax(gaps))]


def _gap(case: CasePool, index: int, taken: Collection[int]) -> float:
    """Distance to the nearest taken region of the same tiling, or twice that to an end."""
    lattice = case.lattices[case.tiling[index]]
    cut = [axis for axis in range(3) if lattice.counts[axis] > 1] or [case.axis]
    extent = (np.asarray(case.shape) * case.spacing_mm)[cut]
    place = places(case)[index, cut]
    # evenly spaced slices lie half a stride from the ends
    to_end = float((np.minimum(place, 1 - place) * extent).min())
    return float(min([*case.distances_mm(index, taken).tolist(), 2 * to_end]))
