"""The seed set: what to label before there is a model, through the middle of the volumes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from voxloop.active.pool import Candidate
from voxloop.active.query import Query
from voxloop.active.strategies.context import SelectionContext

__all__ = ["SeedSet"]


@dataclass(frozen=True)
class SeedSet:
    """One slice per case, cases drawn at random, at evenly spread depths around the middle.

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
        """Choose `context.count` slices; an open slice near the wanted depth where it is taken."""
        cases = context.pool.open_cases
        left = {case.case_id: list(case.open_slices) for case in cases}
        low, high = self.depths
        steps = (np.arange(context.count) + 0.5) / context.count
        wanted = (low + (high - low) * steps).tolist()
        # dealt like cards, so that neighbours in depth go to different cases
        turns = [cases[i] for i in context.rng.permutation(len(cases))]
        picks = []
        for depth in wanted:
            while not left[turns[0].case_id]:
                turns.pop(0)
            case = turns.pop(0)
            turns.append(case)
            free = np.asarray(left[case.case_id])
            nearest = np.abs(free + 0.5 - depth * case.slice_count).argmin()
            index = left[case.case_id].pop(int(nearest))
            share = f"{(index + 0.5) / case.slice_count:.0%}"
            reason = f"seed set: a slice at {share} of the depth, before there is a model"
            picks.append((Candidate(case.case_id, index), reason))
        order = context.rng.permutation(len(picks))
        return context.in_order((picks[i] for i in order), self.key)
