"""What the numbers in a file may be: finite intensities, known labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.errors import DataError
from voxloop.io.fault import fault
from voxloop.volume.labels import BACKGROUND, IGNORE, LabelTable
from voxloop.volume.volume import LabelArray, count_values

__all__ = ["check_finite", "intensities", "to_labels"]

_LISTED = 12
"""Unknown values named in a message; an intensity image taken for labels has thousands."""

_LARGEST = 1e18
"""Intensities beyond this have squares that single precision cannot hold."""


def intensities(array: npt.NDArray[Any], slope: float, intercept: float) -> npt.NDArray[Any]:
    """Apply a file's scaling: whole numbers stay as stored if there is none, else float32."""
    if (slope, intercept) == (1.0, 0.0):
        return array if array.dtype.kind in "iu" else _single(array)
    scaled = np.multiply(_single(array), np.float32(slope), dtype=np.float32)
    scaled += np.float32(intercept)
    return scaled


def _single(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what does not fit becomes infinite and is refused
        return array.astype(np.float32, copy=False)


def check_finite(path: Path, array: npt.NDArray[Any]) -> None:
    """Refuse NaN, infinity and what stands for them; one slab at a time, to save memory.

    Some programs write the largest number there is where a scan has no data. It is finite, but
    nothing can be computed with it.

    Raises:
        DataError: with the number of such voxels.
    """
    if array.dtype.kind != "f":
        return
    remedy = "replace them by the value of air or background and save the scan again"
    bad = sum(_count_false(np.isfinite(slab)) for slab in array.T)
    if bad:
        found = f"{bad} of {array.size} voxels that are NaN or infinite"
        raise fault(path, "finite intensities", found, remedy)
    bad = sum(_count_false(np.abs(slab) <= _LARGEST) for slab in array.T)
    if bad:
        found = f"{bad} of {array.size} voxels beyond that"
        raise fault(path, f"intensities up to {_LARGEST:.0e}", found, remedy)


def _count_false(mask: npt.NDArray[np.bool_]) -> int:
    return int(mask.size - np.count_nonzero(mask))


def to_labels(
    path: Path, array: npt.NDArray[Any], labels: LabelTable, ignore_value: int | None
) -> LabelArray:
    """Turn a file's numbers into labels, 0 and `IGNORE`.

    Args:
        path: for messages.
        array: (I, J, K) of any real type.
        labels: the values that may occur, beside 0 and 255.
        ignore_value: a further value that stands for "not looked at".

    Raises:
        DataError: if values are fractions, or not in the table.
    """
    found = _distinct(path, array)
    allowed = {BACKGROUND, *labels.values}
    unknown = sorted(found - allowed - {IGNORE, ignore_value})
    if unknown:
        raise _unknown(path, unknown, allowed)
    result = array.astype(np.uint8)
    if ignore_value in found:
        result[array == ignore_value] = IGNORE
    return result


def _distinct(path: Path, array: npt.NDArray[Any]) -> set[int]:
    if array.dtype == np.uint8:
        return set(np.flatnonzero(count_values(array)).tolist())
    found: set[int] = set()
    for slab in array.T:
        if slab.dtype.kind == "f" and not _whole(slab):
            raise fault(
                path,
                "a label map of whole numbers",
                "fractions, NaN or infinity",
                "check that this is not an image, and resample label maps by nearest neighbour",
            )
        if slab.min() >= 0 and slab.max() <= 0xFFFF:  # counting is far faster than sorting
            found.update(np.flatnonzero(np.bincount(slab.astype(np.uint16).ravel())).tolist())
        else:
            found.update(int(value) for value in np.unique(slab))
    return found


def _whole(slab: npt.NDArray[Any]) -> bool:
    return bool(np.isfinite(slab).all() and np.array_equal(slab, np.rint(slab)))


def _unknown(path: Path, unknown: list[int], allowed: set[int]) -> DataError:
    listed = ", ".join(map(str, unknown[:_LISTED]))
    more = f" and {len(unknown) - _LISTED} more" if len(unknown) > _LISTED else ""
    return fault(
        path,
        f"only the values {sorted(allowed)} of the label table, or {IGNORE} for ignore",
        f"unknown values {listed}{more}",
        "add them to the label table or correct the label map",
    )
