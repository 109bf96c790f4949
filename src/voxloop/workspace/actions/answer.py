"""Let a simulated annotator answer what is open."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from voxloop.active.trial.oracle import Oracle
from voxloop.io.formats import write_label_map
from voxloop.volume.volume import LabelMap
from voxloop.workspace.actions.collect import CollectOptions, CollectResult, collect
from voxloop.workspace.delivery import LookedAt
from voxloop.workspace.workspace import Workspace

__all__ = ["answer"]


def answer(workspace: Workspace, references: Callable[[str], LabelMap]) -> CollectResult:
    """Answer the open queries from reference label maps, on the way a person's answers take.

    The answers are written as files and collected, so that a simulation tries what a delivery
    goes through: grids, values, what was asked, revisions.

    Args:
        workspace: with open queries.
        references: gives the reference of a case, on the case's grid.

    Raises:
        DataError: if a reference does not fit its case.
    """
    answers = Oracle(references).answer(q.query for q in workspace.open_queries())
    with tempfile.TemporaryDirectory(dir=workspace.layout.internal) as folder:
        for case_id, annotation in answers.items():
            write_label_map(Path(folder) / f"{case_id}.nii.gz", annotation.label_map)
        options = CollectOptions(looked_at=LookedAt.MARKED, author="oracle")
        return collect(workspace, Path(folder), options)
