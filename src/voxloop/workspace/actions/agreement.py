"""How far annotators agree where several have looked."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from voxloop.dataset.annotation import Target
from voxloop.metrics.table import LabelScore, to_rows
from voxloop.workspace.actions.compare import scores_where_both
from voxloop.workspace.annotations import active
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.workspace import Workspace

__all__ = ["AgreementResult", "Pair", "agreement"]


@dataclass(frozen=True)
class Pair:
    """Two annotators of one case.

    Attributes:
        case_id: the case.
        authors: both, in alphabetical order.
        voxels: that both looked at.
        scores: of each label that both looked for; the first is the reference of the second,
            which matters to differences of volume only.
    """

    case_id: str
    authors: tuple[str, str]
    voxels: int
    scores: tuple[LabelScore, ...]

    def to_json(self) -> dict[str, Any]:
        """The pair as a document."""
        return {
            "case": self.case_id,
            "authors": list(self.authors),
            "voxels": self.voxels,
            "scores": to_rows(self.scores),
        }


@dataclass(frozen=True)
class AgreementResult:
    """What `agreement` found.

    Attributes:
        pairs: for each case every two annotators who looked at the same voxels.
    """

    pairs: tuple[Pair, ...]

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {"pairs": [pair.to_json() for pair in self.pairs]}


def agreement(
    workspace: Workspace, case_ids: Iterable[str] | None = None, *, tolerance_mm: float = 1.0
) -> AgreementResult:
    """Measure Dice and surface distances between annotators, on the voxels both looked at.

    Each annotator counts with all that he or she delivered and nobody took back.

    Args:
        workspace: to look at.
        case_ids: the cases; all where None.
        tolerance_mm: of the surface Dice.

    Raises:
        UsageError: if there is no such case.
        DataError: if a revision was changed behind Voxloop's back.
    """
    ids = [record.id for record in workspace.cases()] if case_ids is None else list(case_ids)
    records = [workspace.case(case_id) for case_id in ids]
    return AgreementResult(
        tuple(
            pair
            for record in records
            for pair in _pairs(workspace, record, tolerance_mm=tolerance_mm)
        )
    )


def _pairs(workspace: Workspace, record: CaseRecord, *, tolerance_mm: float) -> Iterable[Pair]:
    targets: dict[str, Target] = {}
    revisions = active(workspace.annotations_of(record.id))
    if len({revision.origin.author for revision in revisions}) < 2:
        return
    for revision in revisions:
        author = revision.origin.author
        known = targets.get(author, Target.empty(record.geometry.shape, workspace.labels))
        targets[author] = known.joined(workspace.load(revision))
    for names in itertools.combinations(sorted(targets), 2):
        one, other = (targets[name] for name in names)
        asked = _asked(one) & _asked(other)
        voxels = int(np.count_nonzero(one.looked_at & other.looked_at))
        if voxels and asked:
            scores = scores_where_both(
                workspace, record, one.values, other.values, tolerance_mm=tolerance_mm, asked=asked
            )
            yield Pair(record.id, (names[0], names[1]), voxels, scores)


def _asked(target: Target) -> frozenset[int]:
    return frozenset[int]().union(*target.asked_sets)
