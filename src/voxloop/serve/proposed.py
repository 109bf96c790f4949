"""What models have said of cases already; nothing here waits for a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.serve.context import Context
from voxloop.workspace.annotations import newest_hash
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.proposals import prediction_file, proposal_of, voxel_hash
from voxloop.workspace.rounds import RoundStage
from voxloop.workspace.workspace import Workspace

__all__ = ["ReadyProposal", "prediction_of", "ready_proposal", "uncertainty_file"]


@dataclass(frozen=True, eq=False)
class ReadyProposal:
    """A label map to start from.

    Attributes:
        voxels: (I, J, K) uint8.
        sha256: of its voxels.
    """

    voxels: npt.NDArray[Any]
    sha256: str


def prediction_of(workspace: Workspace, record: CaseRecord) -> Path | None:
    """The newest model's label map of a case, if it is there."""
    path = prediction_file(workspace, record)
    return path if path is not None and path.is_file() else None


def uncertainty_file(workspace: Workspace, record: CaseRecord) -> Path | None:
    """The newest model's map of uncertainty of a case, if it is there."""
    path = prediction_of(workspace, record)
    if path is None:
        return None
    found = path.parent / "uncertainty" / path.name
    return found if found.is_file() else None


def ready_proposal(context: Context, record: CaseRecord) -> ReadyProposal | None:
    """What an annotator starts from; None while the newest model has not seen the case."""
    workspace = context.workspace
    path = prediction_of(workspace, record)
    if path is None:
        return None
    latest = workspace.current_round()
    if latest is not None and latest.stage is RoundStage.ANNOTATING:
        basis = f"round {latest.number}"  # the same as long as the round asks
    else:
        basis = newest_hash(workspace.layout, record.id) or "none"
    name = f"proposal {workspace.root} {path.parent.name} {record.id} {basis}"
    voxels = context.voxels.keep(
        name, lambda: np.asarray(proposal_of(workspace, record).label_map.array)
    )
    return ReadyProposal(voxels, voxel_hash(np.asarray(voxels)))
