"""Which cases of the shared data sets may be learned from, tuned on, and judged by.

One shuffle for all benchmarks: its last cases chose nothing, ever; its first ones are those on
which settings may be chosen. The peers' scripts, which run without the package, repeat the shuffle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["HELD_OUT", "SPLIT_SEED", "Split", "split"]

SPLIT_SEED = 12
"""Never changed, so that nobody chose it."""

HELD_OUT = {"hippocampus": 40, "fetal_brain": 5}
"""The last of the shuffle: scored on, never used to choose anything."""

_FOR_TUNING = {"hippocampus": 40, "fetal_brain": 6}
"""The first of the shuffle: what recipe and settings were chosen on."""


@dataclass(frozen=True)
class Split:
    """A data set's cases in the order of the shuffle.

    Attributes:
        tuning: may be scored on to choose settings; may be learned from where nothing is chosen.
        others: may be learned from.
        held_out: are scored on last, when nothing is chosen any more.
    """

    tuning: tuple[str, ...]
    others: tuple[str, ...]
    held_out: tuple[str, ...]

    def learn_and_score(self, *, tuning: bool = False) -> tuple[list[str], list[str]]:
        """Cases to learn from and cases to score on.

        Args:
            tuning: score on those for tuning, and do not touch the held-out ones.
        """
        if tuning:
            return [*self.others], [*self.tuning]
        return [*self.tuning, *self.others], [*self.held_out]


def split(name: str, ids: Sequence[str]) -> Split:
    """Split a shared data set.

    Args:
        name: of its folder.
        ids: of its cases, sorted.
    """
    shuffled = tuple(ids[i] for i in np.random.default_rng(SPLIT_SEED).permutation(len(ids)))
    first, last = _FOR_TUNING[name], len(ids) - HELD_OUT[name]
    return Split(shuffled[:first], shuffled[first:last], shuffled[last:])
