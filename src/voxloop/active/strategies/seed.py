"""The seed set: what to label before there is a model, through the middle of the volumes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from voxloop.active.doubt.acquisition import ScoreArray
from voxloop.active.pool import Candidate, CasePool
from voxloop.active.query import Query
from voxloop.active.strategies.context import SelectionContext
from voxloop.active.strategies.placement import main_axis, places

__all__ = ["SeedSet"]


@dataclass(frozen=True)
class SeedSet:
    """One region per case, cases drawn at random, at evenly spread depths around the middle.

    A scan or crop is framed around what it was made for, so the middle half of the slices shows
    it far more often than the ends do (hippocampus crops: nearly always, against seven in ten of
    all axial slices). No label and no image is looked at. Where the structure lies off the middle,
    as the spleen in a trunk CT, set `depths`, or choose the first slices by eye. With more
    slices than cases, those of one case are evenly spaced as well.

    Attributes:
        depths: the part of each volume to stay in, as shares of its depth, ascending, 0 to 1.
    """

    depths: tuple[float, float] = (0.25, 0.75)
    key: str = "seed"
    needs_model: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.depths[0] < self.depths[1] <= 1:
            message = f"depths are two ascending shares between 0 and 1, found {self.depths}"
            raise ValueError(message)

    def query(self, context: SelectionContext) -> tuple[Query, ...]:
        """Choose `context.count` regions; an open one near the wanted depth where it is taken."""
        cases = context.pool.open_cases
        left = {case.case_id: list(case.open_regions) for case in cases}
        low, high = self.depths
        steps = (np.arange(context.count) + 0.5) / context.count
        wanted = (low + (high - low) * steps).tolist()
        # dealt like cards, so that neighbours in depth go to different cases
        turns = [cases[i] for i in context.rng.permutation(len(cases))]
        picks = []
        for number, depth in enumerate(wanted):
            while not left[turns[0].case_id]:
                turns.pop(0)
            case = turns.pop(0)
            turns.append(case)
            free = left[case.case_id]
            place = int(_misses(case, free, depth, number).argmin())
            index = free.pop(place)
            share = f"{places(case)[index, main_axis(case, index)]:.0%}"
            reason = f"seed set: at {share} of the depth, before there is a model"
            picks.append((Candidate(case.case_id, index), reason))
        order = context.rng.permutation(len(picks))
        return context.in_order((picks[i] for i in order), self.key)


def _misses(case: CasePool, regions: list[int], depth: float, turn: int) -> ScoreArray:
    """How far regions are from a depth along their tiling's axis and the middle of the others.

    Where there are several tilings (planes), they take turns.
    """
    wanted = turn % len(case.lattices)
    away = np.abs(places(case)[regions] - 0.5)
    for row, index in enumerate(regions):
        axis = main_axis(case, index)
        away[row, axis] = abs(places(case)[index, axis] - depth)
    other = case.tiling[regions] != wanted
    return np.asarray(away.sum(axis=1) + 3 * other)
