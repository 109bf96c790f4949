"""Slices the model is least sure of, kept apart from one another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.active.acquisition import Acquisition, ProbArray, ScoreArray
from voxloop.active.aggregate import Aggregation, class_doubt, slice_mean
from voxloop.active.diversity import Spread, pick_spread
from voxloop.active.pool import CasePool
from voxloop.active.query import Query, ranked
from voxloop.active.strategies.context import SelectionContext

__all__ = ["UncertainSlices"]

_CROWDING = 2
"""By default a case gives at most twice its even share of a selection."""


@dataclass(frozen=True)
class UncertainSlices:
    """Score every open slice by the model's doubt and take the highest, spread over cases.

    Neighbouring slices are alike and so are their scores: without a gap a whole selection ends
    up in one corner of one case. Ties are broken at random.

    Attributes:
        key: the name it is registered by.
        measure: what the score is, as it reads before the number, e.g. "mean entropy".
        unit: what follows the number, e.g. "nats"; empty for none.
        acquisition: probabilities to a score per voxel.
        aggregation: scores per voxel to a score per slice.
        gap_mm: least distance to every other slice of the case that is chosen, asked for or
            annotated. 5 mm: nearer slices of an organ are hardly news.
        most_per_case: slices per case and selection; None for twice the even share.
    """

    key: str
    measure: str
    unit: str
    acquisition: Acquisition
    aggregation: Aggregation = slice_mean
    gap_mm: float = 5.0
    most_per_case: int | None = None
    needs_model: bool = True

    def query(self, context: SelectionContext) -> tuple[Query, ...]:
        """Choose `context.count` slices; demands on their distance yield before the count."""
        candidates = context.pool.candidates
        summaries = context.each_prediction(self._summarise)
        scores = np.concatenate([score for score, _ in summaries])
        doubted = np.concatenate([pair for _, pair in summaries])
        order = np.lexsort((context.rng.permutation(len(scores)), -scores)).tolist()
        place = {candidates[i]: (rank, i) for rank, i in enumerate(order, start=1)}
        limit = self._even_share(context) if self.most_per_case is None else self.most_per_case
        demands = Spread(self.gap_mm, limit)
        picks = pick_spread(context.pool, list(place), context.count, demands)
        names = ("background", *context.labels.names.values())
        queries = []
        for candidate, met in picks.items():
            rank, i = place[candidate]
            first, second = (names[c] for c in doubted[i])
            reason = (
                f"{self.measure} {scores[i]:.2g}{self.unit and ' '}{self.unit}, {_nth(rank)} of "
                f"{len(candidates)} slices; the model hesitates between {first} and {second}"
                f"{_kept_apart(met, demands)}"
            )
            queries.append(context.query(candidate, float(scores[i]), self.key, reason))
        return ranked(queries)

    def _summarise(
        self, case: CasePool, probs: ProbArray
    ) -> tuple[ScoreArray, npt.NDArray[np.int64]]:
        """Per open slice: its score (n,), and the two classes most in doubt (n, 2)."""
        open_slices = list(case.open_slices)
        scores = self.aggregation(self.acquisition(probs), case.axis)[open_slices]
        doubt = class_doubt(probs, case.axis)[:, open_slices]
        return scores, np.sort(np.argsort(-doubt, axis=0, kind="stable")[:2].T, axis=1)

    @staticmethod
    def _even_share(context: SelectionContext) -> int:
        return math.ceil(_CROWDING * context.count / len(context.pool.open_cases))


def _kept_apart(met: Spread, demands: Spread) -> str:
    if met.most_per_case is None:
        return f"; beyond {demands.most_per_case} per case, since other cases have none left"
    if met.gap_mm < demands.gap_mm:
        return f"; nearer than {demands.gap_mm:g} mm to another slice, since no other is left"
    per_case = met.most_per_case
    return f"; {met.gap_mm:g} mm or more from other slices, at most {per_case} of this case"


def _nth(rank: int) -> str:
    if rank == 1:
        return "the highest"
    ending = (
        "th" if rank % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    )
    return f"{rank}{ending} highest"
