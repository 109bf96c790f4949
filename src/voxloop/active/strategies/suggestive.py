"""Suggestive annotation: the most doubtful regions first, of these the most representative."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.active.doubt.ranking import ScoreRanking
from voxloop.active.doubt.scorer import Scorer
from voxloop.active.query import CONTROL, Query
from voxloop.active.spread.cover import Represented, facility_location
from voxloop.active.spread.distances import IntArray, distance_blocks, nearest
from voxloop.active.spread.diversity import Spread, pick_spread
from voxloop.active.spread.features import RegionFeatures
from voxloop.active.strategies.context import SelectionContext
from voxloop.active.strategies.described import describe_regions
from voxloop.active.strategies.foreground import AIMED, draw_mixture
from voxloop.active.strategies.uncertain import ScoredRegions, score_regions

__all__ = ["SuggestiveRegions"]

_MOST_POINTS = 10_000
"""Regions that the shortlist has to stand for: an even sample where the pool has more."""

_MOST_SIMILARITIES = 1 << 25
"""Of the shortlist to these: 128 MiB."""


@dataclass(frozen=True)
class SuggestiveRegions:
    """Shortlist the regions of most doubt for their cost, then take those most others are like.

    Yang et al. 2017 (suggestive annotation): the shortlist is what the model cannot do yet, the
    choice from it what the pool is full of. The doubt of a young model says little, and random
    regions of the foreground are then hard to beat; so a share of the queries, the smaller the
    older the model, may be drawn there instead. They are controls as well, for a referee.

    Attributes:
        key: the name it is registered by.
        scorer: what doubt is.
        shortlist: how many times the query size is shortlisted, 1 or more.
        gap_mm: least distance between shortlisted regions of a case, and to those that are asked
            for or annotated.
        young: share of the first model's queries that are drawn as foreground-aware random draws
            them; of the r-th model's an r-th of that. 0 to 1.
    """

    key: str
    scorer: Scorer
    shortlist: int = 4
    gap_mm: float = 5.0
    young: float = 0.0
    needs_model: bool = True

    @property
    def needs_members(self) -> bool:
        """True if one member alone says nothing."""
        return self.scorer.needs_members

    def query(self, context: SelectionContext) -> tuple[Query, ...]:
        """Choose `context.count` regions; equal doubt is shortlisted at random."""
        scored = score_regions(context, self.scorer)
        drawn = self._drawn(context, scored)
        names = list(context.labels.names.values())
        chosen = [*self._suggested(context, scored, list(drawn))]
        strategy = CONTROL if chosen else self.key
        for i, label in drawn.items():
            where = "from all" if label is None else f"where the model sees {names[label]}"
            reason = f"drawn at random {where}"
            chosen.append((i, strategy, f"a control: {reason}" if strategy == CONTROL else reason))
        return tuple(
            context.query(
                scored.candidates[i],
                1 - number / context.count,
                strategy,
                reason,
                float(scored.costs[i]),
            )
            for number, (i, strategy, reason) in enumerate(chosen)
        )

    def _drawn(self, context: SelectionContext, scored: ScoredRegions) -> dict[int, int | None]:
        """Regions that are drawn while the model is young, and for which label."""
        count = round(self.young / context.round_number * context.count)
        aimed = round(AIMED * count)
        return draw_mixture(scored.seen, aimed, count, context.rng) if count else {}

    def _suggested(
        self, context: SelectionContext, scored: ScoredRegions, drawn: list[int]
    ) -> Iterator[tuple[int, str, str]]:
        """Which regions of the shortlist are taken, best first, and why."""
        count = context.count - len(drawn)
        if not count:
            return
        regions = describe_regions(context, "network")
        order = ScoreRanking().order(scored.values, context.rng).tolist()
        numbers = {scored.candidates[i]: i for i in order if i not in drawn}
        wanted = min(self.shortlist * count, len(numbers))
        demands = Spread(self.gap_mm, None)
        picked = {scored.candidates[i]: demands for i in drawn}
        listed = pick_spread(context.pool, list(numbers), wanted + len(picked), demands, picked)
        shortlist = [numbers[candidate] for candidate in listed if candidate in numbers]
        taken = np.concatenate([regions.taken_rows, regions.open_rows[drawn]])
        found = _most_alike(regions, regions.open_rows[shortlist], taken, count)
        measure, unit = self.scorer.measure, self.scorer.unit
        for pick, share in zip(found.picks, found.shares, strict=True):
            i = shortlist[pick]
            reason = (
                f"one of the {wanted} regions of most doubt ({measure} {scored.told[i]:.2g}"
                f"{unit and ' '}{unit}); judged by {regions.source}, {share:.0%} of the pool is "
                "more like it than like anything chosen or annotated so far"
            )
            yield i, self.key, reason


def _most_alike(
    regions: RegionFeatures, shortlist: IntArray, taken: IntArray, count: int
) -> Represented:
    """Of shortlisted rows those that the pool's rows are most like, beyond what is taken."""
    rows = regions.rows
    most = min(len(rows), _MOST_POINTS, max(1, _MOST_SIMILARITIES // len(shortlist)))
    points = rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
    width = float(rows.var(axis=0, dtype=np.float64).sum()) or 1.0
    similarity = np.empty((len(shortlist), len(points)), dtype=np.float32)
    for part, squared in distance_blocks(rows[shortlist], points):
        similarity[part] = _similarity(squared, width)
    covered = np.zeros(len(points), dtype=np.float32)
    if taken.size:
        covered = _similarity(nearest(points, rows[taken])[1], width)
    return facility_location(similarity, count, covered)


def _similarity(squared: npt.NDArray[np.float64], width: float) -> npt.NDArray[np.float32]:
    """1 for the same down to 0; about 0.14 for two rows at random."""
    return np.asarray(np.exp(-squared / width), dtype=np.float32)
