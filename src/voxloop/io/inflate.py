"""Decompress a gzip or zlib stream piece by piece, checksums included."""

from __future__ import annotations

import zlib
from typing import BinaryIO

__all__ = ["GZIP_MAGIC", "MAX_RATIO", "InflatingReader"]

GZIP_MAGIC = b"\x1f\x8b"

MAX_RATIO = 1032
"""Deflate cannot make more bytes than this out of one: two bits give 258 of them."""

_CHUNK = 1 << 16
_ANY_WRAPPER = 32 + zlib.MAX_WBITS
"""Tell gzip from zlib by the stream's first bytes."""


class InflatingReader:
    """The decompressed bytes of a stream, never more of them in memory than asked for.

    Several gzip members in a row are read as one stream, as `gunzip` does; what follows the
    last one (padding) is left alone.

    Args:
        handle: the compressed file, at the first byte of the stream.
    """

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self._stream = zlib.decompressobj(_ANY_WRAPPER)
        self._pending = b""

    def read(self, size: int) -> bytes:
        """Return 1 to `size` bytes, or none once the stream has ended and its checksum fits.

        Raises:
            EOFError: if the file ends within the stream.
            zlib.error: if the stream is corrupted.
        """
        while True:
            if self._stream.eof and not self._next_member():
                return b""
            self._pending = self._pending or self._handle.read(_CHUNK)
            if not self._pending:
                raise EOFError
            data = self._stream.decompress(self._pending, size)
            self._pending = self._stream.unconsumed_tail
            if data:
                return data

    def _next_member(self) -> bool:
        rest = self._stream.unused_data + self._handle.read(_CHUNK)
        if not rest.startswith(GZIP_MAGIC):
            return False
        self._stream = zlib.decompressobj(_ANY_WRAPPER)
        self._pending = rest
        return True
