"""Groups of points that are alike, and the most typical of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.active.spread.cover import kmeans_plus_plus
from voxloop.active.spread.distances import IntArray, Rows, distance_blocks, nearest

__all__ = ["TypicalRows", "k_means", "pick_typical", "typicality"]

_SAMPLE = 20_000
"""Rows that the centres are fitted on: more would not move them."""

_SETTLED = 1e-3
"""Fewer rows than this share changing their group is the end of the grouping."""

_MOST_CLUSTERS = 500
"""As in the published method: beyond it, groups are chosen from again."""

_SMALL = 4
"""A group of less than its even share over this is odd rather than typical: chosen last."""


def k_means(rows: Rows, count: int, rng: np.random.Generator, rounds: int = 25) -> IntArray:
    """Group rows around centres (Lloyd's algorithm after k-means++ seeding).

    Args:
        rows: (n, d).
        count: groups, 1 to n; some may end up empty where rows are the same.
        rng: the source of chance, for the seeding.
        rounds: the most times that the centres are moved.

    Returns:
        The group of each row, (n,), from 0 to below `count`.
    """
    chosen = np.linspace(0, len(rows) - 1, max(count, min(len(rows), _SAMPLE))).astype(np.int64)
    sample = rows[chosen]
    centres = sample[kmeans_plus_plus(sample, np.ones(len(sample)), count, rng).picks]
    groups = np.full(len(sample), -1)
    for _ in range(rounds):
        before, groups = groups, nearest(sample, centres)[0]
        if (groups != before).mean() < _SETTLED:
            break
        sizes = np.bincount(groups, minlength=count)
        sums = np.stack([np.bincount(groups, column, minlength=count) for column in sample.T], -1)
        moved = sums / np.maximum(sizes, 1)[:, None]
        centres = np.where(sizes[:, None] > 0, moved, centres).astype(rows.dtype)
    return nearest(rows, centres)[0]


def typicality(rows: Rows, neighbours: int = 20, references: int = 1024) -> npt.NDArray[np.float64]:
    """How dense it is around each row: one over the mean distance to its nearest neighbours.

    Hacohen et al. 2022 (TypiClust). Of many rows, neighbours are looked for among an even
    sample, so that time grows as n.

    Args:
        rows: (n, d).
        neighbours: how many count, 1 or more; fewer where there are no more.
        references: rows among which neighbours are looked for, 2 or more.

    Returns:
        (n,), above zero; 0 for a row on its own.
    """
    if len(rows) == 1:
        return np.zeros(1)
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), references)).astype(np.int64)
    among = min(neighbours, len(chosen) - 1)
    found = np.empty(len(rows))
    for part, squared in distance_blocks(rows, rows[chosen]):
        numbers = np.arange(part.start, part.start + len(squared))
        squared[numbers[:, None] == chosen] = np.inf  # not its own neighbour
        squared.partition(among - 1, axis=1)
        found[part] = np.sqrt(squared[:, :among]).mean(axis=1)
    return 1 / np.maximum(found, np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class TypicalRows:
    """Rows chosen because many others are like them.

    Attributes:
        picks: row numbers in the order chosen, (k,).
        sizes: rows of the group of each, (k,).
        before: rows of the group that were chosen or taken before it, (k,).
    """

    picks: IntArray
    sizes: IntArray
    before: IntArray


def pick_typical(
    rows: Rows, taken: IntArray, count: int, rng: np.random.Generator, neighbours: int = 20
) -> TypicalRows:
    """Group the rows and take the most typical one of the largest groups with nothing taken yet.

    As many groups as rows will be chosen or taken, up to 500. A group is chosen from again once
    all others have as many; the next one is then also far from those before.

    Args:
        rows: (n, d).
        taken: numbers of rows that count as chosen already.
        count: how many to choose, at most the rows that are not taken.
        rng: the source of chance, for the grouping.
        neighbours: as for `typicality`.
    """
    clusters = min(count + len(taken), _MOST_CLUSTERS)
    groups = k_means(rows, clusters, rng)
    sizes = np.bincount(groups, minlength=clusters)
    covered = np.bincount(groups[taken], minlength=clusters)
    is_small = sizes * _SMALL * clusters < len(rows)
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(sizes)[:-1])
    known: dict[int, npt.NDArray[np.float64]] = {}
    done = np.zeros(len(rows), dtype=np.bool_)
    done[taken] = True
    picks, befores, of = [], [], []
    for _ in range(count):
        group = int(np.lexsort((-sizes, covered, is_small, covered == sizes))[0])
        numbers = members[group]
        if group not in known:
            known[group] = typicality(rows[numbers], neighbours)
        values = known[group]
        chosen = numbers[done[numbers]]
        if chosen.size:
            values = values * np.sqrt(nearest(rows[numbers], rows[chosen])[1])
        row = int(numbers[np.where(done[numbers], -1, values).argmax()])
        picks.append(row)
        befores.append(covered[group])
        of.append(group)
        done[row] = True
        covered[group] += 1
    return TypicalRows(np.asarray(picks, np.int64), sizes[of], np.asarray(befores, np.int64))
