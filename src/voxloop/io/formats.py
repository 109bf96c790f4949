"""Read and write scans and label maps; one table by suffix says how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.errors import UsageError
from voxloop.io import itk, nifti
from voxloop.io.fault import fault
from voxloop.io.payload import Header, read_payload
from voxloop.io.voxel_values import check_finite, intensities, to_labels
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume

__all__ = [
    "SUFFIXES",
    "has_known_suffix",
    "read_geometry",
    "read_label_map",
    "read_volume",
    "strip_suffix",
    "write_label_map",
    "write_volume",
]


@dataclass(frozen=True)
class _Format:
    read_header: Callable[[Path], Header]
    write: Callable[[Path, npt.NDArray[Any], Geometry], None]


_NRRD = _Format(itk.read_nrrd_header, itk.write)
_METAIMAGE = _Format(itk.read_metaimage_header, itk.write)
_NIFTI = _Format(nifti.read_header, nifti.write)

_FORMATS = {
    ".nii.gz": _NIFTI,
    ".nii": _NIFTI,
    ".seg.nrrd": _NRRD,
    ".nrrd": _NRRD,
    ".nhdr": _NRRD,
    ".mha": _METAIMAGE,
    ".mhd": _METAIMAGE,
}
"""Longer suffixes before those they end in."""

SUFFIXES: tuple[str, ...] = tuple(_FORMATS)
"""What a readable file's name may end in, in lower case."""


def has_known_suffix(name: str) -> bool:
    """True if a file of this name can be read."""
    return name.lower().endswith(SUFFIXES)


def strip_suffix(name: str) -> str:
    """Cut a known suffix off a file name; a name without one is returned as it is."""
    suffix = _suffix(name)
    return name[: -len(suffix)] if suffix else name


def read_geometry(path: Path) -> Geometry:
    """Read the grid of a scan or label map from its header; the voxels are not touched.

    Raises:
        DataError: if the file is absent, of an unknown format, or its header leaves a doubt.
    """
    return _read_header(path).geometry


def read_volume(path: Path) -> Volume:
    """Read one channel of a scan.

    Returns:
        The volume with axes as in the file; whole numbers in their stored type where the file
        has no scaling, else float32.

    Raises:
        DataError: as `read_geometry`, and if the voxels are cut off, corrupted or not finite.
        LimitError: if it does not fit into memory.
    """
    header = _read_header(path)
    array = intensities(read_payload(header.payload), header.slope, header.intercept)
    check_finite(path, array)
    return Volume(array, header.geometry)


def read_label_map(path: Path, labels: LabelTable, *, ignore_value: int | None = None) -> LabelMap:
    """Read a label map of whole numbers, stored as integers or as floats.

    Args:
        path: the file.
        labels: the values that may occur beside 0 and 255 (ignore).
        ignore_value: a further value that means "not looked at", e.g. the highest in nnU-Net.

    Raises:
        DataError: as `read_volume`, and if values are fractions or not in the table.
        LimitError: if it does not fit into memory.
    """
    if ignore_value in {0, *labels.values}:
        raise UsageError(f"the ignore value {ignore_value} is a label or the background")
    header = _read_header(path)
    array = intensities(read_payload(header.payload), header.slope, header.intercept)
    return LabelMap(to_labels(path, array, labels, ignore_value), header.geometry, labels)


def write_volume(path: Path, volume: Volume) -> None:
    """Write a volume atomically, in the format of the suffix; .nii and .nii.gz keep all types.

    Raises:
        UsageError: if the suffix is unknown or stands for two files (.mhd, .nhdr).
        StorageError: if the disk refuses.
    """
    suffix = _suffix(path.name)
    if suffix is None:
        raise UsageError(f"cannot write {path}: use one of {', '.join(SUFFIXES)}")
    _FORMATS[suffix].write(path, _storable(volume.array), volume.geometry)


def write_label_map(path: Path, label_map: LabelMap) -> None:
    """Write a label map as 8-bit integers, 255 where nobody looked; any editor can open it.

    Raises:
        UsageError: as `write_volume`.
        StorageError: if the disk refuses.
    """
    write_volume(path, Volume(label_map.array, label_map.geometry))


def _read_header(path: Path) -> Header:
    suffix = _suffix(path.name)
    if suffix is None:
        raise fault(
            path,
            f"a file ending in {', '.join(SUFFIXES)}",
            f"{path.name!r}",
            "convert it, e.g. to .nii.gz",
        )
    if not path.is_file():
        raise fault(path, "a file", "none of this name", "check the path")
    if path.stat().st_size == 0:
        raise fault(path, "a scan or label map", "an empty file", "copy the file again")
    try:
        return _FORMATS[suffix].read_header(path)
    except PermissionError as error:
        raise fault(path, "a readable file", "no permission", "ask for access to it") from error


def _suffix(name: str) -> str | None:
    return next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), None)


def _storable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    return array
