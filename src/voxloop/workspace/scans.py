"""The scans of a batch: what can be segmented, and what is wrong with the rest."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from voxloop.dataset.case import Case
from voxloop.dataset.index import INDEX, read_index
from voxloop.dataset.layouts import read_dataset
from voxloop.errors import DataError, Problem
from voxloop.io.formats import SUFFIXES, has_known_suffix, strip_suffix

__all__ = ["FoundScans", "RefusedScan", "find_scans"]

_NUMBERED = re.compile(r"(.+)_(\d{4})")
"""nnU-Net's file names: case and channel."""

_DICOM_MAGIC_AT = 128


@dataclass(frozen=True, slots=True)
class RefusedScan:
    """A scan that cannot be a case.

    Attributes:
        id: by which it is listed.
        problem: why.
    """

    id: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class FoundScans:
    """What there is to segment.

    Attributes:
        cases: in ascending order of id, of as many channels as the model has; none is opened.
        refused: scans that are no cases, in the same order.
        ignored: names of other files in the folders.
    """

    cases: tuple[Case, ...]
    refused: tuple[RefusedScan, ...]
    ignored: tuple[str, ...]


def find_scans(
    sources: Iterable[Path], channel_count: int, reserved: frozenset[str] = frozenset()
) -> FoundScans:
    """Find scans in folders and among files; one that does not fit hinders no other.

    A folder may be an nnU-Net or Decathlon data set (label maps are not looked at), a plain one
    of scans, or hold scans in its subfolder `images`. Names that end in `_0000`, `_0001` and so
    on number the channels of a case.

    Args:
        sources: folders and files.
        channel_count: of the model.
        reserved: ids that are taken.

    Raises:
        DataError: if there is nothing to segment, or a folder cannot be read.
    """
    files: list[Path] = []
    cases: list[Case] = []
    ignored: list[Path] = []
    missing: list[Path] = []
    for source in sources:
        if not source.is_dir():
            (files if os.path.lexists(source) else missing).append(source)
            continue
        indexed = _indexed_cases(source)
        if indexed is not None:
            cases += indexed
            continue
        for path in _entries(_scan_folder(source)):
            if has_known_suffix(path.name):
                files.append(path)
            elif path.is_file():
                ignored.append(path)
    refused = [RefusedScan(strip_suffix(path.name), _missing(path)) for path in missing]
    for case_id, paths in _grouped(files):
        try:
            cases.append(_case(case_id, paths, channel_count))
        except DataError as error:
            refused += [RefusedScan(case_id, problem) for problem in error.problems]
    if not cases and not refused:
        raise DataError(_nothing(", ".join(map(str, sources)), ignored))
    unique, taken = _without_doubles(cases, reserved)
    return FoundScans(
        tuple(sorted(unique, key=lambda case: case.id)),
        tuple(sorted([*refused, *taken], key=lambda scan: scan.id)),
        tuple(path.name for path in ignored),
    )


def _indexed_cases(folder: Path) -> tuple[Case, ...] | None:
    """The cases that a `dataset.json` lists; None where the files' names say it all."""
    if not (folder / INDEX).is_file():
        return None
    index = read_index(folder)
    if "channel_names" in index and not isinstance(index.get("dataset"), dict):
        return None
    return read_dataset(folder).cases


def _scan_folder(folder: Path) -> Path:
    for name in ("imagesTr", "images"):
        if (folder / name).is_dir():
            return folder / name
    return folder


def _entries(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(path for path in folder.iterdir() if path.name[0] != ".")
    except PermissionError as error:
        remedy = "ask for access to it"
        problem = Problem(str(folder), "a readable folder", "no permission", remedy)
        raise DataError(problem) from error


def _grouped(files: list[Path]) -> Iterator[tuple[str, tuple[Path, ...]]]:
    """Files by case: channels of one where their numbers begin at 0, else each file its own."""
    numbered: dict[str, list[tuple[int, Path]]] = {}
    for path in files:
        name = strip_suffix(path.name)
        match = _NUMBERED.fullmatch(name)
        base, number = (match[1], int(match[2])) if match else (name, 0)
        numbered.setdefault(base if match else f"{name}/", []).append((number, path))
    for base, members in numbered.items():
        # numbers that begin elsewhere are years or patients, not channels
        if min(number for number, _ in members) == 0:
            yield base.removesuffix("/"), tuple(path for _, path in sorted(members))
        else:
            yield from ((strip_suffix(path.name), (path,)) for _, path in members)


def _case(case_id: str, paths: tuple[Path, ...], channel_count: int) -> Case:
    """A case of these files.

    Raises:
        DataError: if its id could be no file name, or it has not the model's channels.
    """
    case = Case(case_id, paths)
    numbers = [_NUMBERED.fullmatch(strip_suffix(path.name)) for path in paths]
    expected = list(range(channel_count))
    gaps = channel_count > 1 and [int(match[2]) for match in numbers if match] != expected
    if len(paths) != channel_count or gaps:
        wanted = "1 channel" if channel_count == 1 else f"{channel_count} channels"
        last = f"{case_id}_{channel_count - 1:04d}"
        names = "" if channel_count == 1 else f", files {case_id}_0000 to {last},"
        raise DataError(
            Problem(
                case.where(paths[0]),
                f"{wanted}{names} as the model was trained with",
                f"{len(paths)} ({', '.join(path.name for path in paths)})",
                "add the missing images, or rename what belongs to another case",
            )
        )
    return case


def _without_doubles(
    cases: list[Case], reserved: frozenset[str]
) -> tuple[list[Case], list[RefusedScan]]:
    """Separate cases whose names are free from those whose label maps would collide."""
    counts = Counter(case.id.casefold() for case in cases)
    unique, refused = [], []
    for case in cases:
        where = case.where(case.channels[0])
        if case.id.casefold() in reserved:
            problem = Problem(
                where,
                "a name that the summary's files leave free",
                f"{case.id!r}",
                "rename the scan",
            )
        elif counts[case.id.casefold()] > 1:
            problem = Problem(
                where,
                "a name of its own for each scan",
                f"{counts[case.id.casefold()]} scans of this name",
                "rename all but one, or segment them into different folders",
            )
        else:
            unique.append(case)
            continue
        refused.append(RefusedScan(case.id, problem))
    return unique, refused


def _missing(path: Path) -> Problem:
    return Problem(str(path), "a scan or a folder of them", "none of this name", "check the path")


def _nothing(where: str, ignored: list[Path]) -> Problem:
    expected = f"scans ending in {', '.join(SUFFIXES)}"
    if any(map(_is_dicom, ignored[:3])):
        remedy = "convert each series to one .nii.gz or .nrrd file first, e.g. with 3D Slicer"
        return Problem(where, expected, "DICOM slices", remedy)
    return Problem(where, expected, "none", "choose the folder that holds the scans")


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as handle:
            handle.seek(_DICOM_MAGIC_AT)
            return handle.read(4) == b"DICM"
    except OSError:
        return False
