"""The label maps that come with a data set, on their way to being first annotations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from voxloop.dataset.annotation import Annotation
from voxloop.dataset.case import Case
from voxloop.dataset.dataset import Dataset
from voxloop.dataset.load import naming_case, read_case_label_map
from voxloop.errors import Problem
from voxloop.volume.labels import LabelTable
from voxloop.workspace.delivery import labels_asked, require_only

__all__ = ["BroughtLabels"]


@dataclass(frozen=True)
class BroughtLabels:
    """What the label maps of a data set say in a workspace's words.

    A data set's own label table says what its maps cover: one that has the liver only says
    nothing of a spleen, though the workspace has both. Labels are matched by name, so the two
    tables may give them different values.

    Attributes:
        dataset: with label maps.
        labels: the workspace's.
        names: the labels that were looked for; those of the data set's table where None, and
            all where it has no table.

    Raises:
        UsageError: if a name is not in the workspace's table.
    """

    dataset: Dataset
    labels: LabelTable
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.names is not None:
            object.__setattr__(self, "names", labels_asked(self.labels, self.names))

    def problems(self) -> Iterator[Problem]:
        """What keeps these label maps from being annotations; nothing if there are none."""
        if not any(case.label_map is not None for case in self.dataset.cases):
            return
        where = f'data set "{self.dataset.name}"'
        known = self.labels.by_name
        for name in self._table.by_name:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                remedy = "add without labels, or make a workspace that has the label"
                expected = f"labels of the workspace, {', '.join(known)}"
                yield Problem(where, expected, f"{name!r}{hint}", remedy)
        for name in self.names or ():
            if name not in self._table.by_name:
                expected = f"the label {name!r}, which is said to have been looked for"
                found = f"{', '.join(self._table.by_name)} in its label table"
                yield Problem(where, expected, found, f"leave out --asked {name!r}")

    def annotation(self, case: Case) -> Annotation:
        """What the label map of a case says; the case has one.

        Raises:
            DataError: if the file is bad, or has labels that were not looked for; names the case.
        """
        found = read_case_label_map(case, self._table, ignore_value=self.dataset.ignore_value)
        by_name = self.labels.by_name
        asked = [by_name[name] for name in self.names or self._table.by_name]
        with naming_case(case):
            label_map = found.translated(self.labels)
            require_only(label_map, asked, None, str(case.label_map))
            return Annotation(label_map, frozenset(asked))

    @property
    def _table(self) -> LabelTable:
        return self.dataset.labels or self.labels
