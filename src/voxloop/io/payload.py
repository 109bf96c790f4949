"""The voxels of a file as its header describes them: checked first, then read."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.compute.memory import format_bytes, require_bytes
from voxloop.errors import DataError
from voxloop.io.fault import fault
from voxloop.io.inflate import MAX_RATIO, InflatingReader
from voxloop.volume.geometry import Geometry

__all__ = ["Header", "Payload", "read_payload"]

_SLACK_BYTES = 1 << 16
"""Padding that some writers leave behind the last voxel."""

_CHUNK = 1 << 20
_COPY_AGAIN = "copy or export the file again"


@dataclass(frozen=True)
class Payload:
    """Where the voxels of a file lie and how they are stored.

    The readers decode voxels here and not through their libraries, because those check neither
    sizes nor every checksum (ITK returns a corrupted compressed MetaImage as if it were sound).

    Attributes:
        path: the file that holds them, not always the one with the header.
        shape: voxels along each axis; the first axis runs fastest.
        dtype: integers or floats of up to eight bytes, in the file's byte order.
        offset: bytes of the file before the voxels, or before the compressed stream.
        skip: bytes of the decompressed stream before the voxels.
        compressed: whether it is a gzip or zlib stream.

    Raises:
        DataError: if the file is too short to hold the voxels, compressed or not.
    """

    path: Path
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int = 0
    skip: int = 0
    compressed: bool = False

    def __post_init__(self) -> None:
        size = self.path.stat().st_size - self.offset
        most = size * MAX_RATIO if self.compressed else size
        if self.skip + self.count_bytes > most:
            raise fault(
                self.path,
                f"{format_bytes(self.skip + self.count_bytes)} of voxels, as the header says",
                f"a file of {format_bytes(max(size, 0))} that cannot hold them",
                f"the file is cut off or its header is wrong; {_COPY_AGAIN}",
            )

    @property
    def count_bytes(self) -> int:
        """Bytes of all voxels, decompressed."""
        i, j, k = self.shape
        return i * j * k * self.dtype.itemsize


@dataclass(frozen=True)
class Header:
    """What a file says of itself: its grid, its voxels, and how numbers become intensities.

    Attributes:
        geometry: the grid.
        payload: the voxels.
        slope: factor that makes intensities of stored numbers.
        intercept: added after that.
    """

    geometry: Geometry
    payload: Payload
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def scaled(self) -> bool:
        """Whether intensities differ from the stored numbers."""
        return (self.slope, self.intercept) != (1.0, 0.0)


def read_payload(payload: Payload) -> npt.NDArray[Any]:
    """Read the voxels in native byte order.

    Returns:
        (I, J, K) array, the first axis contiguous.

    Raises:
        DataError: if the file ends early, goes on for more than the padding writers leave, or
            fails its checksum. No more than the header promises is ever decompressed.
        LimitError: if there is not enough memory.
    """
    require_bytes(2 * payload.count_bytes, f"reading {payload.path}")
    with payload.path.open("rb") as handle:
        handle.seek(payload.offset)
        read = InflatingReader(handle).read if payload.compressed else handle.read
        try:
            _discard(read, payload.skip)
            content = _take(read, payload.count_bytes)
            surplus = _count_rest(read)
        except zlib.error as error:
            raise fault(
                payload.path, "intact compressed data", f"corruption ({error})", _COPY_AGAIN
            ) from error
        except EOFError as error:
            raise _cut_off(payload) from error
    if surplus > _SLACK_BYTES:
        raise fault(
            payload.path,
            f"{format_bytes(payload.count_bytes)} of voxels, as the header says",
            "more data behind them",
            "the header does not belong to these voxels; export the file again",
        )
    array = np.frombuffer(content, dtype=payload.dtype).reshape(payload.shape, order="F")
    return array.astype(payload.dtype.newbyteorder("="), copy=False)


def _take(read: Callable[[int], bytes], count: int) -> bytearray:
    content = bytearray(count)
    filled = 0
    while filled < count:
        piece = read(min(_CHUNK, count - filled))
        if not piece:
            raise EOFError
        content[filled : filled + len(piece)] = piece
        filled += len(piece)
    return content


def _discard(read: Callable[[int], bytes], count: int) -> None:
    while count > 0:
        piece = read(min(_CHUNK, count))
        if not piece:
            raise EOFError
        count -= len(piece)


def _count_rest(read: Callable[[int], bytes]) -> int:
    """Count what follows, just beyond the slack; reaching the end checks the checksum."""
    surplus = 0
    while surplus <= _SLACK_BYTES and (piece := read(_SLACK_BYTES)):
        surplus += len(piece)
    return surplus


def _cut_off(payload: Payload) -> DataError:
    return fault(
        payload.path,
        f"{format_bytes(payload.count_bytes)} of voxels, as the header says",
        "the end of the file before the last of them (it is truncated)",
        _COPY_AGAIN,
    )
