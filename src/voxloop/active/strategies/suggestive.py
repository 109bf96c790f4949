"""Suggestive annotation: the most doubtful regions first, of these the most representative."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.active.doubt.ranking import ScoreRanking
from voxloop.active.doubt.scorer import Scorer
from voxloop.active.query import Query
from voxloop.active.spread.cover import Represented, facility_location
from voxloop.active.spread.distances import IntArray, distance_blocks, nearest
from voxloop.active.spread.diversity import Spread, pick_spread
from voxloop.active.spread.features import RegionFeatures
from voxloop.active.strategies.context import SelectionContext
from voxloop.active.strategies.described import describe_regions
from voxloop.active.strategies.uncertain import score_regions

__all__ = ["SuggestiveRegions"]

_MOST_POINTS = 10_000
"""Regions that the shortlist has to stand for: an even sample where the pool has more."""

_MOST_SIMILARITIES = 1 << 25
"""Of the shortlist to these: 128 MiB."""


@dataclass(frozen=True)
class SuggestiveRegions:
    """Shortlist the regions of most doubt for their cost, then take those most others are like.

    Yang et al. 2017 (suggestive annotation): the shortlist is what the model cannot do yet, the
    choice from it what the pool is full of.

    Attributes:
        key: the name it is registered by.
        scorer: what doubt is.
        shortlist: how many times the query size is shortlisted, 1 or more.
        gap_mm: least distance between shortlisted regions of a case, and to those that are asked
            for or annotated.
    """

    key: str
    scorer: Scorer
    shortlist: int = 4
    gap_mm: float = 5.0
    needs_model: bool = True

    @property
    def needs_members(self) -> bool:
        """True if one member alone says nothing."""
        return self.scorer.needs_members

    def query(self, context: SelectionContext) -> tuple[Query, ...]:
        """Choose `context.count` regions; equal doubt is shortlisted at random."""
        scored = score_regions(context, self.scorer)
        regions = describe_regions(context, "network")
        order = ScoreRanking().order(scored.values, context.rng).tolist()
        numbers = {scored.candidates[i]: i for i in order}
        wanted = min(self.shortlist * context.count, len(order))
        listed = pick_spread(context.pool, list(numbers), wanted, Spread(self.gap_mm, None))
        shortlist = [numbers[candidate] for candidate in listed]
        found = _most_alike(regions, regions.open_rows[shortlist], context.count)
        measure, unit = self.scorer.measure, self.scorer.unit
        queries = []
        for number, (pick, share) in enumerate(zip(found.picks, found.shares, strict=True)):
            i = shortlist[pick]
            doubt = scored.told[i]
            reason = (
                f"one of the {wanted} regions of most doubt ({measure} {doubt:.2g}{unit and ' '}"
                f"{unit}); judged by {regions.source}, {share:.0%} of the pool is more like it "
                "than like anything chosen or annotated so far"
            )
            score = 1 - number / context.count
            cost = float(scored.costs[i])
            queries.append(context.query(scored.candidates[i], score, self.key, reason, cost))
        return tuple(queries)


def _most_alike(regions: RegionFeatures, shortlist: IntArray, count: int) -> Represented:
    """Of shortlisted rows those that the pool's rows are most like, beyond what is taken."""
    rows = regions.rows
    most = min(len(rows), _MOST_POINTS, max(1, _MOST_SIMILARITIES // len(shortlist)))
    points = rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
    width = float(rows.var(axis=0, dtype=np.float64).sum()) or 1.0
    similarity = np.empty((len(shortlist), len(points)), dtype=np.float32)
    for part, squared in distance_blocks(rows[shortlist], points):
        similarity[part] = _similarity(squared, width)
    covered = np.zeros(len(points), dtype=np.float32)
    if regions.taken_rows.size:
        covered = _similarity(nearest(points, rows[regions.taken_rows])[1], width)
    return facility_location(similarity, count, covered)


def _similarity(squared: npt.NDArray[np.float64], width: float) -> npt.NDArray[np.float32]:
    """1 for the same down to 0; about 0.14 for two rows at random."""
    return np.asarray(np.exp(-squared / width), dtype=np.float32)
