"""Regions the model is least sure of, kept apart from one another."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from voxloop.active.doubt.acquisition import Members, ScoreArray
from voxloop.active.doubt.aggregate import class_doubt
from voxloop.active.doubt.ranking import ScoreRanking
from voxloop.active.doubt.scorer import Scorer
from voxloop.active.pool import Candidate, CasePool
from voxloop.active.query import Query, Unit, ranked
from voxloop.active.spread.diversity import Spread, pick_spread
from voxloop.active.strategies.context import SelectionContext
from voxloop.active.strategies.foreground import labels_seen

__all__ = ["ScoredRegions", "UncertainRegions", "score_regions"]

_CROWDING = 2
"""By default a case gives at most twice its even share of a selection."""

_WEIGHED: dict[Unit, str] = {"regions": "with its size ", "seconds": "for its time ", "voxels": ""}
"""What a region's rank heeds beside its mean doubt: its gain is the total, over what it costs."""


@dataclass(frozen=True, eq=False)
class ScoredRegions:
    """What a model says of every open region of a pool, in the pool's order.

    Attributes:
        candidates: n regions.
        gains: total doubt in each, (n,).
        label_gains: of each label's predicted voxels alone, (labels, n).
        costs: what each is expected to cost, (n,).
        told: what a person is told of each, in the scorer's unit, (n,).
        doubted: the two classes that are most in doubt in each, ascending, (n, 2).
        seen: 1 where a label is predicted in a region, 0 elsewhere, (labels, n).
    """

    candidates: tuple[Candidate, ...]
    gains: ScoreArray
    label_gains: ScoreArray
    costs: ScoreArray
    told: ScoreArray
    doubted: npt.NDArray[np.int64]
    seen: ScoreArray

    @property
    def values(self) -> ScoreArray:
        """Gain for cost, (n,)."""
        return np.asarray(self.gains / self.costs)

    @property
    def label_values(self) -> ScoreArray:
        """Gain for cost of each label, (labels, n)."""
        return np.asarray(self.label_gains / self.costs)


def score_regions(context: SelectionContext, scorer: Scorer) -> ScoredRegions:
    """Score all open regions, each case predicted once."""

    def summarise(case: CasePool, members: Members) -> tuple[ScoreArray, ...]:
        wanted = list(case.open_regions)
        gains, by_label = scorer.gains(members, case)
        doubt = class_doubt(members, case)
        pair = np.sort(np.argsort(-doubt, axis=0, kind="stable")[:2], axis=0)
        costs = context.costs_of(case, members)
        found = [
            np.asarray(values)[..., wanted]
            for values in (gains, by_label, costs, scorer.told(members, case, gains), pair)
        ]
        return (*found, labels_seen(case, members))

    summaries = zip(*context.each_prediction(summarise), strict=True)
    gains, by_label, costs, told, pairs, seen = (
        np.concatenate(part, axis=-1) for part in summaries
    )
    return ScoredRegions(context.pool.candidates, gains, by_label, costs, told, pairs.T, seen)


