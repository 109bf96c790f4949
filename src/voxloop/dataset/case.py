"""One examination: an id, its channels' files, perhaps a label map that came with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from voxloop.errors import DataError, Problem

__all__ = ["Case", "is_valid_case_id"]

_CASE_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")


def is_valid_case_id(text: str) -> bool:
    """True for 1 to 100 letters, digits, `.`, `_`, `-` that cannot be mistaken for a path."""
    return _CASE_ID.fullmatch(text) is not None and ".." not in text


@dataclass(frozen=True)
class Case:
    """One examination as it lies on disk; nothing is read before it is needed.

    Attributes:
        id: unique within a data set; becomes part of file names.
        channels: one image file per channel, all on one grid.
        label_map: label map that came with the images, or None.

    Raises:
        DataError: if the id could not be a file name, or there is no channel.
    """

    id: str
    channels: tuple[Path, ...]
    label_map: Path | None = None

    def __post_init__(self) -> None:
        if not is_valid_case_id(self.id):
            raise DataError(
                Problem(
                    f"case {self.id!r}",
                    "an id of letters, digits, '.', '_' and '-', at most 100 characters",
                    f"{self.id!r}",
                    "rename the file",
                )
            )
        if not self.channels:
            raise DataError(
                Problem(f'case "{self.id}"', "one image file or more", "none", "add an image")
            )

    def where(self, path: Path | None = None) -> str:
        """How messages name this case, and the file concerned if there is one."""
        return f'case "{self.id}"' if path is None else f'case "{self.id}", {path}'
