"""A model's companion at full resolution: where it lies, and which model it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxloop.compute.atomic import write_json
from voxloop.model.checkpoint import Checkpoint, load_checkpoint
from voxloop.train.loop import MODEL_FILE
from voxloop.workspace.documents import read_record

__all__ = ["MARGIN_MM", "Detail", "detail_folder", "detail_of", "record_detail"]

MARGIN_MM = 10.0
"""About the structures that the first model finds: it misses their ends by less."""

_FOLDER, _RECORD, _FORMAT = "detail", "detail.json", "voxloop-detail-1"


@dataclass(frozen=True, eq=False)
class Detail:
    """A second model that draws, at full resolution, what the first one found.

    Attributes:
        checkpoint: the second model.
        margin_mm: by which the box about the structures is wider than they are.
    """

    checkpoint: Checkpoint
    margin_mm: float


def detail_folder(model: Path) -> Path:
    """Where the companion of a model lies, if it has one."""
    return model.parent / _FOLDER


def record_detail(model: Path, first: Checkpoint) -> Path:
    """Note which model a companion was trained for; from now on they work together.

    Raises:
        StorageError: if the disk refuses.
    """
    path = detail_folder(model) / _RECORD
    write_json(path, {"format": _FORMAT, "first_model": first.sha256, "margin_mm": MARGIN_MM})
    return path


def detail_of(model: Path, first: Checkpoint) -> Detail | None:
    """The companion of a model; None if it has none, or one that was trained for another model.

    Args:
        model: file of the first model.
        first: that model.

    Raises:
        DataError: if it is there and damaged.
    """
    folder = detail_folder(model)
    if not (folder / _RECORD).is_file():
        return None
    belongs_to, margin_mm = read_record(folder / _RECORD, _parsed)
    if belongs_to != first.sha256:
        return None
    return Detail(load_checkpoint(folder / MODEL_FILE), margin_mm)


def _parsed(document: Any) -> tuple[str, float]:
    if document["format"] != _FORMAT:
        raise ValueError(f"format {document['format']!r}")
    return document["first_model"], float(document["margin_mm"])
