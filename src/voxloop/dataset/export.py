"""Write cases for other tools: images and label maps on one grid, labels numbered from 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voxloop.dataset.case import Case
from voxloop.dataset.load import grid_problem, read_case_channels
from voxloop.errors import DataError, UsageError
from voxloop.io.formats import write_volume
from voxloop.volume.labels import IGNORE, LabelTable
from voxloop.volume.volume import LabelMap, Volume

__all__ = ["Renumbering", "require_new_folder", "write_case"]


@dataclass(frozen=True)
class Renumbering:
    """Labels numbered 1, 2, ... in the order of their values; the next number is `ignore`.

    Attributes:
        labels: the label table to number.
    """

    labels: LabelTable

    @property
    def ignore_value(self) -> int:
        """What stands for "not looked at" in the files."""
        return len(self.labels) + 1

    def names(self, *, with_ignore: bool) -> dict[str, int]:
        """Name to number in the files, the background not listed."""
        numbered = {self.labels.names[v]: n for n, v in enumerate(self.labels, start=1)}
        return {**numbered, **({"ignore": self.ignore_value} if with_ignore else {})}

    def apply(self, label_map: LabelMap) -> Volume:
        """Give the label map's voxels their numbers."""
        table = np.zeros(256, dtype=np.uint8)
        table[list(self.labels.values)] = np.arange(1, len(self.labels) + 1)
        table[IGNORE] = self.ignore_value
        return Volume(table[label_map.array], label_map.geometry)


def require_new_folder(folder: Path) -> None:
    """Refuse to mix an export with what lies there already.

    Raises:
        UsageError: if the folder exists and is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"cannot export to {folder}: it is not empty; choose a new folder")


def write_case(
    case: Case, label_map: LabelMap, numbers: Renumbering, images: Sequence[Path], label: Path
) -> bool:
    """Write a case's channels and its label map, all with the same, unambiguous header.

    Args:
        case: whose channels are read and written again.
        label_map: on the case's grid.
        numbers: of the labels in the file.
        images: one path for each channel.
        label: path for the label map.

    Returns:
        Whether any voxel is to be ignored.

    Raises:
        DataError: if a file is bad, the label map has another table, or grids differ.
    """
    if label_map.labels != numbers.labels:
        raise UsageError(f"{case.where()}: its label map has another label table than the export")
    channels = read_case_channels(case)
    problem = grid_problem(case, label, channels[0].geometry, label_map.geometry)
    if problem:
        raise DataError(problem)
    for path, volume in zip(images, channels, strict=True):
        write_volume(path, volume)
    write_volume(label, numbers.apply(label_map))
    return bool((label_map.array == IGNORE).any())