@dataclass(frozen=True)
class UncertainRegions:
    """Take the regions of the highest score for their cost, spread over cases.

    Neighbouring slices are alike and so are their scores: without a gap a whole selection ends
    up in one corner of one case.

    Attributes:
        key: the name it is registered by.
        scorer: what doubt is.
        ranking: whether the highest come first, or are drawn.
        by_label: share of the queries that go round the labels in turn, each judged by the
            doubt in the voxels predicted as it alone; a small structure is then met as often
            as a large one (two thirds in ClaSP PE, arXiv 2601.13677).
        gap_mm: least distance to every other region of the case that is chosen, asked for or
            annotated. 5 mm: nearer slices of an organ are hardly news.
        most_per_case: regions per case and selection; None for twice the even share.
    """

    key: str
    scorer: Scorer
    ranking: ScoreRanking = field(default_factory=ScoreRanking)
    by_label: float = 0.0
    gap_mm: float = 5.0
    most_per_case: int | None = None
    needs_model: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.by_label <= 1:
            message = f"a share of the queries lies between 0 and 1, found {self}"
            raise ValueError(message)

    @property
    def needs_members(self) -> bool:
        """True if one member alone says nothing."""
        return self.scorer.needs_members

    def query(self, context: SelectionContext) -> tuple[Query, ...]:
        """Choose `context.count` regions; demands on their distance yield before the count."""
        scored = score_regions(context, self.scorer)
        limit = self._even_share(context) if self.most_per_case is None else self.most_per_case
        demands = Spread(self.gap_mm, limit)
        turns = self._by_label(context, scored)
        aimed = round(self.by_label * context.count)
        by_label = pick_spread(context.pool, list(turns), aimed, demands)
        order = self._order(context, scored.values)
        ranking = [scored.candidates[i] for i in order]
        picks = pick_spread(context.pool, ranking, context.count, demands, by_label)
        place = {candidate: i for i, candidate in enumerate(scored.candidates)}
        ranks = _ranks(scored.values)
        queries = []
        for candidate, met in picks.items():
            i = place[candidate]
            label = turns[candidate] if candidate in by_label else None
            reason = self._reason(context, scored, i, int(ranks[i]), label)
            value, cost = float(scored.values[i]), float(scored.costs[i])
            reason += _kept_apart(met, demands)
            queries.append(context.query(candidate, value, self.key, reason, cost))
        return ranked(queries)

    def _order(self, context: SelectionContext, values: ScoreArray) -> npt.NDArray[np.int64]:
        return self.ranking.order(values, context.rng, context.round_number)

    def _by_label(self, context: SelectionContext, scored: ScoredRegions) -> dict[Candidate, int]:
        """Regions in which a label is predicted, the labels in turn; and for which each is."""
        if not self.by_label:
            return {}
        lists = []
        for label in context.rng.permutation(len(scored.label_gains)).tolist():
            values = scored.label_values[label]
            order = self._order(context, values)
            lists.append([(int(i), label) for i in order if values[i] > 0])
        turns: dict[Candidate, int] = {}
        for i, label in _in_turn(lists):
            turns.setdefault(scored.candidates[i], label)
        return turns

    def _reason(
        self, context: SelectionContext, scored: ScoredRegions, i: int, rank: int, label: int | None
    ) -> str:
        names = ("background", *context.labels.names.values())
        first, second = (names[c] for c in scored.doubted[i])
        measure, unit = self.scorer.measure, self.scorer.unit
        drawn = "" if self.ranking.kind == "top" else "drawn by "
        of_label = "" if label is None else f", for {names[label + 1]}"
        return (
            f"{drawn}{measure} {scored.told[i]:.2g}{unit and ' '}{unit}{of_label}, "
            f"{_WEIGHED[context.costs.unit]}{_nth(rank)} of {len(scored.candidates)} regions; "
            f"the model hesitates between {first} and {second}"
        )

    @staticmethod
    def _even_share(context: SelectionContext) -> int:
        return math.ceil(_CROWDING * context.count / len(context.pool.open_cases))


def _ranks(values: ScoreArray) -> npt.NDArray[np.int64]:
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[np.argsort(-values, kind="stable")] = np.arange(1, len(values) + 1)
    return ranks


def _in_turn(lists: list[list[tuple[int, int]]]) -> list[tuple[int, int]]:
    longest = max((len(one) for one in lists), default=0)
    return [one[n] for n in range(longest) for one in lists if n < len(one)]


def _kept_apart(met: Spread, demands: Spread) -> str:
    if met.most_per_case is None:
        return f"; beyond {demands.most_per_case} per case, since other cases have none left"
    if met.gap_mm < demands.gap_mm:
        return f"; nearer than {demands.gap_mm:g} mm to another region, since no other is left"
    per_case = met.most_per_case
    return f"; {met.gap_mm:g} mm or more from other regions, at most {per_case} of this case"


def _nth(rank: int) -> str:
    if rank == 1:
        return "the highest"
    ending = (
        "th" if rank % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    )
    return f"{rank}{ending} highest"
