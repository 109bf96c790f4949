"""Label values as the plugins count them: 1, 2, 3 and so on in the order of the names."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import numpy.typing as npt

from voxloop.errors import DataError, Problem
from voxloop.io.formats import has_known_suffix, read_geometry, read_label_map
from voxloop.io.segments import read_segment_names
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import BACKGROUND, IGNORE, LabelTable
from voxloop.volume.placement import grid_fault, on_grid
from voxloop.volume.volume import LabelArray

__all__ = ["ASKED_SEGMENT", "RAW_SUFFIX", "from_wire", "label_names", "read_wire", "to_wire"]

ASKED_SEGMENT = "asked for (no label)"
"""Name of a segment that shows where to label; it never comes back as a label."""

RAW_SUFFIX = ".bin"
"""OHIF sends bare voxels, the first axis fastest, numbered by `idx`."""

_NO_LABELS = frozenset(
    {"background", "background_scribbles", "foreground_scribbles", ASKED_SEGMENT.casefold()}
)


def label_names(labels: LabelTable) -> list[str]:
    """The names in the order in which they are numbered on the wire."""
    return list(labels.names.values())


def to_wire(array: LabelArray, labels: LabelTable) -> LabelArray:
    """A label map with the values 1 to N in the order of the table; 0 where nobody looked."""
    values = np.zeros(256, dtype=np.uint8)
    for number, value in enumerate(labels.values, start=1):
        values[value] = number
    return np.asarray(values[array])


def from_wire(array: LabelArray, names: Sequence[str], labels: LabelTable) -> LabelArray:
    """A label map with the table's values.

    Args:
        array: value k stands for the k-th name; 0 and `IGNORE` stay.
        names: of the segments, labels or not, in any order.
        labels: the workspace's.

    Raises:
        DataError: if voxels belong to a segment that is no label; lists each.
    """
    counts = np.bincount(array.ravel(), minlength=256)
    values = np.zeros(256, dtype=np.uint8)
    values[IGNORE] = IGNORE
    problems = []
    for number in np.flatnonzero(counts).tolist():
        name = names[number - 1] if BACKGROUND < number <= len(names) else ""
        if number in {BACKGROUND, IGNORE} or name.casefold() in _NO_LABELS:
            continue
        if name in labels.by_name:
            values[number] = labels.by_name[name]
            continue
        near = get_close_matches(name, labels.by_name, n=1)
        remedy = f"rename it to {near[0]!r}" if near else "rename it to a label, or remove it"
        found = f"{counts[number]} voxels of {repr(name) if name else 'no segment'}"
        expected = f"segments named {', '.join(labels.by_name)}"
        problems.append(Problem("segmentation", expected, f"{found} (value {number})", remedy))
    if problems:
        raise DataError(problems)
    return np.asarray(values[array])


def read_wire(
    path: Path, geometry: Geometry, names: Sequence[str], indices: Sequence[int], labels: LabelTable
) -> LabelArray:
    """Read what a plugin sent, on the scan's grid and with the table's values.

    Args:
        path: the file as it came; its suffix says how its values are numbered.
        geometry: the scan's.
        names: of the segments, in the order sent.
        indices: a number for each of them, which only OHIF's bare voxels go by.
        labels: the workspace's.

    Raises:
        DataError: if it is on another grid, has values of no segment, or segments of no label.
    """
    if path.name.endswith(RAW_SUFFIX):
        array = _raw(path, geometry)
        if not indices:
            return from_wire(array, names, labels)
        by_index = [""] * (IGNORE - 1)
        for name, index in zip(names, indices, strict=True):
            if 0 < index < IGNORE:
                by_index[index - 1] = name
        return from_wire(array, by_index, labels)
    if not has_known_suffix(path.name):
        raise _bad("a label map as .nii.gz, .nii, .nrrd or .seg.nrrd", f"{path.suffix!r}")
    found = read_geometry(path)
    if on_grid(np.empty(found.shape, dtype=bool), found, geometry) is None:
        raise _bad("the image's grid", grid_fault(geometry, found))
    listed = read_segment_names(path)
    if listed:  # a segmentation that says itself which value is which
        names = [listed.get(value, "") for value in range(1, IGNORE)]
    any_value = LabelTable({value: f"value {value}" for value in range(1, IGNORE)})
    array = from_wire(read_label_map(path, any_value).array, names, labels)
    return np.ascontiguousarray(on_grid(array, found, geometry))


def _raw(path: Path, geometry: Geometry) -> LabelArray:
    content: npt.NDArray[np.uint8] = np.fromfile(path, dtype=np.uint8)
    if content.size != geometry.voxel_count:
        found = f"{content.size} bytes"
        raise _bad(f"one byte for each of {geometry.voxel_count} voxels", found)
    return content.reshape(geometry.shape, order="F")


def _bad(expected: str, found: str) -> DataError:
    remedy = "draw on the image of this sample and submit it without cropping or resampling"
    return DataError(Problem("segmentation", expected, found, remedy))
