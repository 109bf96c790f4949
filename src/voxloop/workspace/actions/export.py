"""Take what is annotated to other tools, as a data set they read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.dataset.case import Case
from voxloop.dataset.dense import dense_label_map
from voxloop.dataset.msd import write_msd
from voxloop.dataset.nnunet import write_nnunet
from voxloop.errors import DataError, UsageError
from voxloop.volume.labels import IGNORE
from voxloop.volume.volume import LabelMap
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.workspace import Workspace

__all__ = ["ExportResult", "Layout", "export"]

Layout = Literal["nnunet", "msd"]
"""nnU-Net v2 raw data, or the Medical Segmentation Decathlon's layout."""


@dataclass(frozen=True)
class ExportResult:
    """What `export` wrote.

    Attributes:
        folder: of the data set.
        cases: ids of the cases in it.
        left_out: ids of annotated cases of which nothing could be expressed, since nowhere all
            labels were asked for.
    """

    folder: Path
    cases: tuple[str, ...]
    left_out: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {
            "folder": str(self.folder),
            "cases": list(self.cases),
            "left_out": list(self.left_out),
        }


def export(
    workspace: Workspace,
    folder: Path,
    *,
    layout: Layout = "nnunet",
    progress: ProgressSink = silent,
) -> ExportResult:
    """Write the annotated cases, scans and label maps, in a layout other tools read.

    What nobody looked at leaves as `ignore`; so does every voxel where not all labels were
    asked for, because neither layout can say more.

    Args:
        workspace: with annotations.
        folder: absent or empty; nnU-Net expects a name like `Dataset501_Femur`.
        layout: of the data set.
        progress: told about each case.

    Raises:
        UsageError: if the folder holds anything, or nothing is annotated that can be expressed.
        DataError: if a scan was changed or is bad.
        StorageError: if the disk refuses.
    """
    annotated = [r for r in workspace.cases() if workspace.annotations_of(r.id)]
    expressible = [r for r in annotated if (_label_map(workspace, r).array != IGNORE).any()]
    if not expressible:
        raise UsageError(
            f"{workspace.root} has no case with voxels at which all labels were asked for; "
            "annotate with all labels first"
        )
    changes = [change for record in expressible for change in record.changes(workspace.layout)]
    if changes:
        raise DataError(changes)

    def cases() -> Iterator[tuple[Case, LabelMap]]:
        for number, record in enumerate(expressible, start=1):
            yield record.case(workspace.layout), _label_map(workspace, record)
            progress(Progress("exporting", number, len(expressible), record.id))

    names, labels = expressible[0].channel_names, workspace.labels
    if layout == "nnunet":
        write_nnunet(folder, labels, names, cases(), name=workspace.name)
    else:
        write_msd(folder, labels, names[0], cases(), name=workspace.name)
    ids = tuple(record.id for record in expressible)
    return ExportResult(folder, ids, tuple(r.id for r in annotated if r.id not in ids))


def _label_map(workspace: Workspace, record: CaseRecord) -> LabelMap:
    return dense_label_map(workspace.target_of(record.id), record.geometry)
