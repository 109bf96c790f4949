"""Make the surfaces of a workspace's own cases, to be looked at beside the scans."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.errors import DataError, LimitError, StorageError
from voxloop.io.formats import write_label_map
from voxloop.workspace.actions.mesh import mesh
from voxloop.workspace.jobs import running_job
from voxloop.workspace.proposals import proposal_of
from voxloop.workspace.workspace import Workspace

__all__ = ["MeshCasesResult", "mesh_cases"]


@dataclass(frozen=True)
class MeshCasesResult:
    """What `mesh_cases` did.

    Attributes:
        passed: for each case whether nothing was found against its surfaces.
        failed: for each other case why there are none, in words.
    """

    passed: dict[str, bool]
    failed: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {"passed": self.passed, "failed": self.failed}


def mesh_cases(workspace: Workspace, progress: ProgressSink = silent) -> MeshCasesResult:
    """Make surfaces of what is known of each case and of the newest model's opinion of the rest.

    Args:
        workspace: whose cases; the surfaces go to its folder `meshes`.
        progress: told about each case.

    Raises:
        UsageError: if another long job runs.
        StorageError: if the disk refuses.
    """
    passed, failed = {}, {}
    with running_job(workspace.layout, "mesh"):
        records = workspace.cases()
        for number, record in enumerate(records):
            progress(Progress("meshing", number, len(records), record.id))
            try:
                with tempfile.TemporaryDirectory(dir=workspace.layout.internal) as folder:
                    path = Path(folder) / f"{record.id}.nii.gz"
                    write_label_map(path, proposal_of(workspace, record).label_map)
                    made = mesh(path, workspace.layout.meshes, labels=workspace.labels)
                passed[record.id] = made.all_passed
            except StorageError:  # which every other case would meet as well
                raise
            except (DataError, LimitError) as error:
                failed[record.id] = str(error)
        progress(Progress("meshing", len(records), len(records)))
    return MeshCasesResult(passed, failed)
