"""Which cases train and which validate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from voxloop.errors import UsageError

__all__ = ["Fold", "k_folds", "leave_one_out"]


@dataclass(frozen=True)
class Fold:
    """One division of the cases in two; ids ascending, none in both parts.

    Attributes:
        train: ids of the cases to learn from.
        validation: ids of the cases to be scored on.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]


def k_folds(ids: Iterable[str], k: int, seed: int) -> tuple[Fold, ...]:
    """Divide cases into `k` folds; each case validates exactly once.

    The result depends on the set of ids and the seed, not on the order of the ids. Validation
    parts differ in size by one case at most.

    Raises:
        UsageError: unless 2 <= k <= the number of cases.
    """
    ordered = sorted(set(ids))
    if not 2 <= k <= len(ordered):
        raise UsageError(f"{len(ordered)} cases cannot be divided into {k} folds; use 2 or more, "
                         "and no more than there are cases")  # fmt: skip
    shuffled = np.random.default_rng(seed).permutation(len(ordered))
    parts = [{ordered[i] for i in part} for part in np.array_split(shuffled, k)]
    return tuple(_fold(ordered, part) for part in parts)


def leave_one_out(ids: Iterable[str]) -> tuple[Fold, ...]:
    """Let each case in turn validate, in ascending order, all others train.

    Raises:
        UsageError: if there are fewer than two cases.
    """
    ordered = sorted(set(ids))
    if len(ordered) < 2:
        raise UsageError("leaving one case out needs at least two cases")
    return tuple(_fold(ordered, {one}) for one in ordered)


def _fold(ordered: list[str], validation: set[str]) -> Fold:
    return Fold(
        tuple(one for one in ordered if one not in validation),
        tuple(one for one in ordered if one in validation),
    )
