"""Several cases that share channels and labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from voxloop.dataset.case import Case
from voxloop.errors import DataError, Problem
from voxloop.volume.labels import LabelTable

__all__ = ["Dataset"]


@dataclass(frozen=True)
class Dataset:
    """The examinations of one project as they lie on disk; no voxel is read.

    Attributes:
        cases: in ascending order of id; ids are unique even where upper and lower case are one.
        labels: the label table, or None if the folder does not say.
        channel_names: e.g. `("CT",)`, one for each channel of each case.
        name: of the data set, for people.
        ignore_value: what the label maps' files hold where nobody looked, beside 255.

    Raises:
        DataError: if there is no case, two have one id, or one lacks a channel.
    """

    cases: tuple[Case, ...]
    labels: LabelTable | None
    channel_names: tuple[str, ...]
    name: str
    ignore_value: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "cases", tuple(sorted(self.cases, key=lambda case: case.id)))
        problems = [*self._none(), *self._doubles(), *self._incomplete()]
        if problems:
            raise DataError(problems)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all cases, ascending."""
        return tuple(case.id for case in self.cases)

    @property
    def labelled(self) -> tuple[Case, ...]:
        """Cases that came with a label map."""
        return tuple(case for case in self.cases if case.label_map is not None)

    def case(self, case_id: str) -> Case:
        """Return the case of this id.

        Raises:
            KeyError: if there is none.
        """
        for case in self.cases:
            if case.id == case_id:
                return case
        raise KeyError(case_id)

    def _none(self) -> Iterator[Problem]:
        if not self.cases:
            yield Problem(
                f'data set "{self.name}"', "at least one scan", "none", "choose another folder"
            )

    def _doubles(self) -> Iterator[Problem]:
        counts = Counter(case.id.casefold() for case in self.cases)
        for key, count in counts.items():
            if count > 1:
                paths = [str(c.channels[0]) for c in self.cases if c.id.casefold() == key]
                yield Problem(
                    f'case "{key}"',
                    "a name of its own for each case",
                    f"{count} cases of one name: {', '.join(paths)}",
                    "rename or remove all but one",
                )

    def _incomplete(self) -> Iterator[Problem]:
        for case in self.cases:
            if len(case.channels) != len(self.channel_names):
                yield Problem(
                    case.where(),
                    f"{len(self.channel_names)} channels ({', '.join(self.channel_names)})",
                    f"{len(case.channels)}",
                    "add the missing images or remove the case",
                )
