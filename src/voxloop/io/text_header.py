"""What the text headers of NRRD and MetaImage have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voxloop.errors import DataError
from voxloop.io.fault import fault

__all__ = ["FieldReader", "check_spatial", "dtype_by_name", "header_lines"]

_MOST_BYTES = 1 << 20
"""Ample for segmentations that carry DICOM codes for hundreds of segments."""


def header_lines(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the lines at the start of a file, stripped, each with the offset of the next.

    Raises:
        DataError: if no line ends within the first mebibyte.
    """
    with path.open("rb") as handle:
        while line := handle.readline(_MOST_BYTES - handle.tell()):
            if handle.tell() >= _MOST_BYTES:
                raise fault(
                    path, "a header of at most 1 MiB", "a longer one", "export the file again"
                )
            yield line.decode("latin-1").strip(), handle.tell()


@dataclass(frozen=True)
class FieldReader:
    """The fields of a header, taken with words for what is missing or malformed.

    Attributes:
        path: the file, for messages.
        fields: name to text.
    """

    path: Path
    fields: dict[str, str]

    def text(self, name: str) -> str:
        """Return a field that must be there."""
        if name not in self.fields:
            raise self.bad(f"the field {name!r}", "none")
        return self.fields[name]

    def lengths(self, name: str) -> tuple[int, ...]:
        """Return a field of positive whole numbers."""
        words = self.text(name).split()
        if not words or not all(word.isdecimal() and 0 < int(word) < 1 << 31 for word in words):
            raise self.bad(f"positive whole numbers as {name!r}", f"{self.text(name)!r}")
        return tuple(int(word) for word in words)

    def bad(self, expected: str, found: str) -> DataError:
        """Build the refusal of a field."""
        return fault(self.path, expected, found, "export the scan again with a valid header")


def dtype_by_name(
    reader: FieldReader, field: str, names: Mapping[str, tuple[str, ...]], *, big_endian: bool
) -> np.dtype[Any]:
    """Look the voxel type up.

    Args:
        reader: the fields.
        field: which one names the type.
        names: numpy's name to those of the format.
        big_endian: byte order of the voxels.

    Raises:
        DataError: if it is none of them, e.g. a block type.
    """
    found = reader.text(field)
    for dtype, known in names.items():
        if found in known:
            return np.dtype(dtype).newbyteorder(">" if big_endian else "<")
    raise reader.bad("voxels that are integers or floats of up to 64 bits", f"{field} {found!r}")


def check_spatial(path: Path, sizes: tuple[int, ...]) -> tuple[int, int, int]:
    """Drop trailing axes of length one, then leading ones; three axes must be left.

    Raises:
        DataError: if they are not.
    """
    lengths = list(sizes)
    while len(lengths) > 3 and lengths[-1] == 1:
        lengths.pop()
    while len(lengths) > 3 and lengths[0] == 1:
        lengths.pop(0)
    if len(lengths) == 3:
        return lengths[0], lengths[1], lengths[2]
    raise fault(
        path,
        "a 3D image",
        f"a {len(sizes)}D one, {' x '.join(map(str, sizes))}",
        "save each channel, time point or layer of segments as a 3D file of its own "
        "(overlapping segments: export them as one label map without overlap)"
        if len(sizes) > 3
        else "join the slices to a 3D image first",
    )
