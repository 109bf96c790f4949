"""Make a workspace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxloop.volume.labels import LabelTable
from voxloop.workspace.workspace import Workspace

__all__ = ["InitResult", "init"]


@dataclass(frozen=True)
class InitResult:
    """What `init` did.

    Attributes:
        workspace: the new workspace, open.
        next_step: what to do now, in words.
    """

    workspace: Workspace
    next_step: str = "run `voxloop add FOLDER` to add scans"

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {
            "workspace": str(self.workspace.root),
            "name": self.workspace.name,
            "labels": self.workspace.labels.to_json(),
            "next": self.next_step,
        }


def init(
    folder: Path, labels: LabelTable | Sequence[str], *, name: str = "", actor: str = ""
) -> InitResult:
    """Make a workspace for a table of labels.

    Args:
        folder: where; created if need be.
        labels: the label table, or names that are numbered from 1 on.
        name: for people; the folder's name where empty.
        actor: for the audit trail; the system's user where empty.

    Raises:
        UsageError: if the folder is a workspace already.
        DataError: if name or labels cannot be used.
        StorageError: if the disk refuses.
    """
    table = labels if isinstance(labels, LabelTable) else LabelTable.from_names(*labels)
    return InitResult(Workspace.create(folder, name or folder.resolve().name, table, actor))
