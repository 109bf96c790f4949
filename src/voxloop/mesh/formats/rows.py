"""Tables of numbers as text, some thousands of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy.typing as npt

__all__ = ["text_rows"]

_ROWS = 1 << 14


def text_rows(template: str, table: npt.NDArray[Any]) -> Iterator[bytes]:
    """Fill a %-template with each row of a table (N, C); a template must bring its line's end."""
    for start in range(0, len(table), _ROWS):
        rows = table[start : start + _ROWS]
        yield ((template * len(rows)) % tuple(rows.ravel().tolist())).encode()
