"""Compare what was known of a case after two of its revisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from voxloop.metrics.table import LabelScore, score_case, to_rows
from voxloop.volume.boxes import Box, bounding_box
from voxloop.volume.labels import BACKGROUND, IGNORE
from voxloop.volume.volume import LabelArray, LabelMap
from voxloop.workspace.annotations import target_until
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.workspace import Workspace

__all__ = ["Change", "CompareResult", "compare", "scores_where_both"]


@dataclass(frozen=True, slots=True)
class Change:
    """Voxels that went from one value to another.

    Attributes:
        before: value; 255 where nobody had looked.
        after: value.
        voxels: how many.
    """

    before: int
    after: int
    voxels: int


@dataclass(frozen=True)
class CompareResult:
    """What lies between two revisions.

    Attributes:
        case_id: the case.
        first: number of the earlier revision.
        second: number of the later one.
        changes: voxels by value before and after, the most first.
        box: around all of them; None if there are none.
        scores: the first as reference of the second, of each label, where both had looked.
    """

    case_id: str
    first: int
    second: int
    changes: tuple[Change, ...]
    box: Box | None
    scores: tuple[LabelScore, ...]

    @property
    def changed_voxels(self) -> int:
        """Voxels of another value."""
        return sum(change.voxels for change in self.changes)

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {
            "case": self.case_id,
            "first": self.first,
            "second": self.second,
            "changed_voxels": self.changed_voxels,
            "box": None if self.box is None else self.box.to_json(),
            "changes": [
                {"from": change.before, "to": change.after, "voxels": change.voxels}
                for change in self.changes
            ],
            "scores": to_rows(self.scores),
        }


def compare(
    workspace: Workspace, case_id: str, first: int, second: int, *, tolerance_mm: float = 1.0
) -> CompareResult:
    """Say what changed between the states after two revisions.

    Args:
        workspace: the case's.
        case_id: the case.
        first: number of a revision.
        second: number of another.
        tolerance_mm: of the surface Dice.

    Raises:
        UsageError: if there is no such case or revision.
        DataError: if a revision was changed behind Voxloop's back.
    """
    record = workspace.case(case_id)
    before, after = (
        target_until(workspace.layout, record, workspace.labels, number).values
        for number in (first, second)
    )
    pairs = np.bincount((before.astype(np.uint16) << 8 | after).ravel(), minlength=1 << 16)
    found = [
        Change(int(pair) >> 8, int(pair) & 255, int(pairs[pair]))
        for pair in np.flatnonzero(pairs)
        if pair >> 8 != pair & 255
    ]
    return CompareResult(
        case_id,
        first,
        second,
        tuple(sorted(found, key=lambda change: -change.voxels)),
        bounding_box(before != after),
        scores_where_both(workspace, record, before, after, tolerance_mm=tolerance_mm),
    )


def scores_where_both(
    workspace: Workspace,
    record: CaseRecord,
    reference: LabelArray,
    other: LabelArray,
    *,
    tolerance_mm: float,
    asked: frozenset[int] | None = None,
) -> tuple[LabelScore, ...]:
    """Dice and surface distances where both have looked; none where nobody of both has.

    Args:
        workspace: with the label table.
        record: the case.
        reference: label map (I, J, K), 255 where not looked at.
        other: the same of the other.
        tolerance_mm: of the surface Dice.
        asked: values that both looked for; all where None.
    """
    both = (reference != IGNORE) & (other != IGNORE)
    if not both.any():
        return ()
    maps = [
        LabelMap(np.where(both, array, np.uint8(rest)), record.geometry, workspace.labels)
        for array, rest in ((reference, IGNORE), (other, BACKGROUND))
    ]
    return score_case(record.id, *maps, tolerance_mm=tolerance_mm, asked=asked)
