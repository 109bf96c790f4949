"""Take a trained model to other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voxloop.dataset.export import require_new_folder

if TYPE_CHECKING:  # torch, which other commands can do without
    from voxloop.model.export import ModelFormat

__all__ = ["ExportModelResult", "export_model"]


@dataclass(frozen=True)
class ExportModelResult:
    """What `export_model` wrote.

    Attributes:
        folder: of the model.
        files: in it, the one that describes the others last.
        labels: name to value, as the model predicts them.
        model_sha256: hash of the checkpoint's weights.
    """

    folder: Path
    files: tuple[Path, ...]
    labels: dict[str, int]
    model_sha256: str

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {
            "folder": str(self.folder),
            "files": [str(path) for path in self.files],
            "labels": self.labels,
            "model_sha256": self.model_sha256,
        }


def export_model(
    model: Path, folder: Path, form: ModelFormat, *, name: str = "model"
) -> ExportModelResult:
    """Write a checkpoint as ONNX, OpenVINO or MONAI Bundle, with all that is needed to use it.

    Args:
        model: the checkpoint's file.
        folder: absent or empty.
        form: for which program.
        name: of the model, for people.

    Raises:
        UsageError: if the folder holds anything.
        DataError: if the checkpoint cannot be read.
        MissingExtraError: if the package that writes the format is not installed.
        StorageError: if the disk refuses.
    """
    from voxloop.model.checkpoint import load_checkpoint
    from voxloop.model.export import write_model

    require_new_folder(folder)
    checkpoint = load_checkpoint(model)
    files = write_model(checkpoint, folder, form, name=name)
    return ExportModelResult(folder, files, dict(checkpoint.plan.labels), checkpoint.sha256)
