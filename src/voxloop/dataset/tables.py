"""Which label table a set of label-map files goes by."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from voxloop.dataset.index import INDEX, visible_files
from voxloop.dataset.layouts import read_dataset
from voxloop.errors import DataError, Problem
from voxloop.io.formats import has_known_suffix, read_volume, strip_suffix
from voxloop.volume.labels import BACKGROUND, IGNORE, LabelTable

__all__ = ["label_map_files", "label_table_for"]


def label_map_files(place: Path) -> list[Path]:
    """The label maps a path names: a file itself, or a folder's, in order of name.

    Raises:
        DataError: if there is none.
    """
    if place.is_file():
        return [place]
    files = [path for path in visible_files(place) if has_known_suffix(path.name)]
    if not files:
        raise DataError(
            Problem(str(place), "a label map or a folder of them", "none", "check the path")
        )
    return files


def label_table_for(
    paths: Iterable[Path], given: LabelTable | None = None
) -> tuple[LabelTable, int | None]:
    """The label table of label maps, and the value they use for voxels nobody looked at.

    Taken from what was given, else from a `dataset.json` in the files' folder or the one above
    (nnU-Net and Decathlon layouts), else from the records that `segment` writes beside its label
    maps, else from the values found: value 3 becomes "label 3".

    Args:
        paths: label maps, at least one.
        given: a table that is known already.

    Raises:
        DataError: if the files cannot be read, or hold no label at all.
    """
    files = list(paths)
    if given is not None:
        return given, None
    recorded = {_recorded(path) for path in files}
    table = recorded.pop() if len(recorded) == 1 else None
    beside = {path.absolute().parent for path in files}
    for folder in dict.fromkeys(place for path in files for place in path.absolute().parents[:2]):
        if (folder / INDEX).exists():
            if table is not None and beside == {folder}:
                break  # predictions in nnU-Net's layout: the index names labels and no scan
            dataset = read_dataset(folder)
            if dataset.labels is not None:
                return dataset.labels, dataset.ignore_value
    if table is not None:
        return table, None
    values: set[int] = set()
    for path in files:
        values |= {int(value) for value in np.unique(read_volume(path).array)}
    found = sorted(values - {BACKGROUND, IGNORE})
    if not found:
        raise DataError(
            Problem(
                ", ".join(path.name for path in files[:3]),
                "at least one label",
                "background only",
                "name the labels (--label), or check that these are label maps",
            )
        )
    return LabelTable({value: f"label {value}" for value in found}), None


def _recorded(path: Path) -> LabelTable | None:
    """The label table in the JSON record of a label map's name, if there is one."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, DataError):
        document = json.loads(path.with_name(f"{strip_suffix(path.name)}.json").read_text())
        return LabelTable({int(value): str(name) for name, value in document["labels"].items()})
    return None
