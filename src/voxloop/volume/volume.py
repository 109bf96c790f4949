"""An image, or a label map, together with its grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.errors import DataError, Problem
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import BACKGROUND, IGNORE, LabelTable

__all__ = ["LabelArray", "LabelMap", "Volume", "count_values"]

LabelArray = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Volume:
    """One channel of a scan.

    Attributes:
        array: (I, J, K), any real number type, finite; axes as in the file.
        geometry: the grid, of the same shape.
    """

    array: npt.NDArray[Any]
    geometry: Geometry

    def __post_init__(self) -> None:
        _check_shape(self.array, self.geometry)


@dataclass(frozen=True, eq=False)
class LabelMap:
    """One label per voxel: 0 background, values of the table, or `IGNORE` for not looked at.

    Attributes:
        array: (I, J, K) of uint8.
        geometry: the grid, of the same shape.
        labels: which value stands for what; other values (but 0 and 255) are an error.
    """

    array: LabelArray
    geometry: Geometry
    labels: LabelTable

    def __post_init__(self) -> None:
        _check_shape(self.array, self.geometry)
        allowed = {BACKGROUND, IGNORE, *self.labels.values}
        found = set(np.flatnonzero(count_values(self.array)).tolist())
        if found - allowed:
            raise DataError(
                Problem(
                    "label map",
                    f"values {sorted(allowed - {IGNORE})}",
                    f"unknown values {sorted(found - allowed)}",
                    "add them to the label table or correct the label map",
                )
            )

    def translated(self, labels: LabelTable) -> LabelMap:
        """The same label map under another table's values, matched by name.

        Raises:
            DataError: if that table has not all the labels of this one.
        """
        missing = sorted(set(self.labels.by_name) - set(labels.by_name))
        if missing:
            known = ", ".join(labels.by_name)
            remedy = "rename these labels or add them to the table"
            raise DataError(Problem("label table", f"labels of {known}", f"{missing}", remedy))
        values = np.arange(256, dtype=np.uint8)
        for value, name in self.labels.names.items():
            values[value] = labels.by_name[name]
        return LabelMap(values[self.array], self.geometry, labels)

    def mask(self, value: int) -> npt.NDArray[np.bool_]:
        """Where the label `value` is, as a boolean array (I, J, K)."""
        return np.asarray(self.array == value)

    def volume_ml(self, value: int) -> float:
        """Volume of the label `value` in millilitres."""
        count = int(np.count_nonzero(self.array == value))
        return count * self.geometry.voxel_volume_mm3 / 1000


_USUAL = 4
"""Values of one slab that are looked for in the next; more take longer than counting all."""


def count_values(array: LabelArray) -> npt.NDArray[np.int64]:
    """How many voxels have each value from 0 to 255, (256,); the array has three axes."""
    # slab by slab: counting widens every voxel to eight bytes
    slabs = array.transpose(np.argsort(array.strides)[::-1])
    counts, usual = np.zeros(256, dtype=np.int64), np.arange(0)
    for slab in slabs:
        found = _count_usual(slab, usual)
        if found is None:
            found = np.bincount(slab.ravel(order="K"), minlength=256)
            usual = np.argsort(-found)[:_USUAL]
        counts += found
    return counts


def _count_usual(
    slab: npt.NDArray[np.uint8], values: npt.NDArray[np.intp]
) -> npt.NDArray[np.int64] | None:
    """Counts of a slab with no other values than these, by comparing, which is fast; else None."""
    counts = np.zeros(256, dtype=np.int64)
    left = slab.size
    for value in values:
        counts[value] = np.count_nonzero(slab == value)
        left -= counts[value]
        if not left:
            return counts
    return None


def _check_shape(array: npt.NDArray[Any], geometry: Geometry) -> None:
    if array.shape != geometry.shape:
        raise DataError(
            Problem(
                "volume",
                f"an array of shape {geometry.shape}",
                f"{array.shape}",
                "take array and header from the same file",
            )
        )
