"""Foreground-aware random: the baseline no published method reliably beats."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.active.acquisition import ProbArray
from voxloop.active.pool import CasePool
from voxloop.active.query import Query
from voxloop.active.strategies.context import SelectionContext

__all__ = ["ForegroundRandom"]

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ForegroundRandom:
    """Draw a share of the slices where the current model sees a label, the rest uniformly.

    The foreground draws go round the labels in turn, so that a small structure is met as often
    as a large one; a label's slice is drawn uniformly from those with at least one voxel that
    the model gives to it. A label that the model predicts nowhere is reached by the uniform
    draws only. The order is shuffled, so that a list left half done keeps the mixture.

    The published mixtures (nnActive's foreground-aware random baselines, arXiv 2511.19183) draw
    two thirds, or one third, of their patches on or at the border of the *reference*
    foreground, which a simulation has and a person at work has not. This one looks at the
    prediction alone: what it reaches in a simulation, it can reach at work.

    Attributes:
        share: share of the query size drawn from predicted foreground, 0 to 1.
    """

    share: float = 2 / 3
    key: str = "foreground_random"
    needs_model: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            message = f"the share of foreground slices lies between 0 and 1, found {self.share}"
            raise ValueError(message)

    def query(self, context: SelectionContext) -> tuple[Query, ...]:
        """Draw `context.count` slices; too few foreground slices are made up for uniformly."""
        candidates, rng = context.pool.candidates, context.rng
        seen = np.concatenate(context.each_prediction(_labels_seen), axis=1)
        names = list(context.labels.names.values())
        wanted = math.floor(self.share * context.count + 0.5)
        reasons: dict[int, str] = {}
        for index, label in _draw_by_label(seen, wanted, rng).items():
            reasons[index] = (
                f"drawn at random from the {np.count_nonzero(seen[label])} of {len(candidates)} "
                f"open slices in which the model sees {names[label]}"
            )
        others = np.setdiff1d(np.arange(len(candidates)), list(reasons))
        for index in rng.permutation(others)[: context.count - len(reasons)].tolist():
            reasons[index] = f"drawn at random from all {len(candidates)} open slices"
        order = rng.permutation(list(reasons)).tolist()
        return context.in_order(((candidates[i], reasons[i]) for i in order), self.key)


def _labels_seen(case: CasePool, probs: ProbArray) -> BoolArray:
    """Which label (rows) is predicted anywhere in which open slice (columns)."""
    highest = probs[0].copy()
    predicted = np.zeros(case.shape, dtype=np.uint8)
    for channel, prob in enumerate(probs[1:], start=1):  # an argmax without its int64 volume
        predicted[prob > highest] = channel
        np.maximum(highest, prob, out=highest)
    across = tuple(axis for axis in range(3) if axis != case.axis)
    seen = [(predicted == channel).any(axis=across) for channel in range(1, probs.shape[0])]
    return np.stack(seen)[:, list(case.open_slices)]


def _draw_by_label(seen: BoolArray, count: int, rng: np.random.Generator) -> dict[int, int]:
    """Draw columns label by label in turn, as {column: label}; fewer when there are no more."""
    left = seen.copy()
    turns = rng.permutation(np.flatnonzero(left.any(axis=1))).tolist()
    drawn: dict[int, int] = {}
    while len(drawn) < count and left.any():
        for label in turns:
            columns = np.flatnonzero(left[label])
            if len(drawn) < count and columns.size:
                column = int(rng.choice(columns))
                drawn[column] = label
                left[:, column] = False
    return drawn
