"""Random regions, each as likely as any other: the baseline everything must beat."""

from __future__ import annotations

from dataclasses import dataclass

from voxloop.active.query import Query
from voxloop.active.strategies.context import SelectionContext

__all__ = ["RandomSlices"]


@dataclass(frozen=True)
class RandomSlices:
    """Draw regions uniformly from all open regions, without replacement."""

    key: str = "random_slices"
    needs_model: bool = False

    def query(self, context: SelectionContext) -> tuple[Query, ...]:
        """Draw `context.count` regions."""
        candidates = context.pool.candidates
        drawn = context.rng.permutation(len(candidates))[: context.count]
        reason = f"drawn at random from all {len(candidates)} open regions"
        return context.in_order(((candidates[i], reason) for i in drawn), self.key)
