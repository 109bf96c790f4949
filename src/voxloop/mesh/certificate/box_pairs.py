"""Which of many boxes overlap, without comparing each with each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["overlapping_boxes"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_BATCH = 1 << 20


class _Entries(NamedTuple):
    """Boxes written into the cells they reach: those of one cell follow each other."""

    box: IntArray
    cell: IntArray
    partners: IntArray  # how many of the entries that follow are to be compared with this one


def overlapping_boxes(low: FloatArray, high: FloatArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Every pair of boxes that overlap or touch, once, in batches of about a million at most.

    Boxes of like size share a grid whose cells are no smaller than they are, so that each
    reaches eight cells at most; smaller ones are entered into the grids of larger ones only
    where these lie. A pair is reported in the one cell that holds the lower corner of its
    overlap (Dittrich and Seeger 2000), which needs no memory of what was reported before.

    Args:
        low: (N, 3) lowest coordinates.
        high: (N, 3) highest coordinates.

    Yields:
        Two arrays of indices, of equal length.
    """
    if len(low) < 2:
        return
    extent = (high - low).max(axis=1)
    # a million cells along an axis: their numbers must fit in 64 bits
    least = float((high.max(axis=0) - low.min(axis=0)).max()) * 1e-6
    base = max(float(np.percentile(extent, 75)), least, 1e-300)
    level = np.ceil(np.log2(np.maximum(extent / base, 1) * (1 - 1e-12))).astype(np.int64)
    columns = [np.ascontiguousarray(side[:, axis]) for axis in range(3) for side in (low, high)]
    for number in np.unique(level):
        size = base * 2.0**number
        for batch in _pairs_of_level(low, high, level, int(number), size):
            yield from _overlapping(columns, *batch)


def _pairs_of_level(
    low: FloatArray, high: FloatArray, level: IntArray, number: int, size: float
) -> Iterator[tuple[IntArray, IntArray]]:
    members = np.flatnonzero(level <= number)
    origin = low[members].min(axis=0)
    first = np.floor((low[members] - origin) / size).astype(np.int64)
    last = np.floor((high[members] - origin) / size).astype(np.int64)
    widths = last.max(axis=0) + 1
    strides = np.array([widths[1] * widths[2], widths[2], 1])
    entries = _entries(members, first, last, strides, level[members] == number)
    home = np.zeros((len(low), 3), dtype=np.int32)
    home[members] = first
    for one, other, cell in _enumerated(entries):
        corner = np.maximum(home[one], home[other])
        here = corner @ strides == cell
        yield one[here], other[here]


def _entries(
    members: IntArray,
    first: IntArray,
    last: IntArray,
    strides: IntArray,
    own: npt.NDArray[np.bool_],
) -> _Entries:
    spread = last > first
    who, cell = [np.arange(len(members))], [first @ strides]
    for x, y, z in np.ndindex(2, 2, 2):
        if not (x or y or z):
            continue
        step = np.array([x, y, z])
        reaching = np.flatnonzero((spread | (step == 0)).all(axis=1))
        who.append(reaching)
        cell.append((first[reaching] + step) @ strides)
    rank, cells = np.concatenate(who), np.concatenate(cell)
    mine = own[rank]
    if not own.all():
        wanted = np.unique(cells[mine])
        place = np.minimum(np.searchsorted(wanted, cells), len(wanted) - 1)
        near = wanted[place] == cells
        rank, cells, mine = rank[near], cells[near], mine[near]
    # within a cell the boxes of this level come first: pairs of smaller ones belong elsewhere
    order = np.argsort(2 * cells + ~mine, kind="stable")
    rank, cells, mine = rank[order], cells[order], mine[order]
    begins = np.flatnonzero(np.diff(cells, prepend=-1))
    ends = np.repeat(np.append(begins[1:], len(cells)), np.diff(np.append(begins, len(cells))))
    partners = np.where(mine, ends - np.arange(len(cells)) - 1, 0)
    return _Entries(members[rank], cells, partners)


def _enumerated(entries: _Entries) -> Iterator[tuple[IntArray, IntArray, IntArray]]:
    ends = np.cumsum(entries.partners)
    start = 0
    while start < len(ends):
        before = ends[start] - entries.partners[start]
        stop = max(start + 1, int(np.searchsorted(ends, before + _BATCH, side="right")))
        counts = entries.partners[start:stop]
        one = np.repeat(np.arange(start, stop), counts)
        step = np.arange(len(one)) - np.repeat(ends[start:stop] - counts - before, counts)
        yield entries.box[one], entries.box[one + step + 1], entries.cell[one]
        start = stop


def _overlapping(
    columns: list[FloatArray], one: IntArray, other: IntArray
) -> Iterator[tuple[IntArray, IntArray]]:
    for axis in range(3):
        low, high = columns[2 * axis], columns[2 * axis + 1]
        touching = (low[one] <= high[other]) & (low[other] <= high[one])
        one, other = one[touching], other[touching]
    if len(one):
        yield one, other
