"""Choosing a few points that stand for many: the furthest, drawn by distance, or most alike."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.active.spread.distances import IntArray, Rows, nearest, squared_to

__all__ = ["Cover", "Represented", "facility_location", "k_center", "kmeans_plus_plus"]

FloatArray = npt.NDArray[np.float64]

_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Cover:
    """Points chosen one after the other, and how far they were from what was chosen before.

    Attributes:
        picks: row numbers in the order chosen, (k,).
        reaches: distance of each to the nearest of all before it, (k,); infinite for the first
            of all.
        medians: the same distance of the middle one of all rows that were left, (k,).
        radius: distance of the worst covered row in the end.
    """

    picks: IntArray
    reaches: FloatArray
    medians: FloatArray
    radius: float


class _Distances:
    """How far every row is from what is chosen, while it is being chosen."""

    def __init__(self, rows: Rows, taken: IntArray) -> None:
        self.rows = rows
        self.picks: list[int] = []
        self._reaches: list[float] = []
        self._medians: list[float] = []
        self.squared = np.full(len(rows), np.inf)
        if taken.size:
            self.squared = nearest(rows, rows[taken])[1]
        self.free = np.ones(len(rows), dtype=np.bool_)
        self.free[taken] = False

    @property
    def is_blank(self) -> bool:
        """True while nothing is chosen or taken."""
        return bool(self.free.all())

    def choose(self, row: int) -> None:
        self.picks.append(row)
        self._reaches.append(float(np.sqrt(self.squared[row])))
        self._medians.append(float(np.median(np.sqrt(self.squared[self.free]))))
        self.free[row] = False
        np.minimum(self.squared, squared_to(self.rows, self.rows[row]), out=self.squared)

    def cover(self) -> Cover:
        picks = np.asarray(self.picks, dtype=np.int64)
        reaches, medians = np.asarray(self._reaches), np.asarray(self._medians)
        return Cover(picks, reaches, medians, float(np.sqrt(self.squared.max())))


def k_center(rows: Rows, count: int, taken: IntArray = _NONE) -> Cover:
    """Take the row furthest from all that is chosen, again and again.

    No other choice of as many rows can cover all within less than half of the radius reached
    (Gonzalez 1985; as core-set for active learning, Sener and Savarese 2018). Without anything
    taken the first is the row nearest to the mean. Time grows as n * (count + taken).

    Args:
        rows: (n, d).
        count: how many to choose, at most the rows that are not taken.
        taken: numbers of rows that count as chosen already.
    """
    far = _Distances(rows, taken)
    if count and far.is_blank:
        far.choose(int(squared_to(rows, rows.mean(axis=0)).argmin()))
    while len(far.picks) < count:
        far.choose(int(np.where(far.free, far.squared, -1).argmax()))
    return far.cover()


def kmeans_plus_plus(
    rows: Rows,
    weights: FloatArray,
    count: int,
    rng: np.random.Generator,
    taken: IntArray = _NONE,
) -> Cover:
    """Draw rows with a chance of weight times squared distance to the nearest chosen one.

    The seeding of k-means by Arthur and Vassilvitskii 2007: far apart as with `k_center`, but
    an odd row on its own is not preferred to the many of a crowd. Where nothing has distance,
    weights alone count, and where nothing has weight, all rows are as likely.

    Args:
        rows: (n, d).
        weights: (n,), 0 or more.
        count: how many to draw, at most the rows that are not taken.
        rng: the source of chance.
        taken: numbers of rows that count as chosen already.
    """
    far = _Distances(rows, taken)
    while len(far.picks) < count:
        shares = far.free * weights * (1.0 if far.is_blank else far.squared)
        for fallback in (far.free * weights, far.free):
            shares = shares if shares.any() else fallback
        far.choose(int(rng.choice(len(rows), p=shares / shares.sum())))
    return far.cover()


@dataclass(frozen=True, eq=False)
class Represented:
    """Points chosen because many others are like them.

    Attributes:
        picks: numbers of candidates in the order chosen, (k,).
        gains: by how much each raised the sum of the best similarities, (k,).
        shares: for which share of the others each was more alike than all before it, (k,).
    """

    picks: IntArray
    gains: FloatArray
    shares: FloatArray


def facility_location(
    similarity: npt.NDArray[np.float32], count: int, covered: npt.NDArray[np.float32]
) -> Represented:
    """Choose candidates so that every point has one it is like: greedy facility location.

    What is raised is the sum over points of the best similarity to anything chosen; the greedy
    choice reaches at least 1 - 1/e of the best possible gain (Nemhauser et al. 1978; for
    annotation Yang et al. 2017). A gain only ever falls, so most are not computed again.

    Args:
        similarity: of each candidate to each point, (k, m), 0 or more.
        count: how many to choose, at most k.
        covered: best similarity of each point to what is chosen already, (m,), 0 or more.
    """
    best = covered.copy()

    def gain(candidate: int) -> float:
        return float(np.maximum(similarity[candidate] - best, 0).sum(dtype=np.float64))

    queue = [(-gain(candidate), candidate) for candidate in range(len(similarity))]
    heapq.heapify(queue)
    picks: list[int] = []
    gains: list[float] = []
    shares: list[float] = []
    while len(picks) < count:
        candidate = queue[0][1]
        now = gain(candidate)
        heapq.heapreplace(queue, (-now, candidate))
        if queue[0][1] != candidate:
            continue
        heapq.heappop(queue)
        picks.append(candidate)
        gains.append(now)
        shares.append(float((similarity[candidate] > best).mean()))
        np.maximum(best, similarity[candidate], out=best)
    return Represented(np.asarray(picks, np.int64), np.asarray(gains), np.asarray(shares))
