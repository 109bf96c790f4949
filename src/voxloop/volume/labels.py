"""Which number stands for which structure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from voxloop.errors import DataError, Problem

__all__ = ["BACKGROUND", "IGNORE", "LABEL_COLOURS", "LabelTable"]

BACKGROUND = 0
"""Looked at: none of the labels that were asked for."""

IGNORE = 255
"""Not looked at."""

LABEL_COLOURS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7f7f7f",
)  # fmt: skip
"""Told apart by colour-blind eyes (Okabe and Ito, 2008); repeated from the ninth label on."""

_SIDE = re.compile(r"(?<![a-z])(left|right|l|r|lt|rt|sin|dex)(?![a-z])", re.IGNORECASE)
_OTHER_SIDE = {
    "left": "right", "right": "left", "l": "r", "r": "l", "lt": "rt", "rt": "lt",
    "sin": "dex", "dex": "sin",
}  # fmt: skip


@dataclass(frozen=True)
class LabelTable:
    """The labels of a data set: values 1 to 254, each with a unique name.

    Attributes:
        names: value to name, in ascending order of value; background is not listed.

    Raises:
        DataError: if there is no label, a value is out of range, or a name is empty or double.
    """

    names: Mapping[int, str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", dict(sorted(self.names.items())))
        if not self.names:
            raise _bad("at least one label", "none")
        for value, name in self.names.items():
            if not BACKGROUND < value < IGNORE:
                raise _bad("label values from 1 to 254", f"{value} ({name!r})")
            if not name.strip() or name in {"background", "ignore"}:
                raise _bad("a name other than 'background', 'ignore' or nothing", f"{name!r}")
        if len(set(self.names.values())) != len(self.names):
            raise _bad("every name once", f"{sorted(self.names.values())}")

    @classmethod
    def from_names(cls, *names: str) -> LabelTable:
        """Number `names` from 1 on, in the order given."""
        return cls(dict(enumerate(names, start=1)))

    @property
    def values(self) -> tuple[int, ...]:
        """Label values in ascending order, without the background."""
        return tuple(self.names)

    @cached_property
    def by_name(self) -> dict[str, int]:
        """Name to value."""
        return {name: value for value, name in self.names.items()}

    def __hash__(self) -> int:
        return hash(tuple(self.names.items()))

    def __len__(self) -> int:
        """Number of labels, background not counted."""
        return len(self.names)

    def __iter__(self) -> Iterator[int]:
        """Iterate over the values."""
        return iter(self.names)

    def colour(self, value: int) -> str:
        """The label's display colour as `#rrggbb`."""
        return LABEL_COLOURS[self.values.index(value) % len(LABEL_COLOURS)]

    def sided_pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs of values whose names differ in the side only, e.g. left and right kidney."""
        pairs = set()
        for value, name in self.names.items():
            twin = self.by_name.get(_SIDE.sub(_swap_side, name))
            if twin is not None and twin != value:
                pairs.add((min(value, twin), max(value, twin)))
        return tuple(sorted(pairs))

    def has_sides(self) -> bool:
        """True if any name carries a side, so that mirroring would change what is right."""
        return any(_SIDE.search(name.replace("_", " ")) for name in self.names.values())

    def to_json(self) -> dict[str, int]:
        """Name to value, as stored in files."""
        return dict(self.by_name)


def _swap_side(match: re.Match[str]) -> str:
    word = match.group(0)
    other = _OTHER_SIDE[word.lower()]
    return other.capitalize() if word[0].isupper() else other


def _bad(expected: str, found: str) -> DataError:
    return DataError(Problem("label table", expected, found, "correct the table of labels"))
