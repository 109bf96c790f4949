"""Foreground-aware random: the baselines no published method reliably beats."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.active.doubt.acquisition import Members, highest_two
from voxloop.active.pool import CasePool
from voxloop.active.query import Query
from voxloop.active.strategies.context import SelectionContext

__all__ = ["AIMED", "ForegroundRandom", "draw_by_label", "draw_mixture", "labels_seen"]

AIMED = 2 / 3
"""Share of the draws that aim at the foreground, as published."""

WeightArray = npt.NDArray[Any]
"""(labels, n): how likely each open region is drawn for each label; 0 for never."""


@dataclass(frozen=True)
class ForegroundRandom:
    """Draw a share of the regions where the current model sees a label, the rest uniformly.

    The foreground draws go round the labels in turn, so that a small structure is met as often
    as a large one; a label's region is drawn uniformly from those with at least one voxel that
    the model gives to it, or, in the second mixture, in proportion to the outline it shows there.
    A label that the model predicts nowhere is reached by the uniform draws only. The order is
    shuffled, so that a list left half done keeps the mixture.

    The published mixtures (nnActive's foreground-aware random baselines, arXiv 2511.19183) draw
    two thirds of their patches in the foreground, or one third there and one third at its
    border, of the *reference*, which a simulation has and a person at work has not. These look
    at the prediction alone: what they reach in a simulation, they can reach at work.

    Attributes:
        share: share of the query size drawn from predicted foreground, 0 to 1.
        outline_share: share drawn from the outline of predicted labels; together at most 1.
    """

    share: float = AIMED
    outline_share: float = 0.0
    key: str = "foreground_random"
    needs_model: bool = True

    def __post_init__(self) -> None:
        if not (self.share >= 0 and self.outline_share >= 0 and self._aimed <= 1 + 1e-9):
            message = f"the shares lie between 0 and 1, together at most 1, found {self}"
            raise ValueError(message)

    def query(self, context: SelectionContext) -> tuple[Query, ...]:
        """Draw `context.count` regions; too few of the foreground are made up for uniformly."""
        candidates, rng = context.pool.candidates, context.rng
        found = context.each_prediction(_weights)
        seen, outline = (np.concatenate(part, axis=1) for part in zip(*found, strict=True))
        names = list(context.labels.names.values())
        near = math.floor(self.outline_share * context.count + 0.5)
        wanted = math.floor(self._aimed * context.count + 0.5) - near
        reasons: dict[int, str] = {}
        for index, label in draw_by_label(outline, near, rng).items():
            reasons[index] = (
                f"drawn at random along the outline that the model sees of {names[label]}"
            )
        seen[:, list(reasons)] = 0
        rest = context.count - len(reasons)
        for index, aim in draw_mixture(seen, wanted, rest, rng, taken=reasons).items():
            reasons[index] = (
                f"drawn at random from all {len(candidates)} open regions"
                if aim is None
                else f"drawn at random from the {np.count_nonzero(seen[aim])} of "
                f"{len(candidates)} open regions in which the model sees {names[aim]}"
            )
        order = rng.permutation(list(reasons)).tolist()
        return context.in_order(((candidates[i], reasons[i]) for i in order), self.key)

    @property
    def _aimed(self) -> float:
        return self.share + self.outline_share


def labels_seen(case: CasePool, members: Members) -> WeightArray:
    """Which label (rows) is predicted anywhere in which open region (columns), as 0 and 1."""
    return (_in_regions(case, _masks(members)) > 0).astype(np.float64)


def _weights(case: CasePool, members: Members) -> tuple[WeightArray, WeightArray]:
    """What `labels_seen` says, and how many voxels on the outline of each label lie there."""
    from scipy.ndimage import binary_erosion

    masks = _masks(members)
    outlines = [mask & ~binary_erosion(mask) for mask in masks]
    seen = _in_regions(case, masks) > 0
    return seen.astype(np.float64), _in_regions(case, outlines)


def _masks(members: Members) -> list[npt.NDArray[np.bool_]]:
    _, _, predicted = highest_two(members)
    return [predicted == label for label in range(1, members.shape[1])]


def _in_regions(case: CasePool, masks: list[npt.NDArray[np.bool_]]) -> WeightArray:
    return np.stack([case.sums(mask) for mask in masks])[:, list(case.open_regions)]


def draw_mixture(
    seen: WeightArray,
    aimed: int,
    count: int,
    rng: np.random.Generator,
    taken: Collection[int] = (),
) -> dict[int, int | None]:
    """Draw `aimed` columns label by label in turn and the rest uniformly: {column: label}.

    Args:
        seen: (labels, n), how likely each column is drawn for each label; 0 for never.
        aimed: at most `count`; what the labels cannot give is drawn uniformly too.
        count: columns to draw, fewer when there are no more.
        rng: source of chance.
        taken: columns that are not drawn; 0 in `seen`.
    """
    drawn: dict[int, int | None] = {**draw_by_label(seen, aimed, rng)}
    others = np.setdiff1d(np.arange(seen.shape[1]), [*taken, *drawn])
    uniform = rng.permutation(others)[: count - len(drawn)].tolist()
    return drawn | dict.fromkeys(uniform)


def draw_by_label(weights: WeightArray, count: int, rng: np.random.Generator) -> dict[int, int]:
    """Draw columns label by label in turn, as {column: label}; fewer when there are no more."""
    left = weights.astype(np.float64)
    turns = rng.permutation(np.flatnonzero(left.any(axis=1))).tolist()
    drawn: dict[int, int] = {}
    while len(drawn) < count and left.any():
        for label in turns:
            total = left[label].sum()
            if len(drawn) < count and total:
                column = int(rng.choice(left.shape[1], p=left[label] / total))
                drawn[column] = label
                left[:, column] = 0
    return drawn
