"""What models say of a case, kept on the network's grid for those who need all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from voxloop.plan.preprocess import Prepared

__all__ = ["Keeper", "Seen", "kept_bytes"]


@dataclass(frozen=True, eq=False)
class Seen:
    """A case as the network saw it, and what it made of it.

    Attributes:
        prepared: the network's input.
        probabilities: (C, i, j, k) float16 on its grid, background first; those of classes that
            were nowhere likely are zero.
    """

    prepared: Prepared
    probabilities: npt.NDArray[np.float16]


def kept_bytes(classes: int, grid_vox: int) -> int:
    """What keeping the probabilities of a grid takes, if all classes occur."""
    return 2 * classes * grid_vox


class Keeper:
    """Collects probabilities as slabs come in; classes that do not occur take no memory.

    Args:
        prepared: the case.
        classes: how many, the background included.
        axis: of the network's grid, across which the slabs follow each other.

    Attributes:
        seen: what was collected so far.
        lead: no plane is needed twice.
    """

    lead = 0

    def __init__(self, prepared: Prepared, classes: int, axis: int) -> None:
        shape = (classes, *prepared.grid.shape)
        self.seen = Seen(prepared, np.zeros(shape, dtype=np.float16))
        self._axis = axis

    def add(self, planes: Mapping[int, npt.NDArray[np.floating]], first: int, stop: int) -> None:
        """Take the planes `first` to `stop`; what is not there is zero."""
        every = slice(None)
        where = [every, every, every]
        where[self._axis] = slice(first, stop)
        place = tuple(where)
        for number, values in planes.items():
            rows = np.flatnonzero(values.any(axis=(1, 2)))
            if rows.size:  # memory that is not written to is not taken
                there = slice(int(rows[0]), int(rows[-1]) + 1)
                kept = torch.from_numpy(self.seen.probabilities[number][place][there])
                kept.copy_(torch.from_numpy(values[there]))  # ten times as fast as NumPy's
