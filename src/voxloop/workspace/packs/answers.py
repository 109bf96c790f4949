"""What came back in a folder of query packs, before it is judged against the workspace."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voxloop.errors import DataError, Problem
from voxloop.io.formats import has_known_suffix, read_geometry, read_label_map
from voxloop.io.segments import read_segment_names
from voxloop.volume.labels import BACKGROUND, IGNORE, LabelTable
from voxloop.volume.placement import displacement_of, grid_fault, on_grid
from voxloop.volume.volume import LabelArray
from voxloop.workspace.packs.document import PackedQuery
from voxloop.workspace.packs.readme import CONFIRMATION, MINUTES
from voxloop.workspace.predictions import file_sha256
from voxloop.workspace.proposals import voxel_hash

__all__ = ["PackAnswer", "read_answer", "read_on_grid"]


@dataclass(frozen=True, eq=False)
class PackAnswer:
    """What somebody made of one query.

    Attributes:
        query: what was asked.
        path: of the label map that counts.
        array: its voxels, in the order of the scan's axes.
        changed: whether it differs from what was handed out, within what was asked for.
        confirmed: whether somebody said that the proposal is right as it is.
        seconds: what it took, if that was written down.
        warnings: what is odd but hinders nothing, in words.
    """

    query: PackedQuery
    path: Path
    array: LabelArray
    changed: bool
    confirmed: bool
    seconds: float | None
    warnings: tuple[str, ...]

    @property
    def touched(self) -> bool:
        """True if it answers the query."""
        return self.changed or self.confirmed


def read_answer(
    folder: Path,
    query: PackedQuery,
    labels: LabelTable,
    started: LabelArray | None,
    ignore_value: int | None = None,
) -> PackAnswer | None:
    """Read what came back for a query; None if its folder or its label map is missing.

    Args:
        folder: of the packs.
        query: what was asked.
        labels: the workspace's.
        started: the voxels that were handed out, if they are still known.
        ignore_value: a value that means "not looked at" beside 255.

    Raises:
        DataError: if there are several answers, or one is on another grid, mirrored or shifted.
    """
    place = folder / query.folder
    maps = tuple(_label_maps(place, query))
    if not maps:
        return None
    read = [(path, read_on_grid(path, query, labels, ignore_value)) for path in maps]
    new = [(path, array) for path, array in read if voxel_hash(array) != query.started]
    if len(new) > 1:
        names = " and ".join(path.name for path, _ in new)
        remedy = "leave one of them in the folder"
        raise DataError(Problem(str(place), "one changed label map", names, remedy))
    path, array = (new or read)[0]
    if new and started is not None:
        _require_in_place(path, query, array, started)
    inside = query.region.slices
    # Without what was handed out, whatever was saved anew counts.
    same = started is not None and np.array_equal(array[inside], started[inside])
    confirmed = any((place / name).exists() for name in (CONFIRMATION, CONFIRMATION[:-4]))
    seconds, odd = _seconds(place / MINUTES)
    warnings = (*odd, *_overwritten(place, query))
    return PackAnswer(query, path, array, bool(new) and not same, confirmed, seconds, warnings)


def read_on_grid(
    path: Path, query: PackedQuery, labels: LabelTable, ignore_value: int | None
) -> LabelArray:
    """Read a label map in the order of the scan's axes, its segments matched by name if named.

    Raises:
        DataError: if it cannot be read, or is on another grid; says whether it was mirrored,
            shifted, cropped or resampled.
    """
    found = read_geometry(path)
    if on_grid(np.empty(found.shape, dtype=bool), found, query.geometry) is None:
        fault = grid_fault(query.geometry, found)
        remedy = "draw on the pack's image and save without cropping, resampling or turning it"
        raise DataError(Problem(str(path), "the image's grid", fault, remedy))
    label_map = read_label_map(path, _table_of(path, labels), ignore_value=ignore_value)
    array = _by_name(path, label_map.array, labels)
    turned = on_grid(array, found, query.geometry)
    return np.ascontiguousarray(turned, dtype=np.uint8)


def _table_of(path: Path, labels: LabelTable) -> LabelTable:
    """The table under which a file can be read: with named segments, any values are."""
    names = _strangers_removed(path, labels)
    if not names:
        return labels
    return LabelTable({value: f"segment {value}" for value in {*names, *labels.values}})


def _by_name(path: Path, array: LabelArray, labels: LabelTable) -> LabelArray:
    names = _strangers_removed(path, labels)
    if not names:
        return array
    to = np.arange(256, dtype=np.uint8)
    present = set(np.unique(array).tolist()) - {BACKGROUND, IGNORE}
    unknown = sorted(present - set(names))
    if unknown:
        expected = f"segments named {', '.join(labels.by_name)}"
        remedy = "name each segment as its label"
        raise DataError(Problem(str(path), expected, f"unnamed values {unknown}", remedy))
    for value, name in names.items():
        to[value] = labels.by_name[name]
    return np.asarray(to[array])


def _strangers_removed(path: Path, labels: LabelTable) -> dict[int, str]:
    """Value to label of a file's segments; empty if it names none of the labels.

    Raises:
        DataError: if some are labels and others are not, and it has voxels of these.
    """
    named = read_segment_names(path)
    known = {value: name for value, name in named.items() if name in labels.by_name}
    return {v: n for v, n in known.items() if BACKGROUND < v < IGNORE}


def _label_maps(place: Path, query: PackedQuery) -> Iterator[Path]:
    ours = {*query.images, query.mask}
    for path in sorted(place.iterdir()) if place.is_dir() else ():
        plain = path.is_file() and not path.name.startswith(".")
        if plain and has_known_suffix(path.name) and path.name not in ours:
            yield path


def _require_in_place(
    path: Path, query: PackedQuery, array: LabelArray, started: LabelArray
) -> None:
    looked = np.where(array == IGNORE, started, array)
    found = displacement_of(looked, started, (query.region,))
    if found is not None:
        expected = "voxels where the image has them"
        remedy = (
            "export the label map again without turning or moving it; if you drew there on "
            f"purpose, deliver the file on its own, named {query.case_id}"
        )
        raise DataError(Problem(str(path), expected, found.words, remedy))


def _seconds(path: Path) -> tuple[float | None, tuple[str, ...]]:
    """What was written down, in seconds; or why it cannot be."""
    if not path.is_file():
        return None, ()
    with path.open("rb") as handle:
        written = handle.read(64).decode("utf-8", "replace").strip().replace(",", ".")
    if not written:
        return None, ()
    try:
        minutes = float(written)
    except ValueError:
        minutes = math.nan
    if 0 < minutes < math.inf:
        return 60 * minutes, ()
    return None, (f"{path.name} holds {written!r}, no number of minutes; no time is logged",)


def _overwritten(place: Path, query: PackedQuery) -> Iterator[str]:
    for name, sha256 in dataclasses.asdict(query)["files"].items():
        found = file_sha256(place / name)
        if found is not None and found != sha256:
            yield (
                f"{name} was changed since it was handed out and is not looked at; draw in "
                f"{query.labels}"
            )
