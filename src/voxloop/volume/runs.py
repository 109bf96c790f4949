"""Label maps of a box as runs of equal values, which is how little a stroke or a slice takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from voxloop.errors import DataError, Problem
from voxloop.volume.boxes import Box, Triple
from voxloop.volume.volume import LabelArray

__all__ = ["Patch", "decode_runs", "encode_runs"]


@dataclass(frozen=True, eq=False)
class Patch:
    """The values of a box.

    Attributes:
        box: where.
        values: of the box's shape, uint8.
    """

    box: Box
    values: LabelArray

    def paint(self, array: LabelArray) -> None:
        """Set the values in an array that holds the box (I, J, K)."""
        array[self.box.slices] = self.values

    def to_json(self) -> dict[str, list[int]]:
        """Start, stop and runs."""
        return {**self.box.to_json(), "rle": encode_runs(self.values)}

    @classmethod
    def from_runs(
        cls, start: Sequence[int], stop: Sequence[int], runs: Sequence[int], shape: Triple
    ) -> Patch:
        """Unpack what somebody sent; nothing is allocated before it is known to fit.

        Args:
            start: first voxel along each axis.
            stop: one past the last.
            runs: value, count, value, count and so on; the first axis runs fastest.
            shape: of the grid in which the box must lie.

        Raises:
            DataError: if the box does not lie in the grid or the runs do not fill it.
        """
        spans = list(zip(start, stop, shape, strict=False))
        inside = all(0 <= a < b <= n for a, b, n in spans)
        if len(start) != 3 or len(stop) != 3 or not inside:
            found = f"{list(start)} to {list(stop)}"
            raise _bad("patch", f"a box inside the grid of {list(shape)}", found)
        box = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
        return cls(box, decode_runs(runs, box.shape))


def encode_runs(values: LabelArray) -> list[int]:
    """Value and count of each run, the first axis running fastest.

    Args:
        values: any shape, at least one voxel.
    """
    flat = values.ravel(order="F")
    starts = np.flatnonzero(np.r_[True, flat[1:] != flat[:-1]])
    counts = np.diff(np.r_[starts, flat.size])
    return [int(n) for n in np.stack([flat[starts].astype(np.int64), counts], axis=1).ravel()]


def decode_runs(runs: Sequence[int], shape: Triple) -> LabelArray:
    """The array that `encode_runs` was given.

    Raises:
        DataError: if the runs do not make up an array of the shape, or a value is no label.
    """
    size = shape[0] * shape[1] * shape[2]
    if len(runs) % 2 or not runs:
        raise _bad("runs", "pairs of value and count", f"{len(runs)} numbers")
    values, counts = runs[::2], runs[1::2]
    if min(counts) < 1 or sum(counts) != size:
        raise _bad("runs", f"positive counts that add up to {size}", f"{sum(counts)}")
    if min(values) < 0 or max(values) > 255:
        raise _bad("runs", "values from 0 to 255", f"{min(values)} to {max(values)}")
    flat = np.repeat(np.array(values, dtype=np.uint8), np.array(counts, dtype=np.int64))
    return flat.reshape(shape, order="F")


def _bad(where: str, expected: str, found: str) -> DataError:
    remedy = "send the box anew; the program that drew it has a bug if this comes again"
    return DataError(Problem(where, expected, found, remedy))
