"""What a command has to say when it is done, before anyone decides how to show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Result", "Table", "counted"]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows for a person to read.

    Attributes:
        title: what the rows are, as a noun phrase.
        columns: headings; a column whose cells are all numbers is set flush right.
        rows: cells in the order of the columns; floats are shown with three decimals.

    Raises:
        ValueError: if a row has another length than the headings.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | None, ...], ...]

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            message = f"every row of {self.title!r} needs {len(self.columns)} cells"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one command.

    Attributes:
        summary: what was done, in one sentence.
        document: the whole outcome for a program; JSON values and paths only. `summary`, `wrote`,
            `warnings` and `next` are added when it is shown.
        tables: the part of the outcome that a person reads.
        wrote: files and folders that were written, the most useful one first.
        warnings: what the reader should know although the command succeeded, in words.
        next_step: the command to run next and what for; empty where there is none.
        exit_code: 0, or 3 or 4 where a part failed without stopping the rest.
    """

    summary: str
    document: Mapping[str, Any] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    wrote: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    next_step: str = ""
    exit_code: int = 0


def counted(count: int, noun: str) -> str:
    """A count with its regular noun, e.g. `1 case`, `2 cases`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
