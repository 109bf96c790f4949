"""A plain folder of scans, perhaps with a folder of label maps of the same names."""

from __future__ import annotations

import re
from pathlib import Path

from voxloop.dataset.dataset import Dataset
from voxloop.dataset.index import CaseCollector, visible_files
from voxloop.errors import DataError, Problem
from voxloop.io.formats import SUFFIXES, has_known_suffix, strip_suffix
from voxloop.volume.labels import LabelTable

__all__ = ["read_plain"]

_LABELS = "labels"

_NUMBERED = re.compile(r"(.+)_(\d{4})")
"""nnU-Net's file names: case and channel."""


def read_plain(folder: Path, labels: LabelTable | None = None) -> Dataset:
    """Find the scans in a folder, or in its subfolder `images` if there is one; open none.

    Each file is a case of one channel, its name without suffix the id; but where all names end in
    `_0000`, `_0001` and so on, these number the channels of a case, as in nnU-Net. A file of the
    same id in the subfolder `labels` is its label map. Files of other kinds are passed over.

    Args:
        folder: to look into, not below.
        labels: the label table, which such a folder cannot tell.

    Raises:
        DataError: with all that is wrong: no scan, two of one name, a label map without a scan.
    """
    scans = folder / "images" if (folder / "images").is_dir() else folder
    collector = CaseCollector.empty()
    label_maps: dict[str, Path] = {}
    for path in visible_files(folder / _LABELS):
        if has_known_suffix(path.name):
            case_id = strip_suffix(path.name)
            if case_id in label_maps:
                collector.problems.append(_double(case_id, path, label_maps[case_id]))
            label_maps[case_id] = path
    found = [path for path in visible_files(scans) if has_known_suffix(path.name)]
    channels = _numbered_channels(found) or [(strip_suffix(path.name), (path,)) for path in found]
    for case_id, paths in channels:
        collector.add(case_id, paths, label_maps.get(case_id))
    orphans = sorted(set(label_maps) - {case_id for case_id, _ in channels})
    collector.problems += [
        Problem(
            f'case "{case_id}", {label_maps[case_id]}',
            "a scan of the same name",
            "none",
            "add the scan, or rename or remove the label map",
        )
        for case_id in orphans
    ]
    cases = collector.finish()
    if not cases:
        raise DataError(
            Problem(
                str(scans),
                f"scans ending in {', '.join(SUFFIXES)}",
                "none",
                "choose the folder that holds the scans",
            )
        )
    count = len(cases[0].channels)
    names = ("image",) if count == 1 else tuple(f"image {number}" for number in range(count))
    return Dataset(cases, labels, names, folder.resolve().name)


def _numbered_channels(paths: list[Path]) -> list[tuple[str, tuple[Path, ...]]]:
    """Cases by the channel numbers of nnU-Net's file names, if all files have them; else none.

    Its folder of test scans comes without an index and is a plain folder to us.
    """
    by_case: dict[str, dict[int, Path]] = {}
    for path in paths:
        match = _NUMBERED.fullmatch(strip_suffix(path.name))
        if match is None or int(match[2]) in by_case.setdefault(match[1], {}):
            return []
        by_case[match[1]][int(match[2])] = path
    count = max((len(numbered) for numbered in by_case.values()), default=0)
    if any(sorted(numbered) != list(range(count)) for numbered in by_case.values()):
        return []
    return [
        (case_id, tuple(numbered[n] for n in range(count))) for case_id, numbered in by_case.items()
    ]


def _double(case_id: str, path: Path, other: Path) -> Problem:
    return Problem(
        f'case "{case_id}"',
        "one label map",
        f"two, {path.name} and {other.name}",
        "remove the one that does not count",
    )
