"""The dataset.json of the nnU-Net and Decathlon layouts: what both have in common."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxloop.dataset.case import Case
from voxloop.errors import DataError, Problem
from voxloop.volume.labels import LabelTable

__all__ = [
    "INDEX",
    "CaseCollector",
    "Document",
    "ordered_names",
    "read_index",
    "split_labels",
    "visible_files",
]

INDEX = "dataset.json"
"""The file that tells these layouts from a plain folder."""

_MOST_BYTES = 1 << 26

Document = dict[str, Any]


def read_index(folder: Path) -> Document:
    """Read the folder's dataset.json.

    Raises:
        DataError: if it is not a JSON object of a sensible size.
    """
    path = folder / INDEX
    if path.stat().st_size > _MOST_BYTES:
        raise DataError(Problem(str(path), "a JSON document", "over 64 MiB", "check the file"))
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _bad(folder, "a JSON document", str(error)) from error
    if not isinstance(document, dict):
        raise _bad(folder, "a JSON object", type(document).__name__)
    return document


def ordered_names(folder: Path, names: Any, field: str) -> tuple[str, ...]:
    """Turn `{"0": "T1", "1": "T2"}` into names in order.

    Raises:
        DataError: if the numbers do not run from 0 without a gap.
    """
    pairs = names.items() if isinstance(names, Mapping) else ()
    numbered = {str(key): str(name) for key, name in pairs}
    expected = [str(number) for number in range(len(numbered))]
    if not numbered or set(numbered) != set(expected):
        raise _bad(folder, f'{field} numbered from "0" without a gap', repr(names))
    return tuple(numbered[key] for key in expected)


def split_labels(folder: Path, named: Sequence[tuple[Any, Any]]) -> tuple[LabelTable, int | None]:
    """Separate the labels from the background and from the value that means "not looked at".

    Args:
        folder: of the data set, for messages.
        named: pairs of name and value.

    Returns:
        The label table and the value named `ignore`, or None.

    Raises:
        DataError: if values are not whole numbers, e.g. a list that makes up a region, or the
            background is not 0.
    """
    for name, value in named:
        if isinstance(value, list):
            raise _bad(
                folder,
                "one value for each label",
                f"the region {name!r} made of {value}",
                "name the parts as labels of their own; regions that overlap are not supported",
            )
        if not isinstance(value, int) or isinstance(value, bool):
            raise _bad(folder, "whole numbers as label values", f"{name!r}: {value!r}")
        if (value == 0) != (str(name).lower() == "background"):
            raise _bad(folder, "0 for 'background' and for nothing else", f"{name!r}: {value}")
    values = [value for _, value in named]
    if len(set(values)) < len(values):
        raise _bad(folder, "every label value once", f"{sorted(values)}")
    labels = {value: str(name) for name, value in named if value != 0 and name != "ignore"}
    ignored = (value for name, value in named if name == "ignore")
    try:
        return LabelTable(labels), next(ignored, None)
    except DataError as error:
        raise _bad(folder, error.problems[0].expected, error.problems[0].found) from error


@dataclass
class CaseCollector:
    """Gathers cases and whatever is wrong with their files, to report all of it at once."""

    cases: list[Case]
    problems: list[Problem]

    @classmethod
    def empty(cls) -> CaseCollector:
        """Start with nothing."""
        return cls([], [])

    def add(self, case_id: str, channels: tuple[Path, ...], label_map: Path | None) -> None:
        """Take a case in; an id that cannot be one becomes a problem."""
        try:
            self.cases.append(Case(case_id, channels, label_map))
        except DataError as error:
            self.problems += error.problems

    def finish(self) -> tuple[Case, ...]:
        """Return the cases.

        Raises:
            DataError: with all problems, if there are any.
        """
        if self.problems:
            raise DataError(self.problems)
        return tuple(self.cases)


def visible_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder in order of name, without hidden ones (macOS leaves `._*`)."""
    if folder.is_dir():
        yield from sorted(p for p in folder.iterdir() if p.is_file() and p.name[0] != ".")


def _bad(folder: Path, expected: str, found: str, remedy: str = "correct the file") -> DataError:
    return DataError(Problem(str(folder / INDEX), expected, found, remedy))
