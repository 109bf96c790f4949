"""Doubtful regions that differ from one another, drawn by doubt times distance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from voxloop.active.doubt.scorer import Scorer
from voxloop.active.query import Query
from voxloop.active.spread.cover import kmeans_plus_plus
from voxloop.active.strategies.context import SelectionContext
from voxloop.active.strategies.described import describe_regions, times
from voxloop.active.strategies.uncertain import score_regions

__all__ = ["GradientRegions"]


@dataclass(frozen=True)
class GradientRegions:
    """Draw regions as k-means++ draws its seeds, in the network's features scaled by doubt.

    What a region's labels would move in the network grows with the doubt, in the direction of
    its features (BADGE, Ash et al. 2020). Here the distance of a region to all that is chosen,
    asked for or annotated is multiplied by its doubt for its cost, and it is drawn with the
    square of that.

    Attributes:
        key: the name it is registered by.
        scorer: what doubt is.
    """

    key: str
    scorer: Scorer
    needs_model: bool = True

    @property
    def needs_members(self) -> bool:
        """True if one member alone says nothing."""
        return self.scorer.needs_members

    def query(self, context: SelectionContext) -> tuple[Query, ...]:
        """Draw `context.count` regions."""
        scored = score_regions(context, self.scorer)
        regions = describe_regions(context, "network")
        place = {row: number for number, row in enumerate(regions.open_rows.tolist())}
        weights = np.zeros(len(regions.rows))
        weights[regions.open_rows] = scored.values**2
        found = kmeans_plus_plus(
            regions.rows, weights, context.count, context.rng, regions.taken_rows
        )
        measure, unit = self.scorer.measure, self.scorer.unit
        queries = []
        steps = zip(found.picks.tolist(), found.reaches, found.medians, strict=True)
        for number, (row, reach, median) in enumerate(steps):
            i = place[row]
            doubt = scored.told[i]
            apart = "the first" if math.isinf(reach) else times(reach, median)
            reason = (
                f"drawn by {measure} {doubt:.2g}{unit and ' '}{unit} and how unlike it is to "
                f"all that is chosen or annotated, judged by {regions.source}: {apart}"
            )
            score = 1 - number / context.count
            cost = float(scored.costs[i])
            queries.append(context.query(scored.candidates[i], score, self.key, reason, cost))
        return tuple(queries)
