"""Voxloop: few labelled slices in; label maps, honest scores and printable meshes out.

The names below are loaded when they are first used, so that `import voxloop` costs nothing. The
use cases (`init`, `add`, `train` and so on) are functions in `voxloop.workspace.actions`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from voxloop.errors import DataError, LimitError, UsageError, VoxloopError

if TYPE_CHECKING:
    from voxloop.dataset.annotation import Annotation
    from voxloop.dataset.dataset import Dataset
    from voxloop.dataset.layouts import read_dataset
    from voxloop.io.formats import read_label_map, read_volume, write_label_map, write_volume
    from voxloop.train.config import TrainConfig
    from voxloop.volume.boxes import Box
    from voxloop.volume.geometry import Geometry
    from voxloop.volume.labels import LabelTable
    from voxloop.volume.volume import LabelMap, Volume
    from voxloop.workspace.workspace import Workspace

__all__ = [
    "Annotation",
    "Box",
    "DataError",
    "Dataset",
    "Geometry",
    "LabelMap",
    "LabelTable",
    "LimitError",
    "TrainConfig",
    "UsageError",
    "Volume",
    "VoxloopError",
    "Workspace",
    "read_dataset",
    "read_label_map",
    "read_volume",
    "write_label_map",
    "write_volume",
]

__version__ = "0.1.0"

_HOMES = {
    "Annotation": "dataset.annotation",
    "Box": "volume.boxes",
    "Dataset": "dataset.dataset",
    "Geometry": "volume.geometry",
    "LabelMap": "volume.volume",
    "LabelTable": "volume.labels",
    "TrainConfig": "train.config",
    "Volume": "volume.volume",
    "Workspace": "workspace.workspace",
    "read_dataset": "dataset.layouts",
    "read_label_map": "io.formats",
    "read_volume": "io.formats",
    "write_label_map": "io.formats",
    "write_volume": "io.formats",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'voxloop' has no attribute {name!r}")
    return getattr(importlib.import_module(f"voxloop.{_HOMES[name]}"), name)
