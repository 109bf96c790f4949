"""Typicality: the most ordinary region of each group that looks alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from voxloop.active.query import Query
from voxloop.active.spread.clusters import pick_typical
from voxloop.active.strategies.context import SelectionContext
from voxloop.active.strategies.described import Source, describe_regions

__all__ = ["TypicalRegions"]

_SEED = 0
"""Grouping starts from draws; always the same ones, so that nothing is left to chance."""


@dataclass(frozen=True)
class TypicalRegions:
    """Group regions by how they look and take the densest point of the largest new groups.

    With few labels, what is common teaches more than what is odd (TypiClust, Hacohen et al.
    2022). As many groups as regions are or will be chosen, up to 500.

    Attributes:
        key: the name it is registered by.
        source: what regions are compared by.
        neighbours: how many near ones say how dense it is, 1 or more.
    """

    key: str = "typical"
    source: Source = "scan"
    neighbours: int = 20
    needs_model: bool = False

    def query(self, context: SelectionContext) -> tuple[Query, ...]:
        """Choose `context.count` regions; the generator is not touched."""
        regions = describe_regions(context, self.source)
        place = {row: number for number, row in enumerate(regions.open_rows.tolist())}
        rng = np.random.default_rng(_SEED)
        found = pick_typical(regions.rows, regions.taken_rows, context.count, rng, self.neighbours)
        picks = []
        for row, size, before in zip(found.picks.tolist(), found.sizes, found.before, strict=True):
            covered = f"of which {before} were chosen or annotated before" if before else "all new"
            reason = (
                f"typical of {size} regions that look alike, {covered}, judged by {regions.source}"
            )
            picks.append((context.pool.candidates[place[row]], reason))
        return context.in_order(picks, self.key)
