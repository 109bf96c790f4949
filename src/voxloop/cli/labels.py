"""A label table as it is written on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from voxloop.errors import UsageError

if TYPE_CHECKING:  # numpy, which `voxloop --help` can do without
    from voxloop.volume.labels import LabelTable

__all__ = ["LabelOption", "parse_labels"]

LabelOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="A label, as NAME or NAME=VALUE; once for each. Without values they are numbered "
        "from 1 on.",
    ),
]


def parse_labels(written: list[str]) -> LabelTable:
    """The table for one or more labels, each NAME or each NAME=VALUE.

    Raises:
        UsageError: if only some have a value, a value is no number, or one comes twice.
        DataError: if a name or value cannot be a label's.
    """
    from voxloop.volume.labels import LabelTable

    pairs = [text.rpartition("=") for text in written]
    if not any(name for name, _, _ in pairs):
        return LabelTable.from_names(*written)
    if not all(name and value.isdecimal() for name, _, value in pairs):
        raise UsageError("give every --label its value, as NAME=VALUE, or none of them")
    if len({int(value) for _, _, value in pairs}) < len(pairs):
        raise UsageError("every value stands for one label only")
    return LabelTable({int(value): name for name, _, value in pairs})
