"""Coverage: always the region that is least like anything chosen so far."""

from __future__ import annotations

import math
from dataclasses import dataclass

from voxloop.active.query import Query
from voxloop.active.spread.cover import k_center
from voxloop.active.strategies.context import SelectionContext
from voxloop.active.strategies.described import Source, describe_regions, times

__all__ = ["CoverRegions"]


@dataclass(frozen=True)
class CoverRegions:
    """Take the region furthest from all that is chosen, asked for or annotated (core-set).

    Nothing is left to chance. From the scans alone it serves before there is any label; by the
    network's features it is the core-set of Sener and Savarese 2018.

    Attributes:
        key: the name it is registered by.
        source: what regions are compared by; the scans, too, until there is a network.
    """

    key: str = "coverage"
    source: Source = "scan"
    needs_model: bool = False

    def query(self, context: SelectionContext) -> tuple[Query, ...]:
        """Choose `context.count` regions; the generator is not touched."""
        regions = describe_regions(context, self.source)
        place = {row: number for number, row in enumerate(regions.open_rows.tolist())}
        taken = regions.taken_rows
        found = k_center(regions.rows, context.count, taken)
        picks = []
        steps = zip(found.picks.tolist(), found.reaches, found.medians, strict=True)
        for number, (row, reach, median) in enumerate(steps):
            if math.isinf(reach):
                reason = f"the most ordinary of {len(place)} regions, judged by {regions.source}"
            else:
                reason = (
                    f"judged by {regions.source}, the least like the {len(taken) + number} chosen "
                    f"or annotated so far: {times(reach, median)}"
                )
            picks.append((context.pool.candidates[place[row]], reason))
        return context.in_order(picks, self.key)
