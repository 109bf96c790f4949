"""The raw folder layout of nnU-Net v2: one file per channel, `CASE_0000.nii.gz`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from voxloop.compute.atomic import write_json
from voxloop.dataset.case import Case
from voxloop.dataset.dataset import Dataset
from voxloop.dataset.export import Renumbering, require_new_folder, write_case
from voxloop.dataset.index import (
    INDEX,
    CaseCollector,
    Document,
    ordered_names,
    read_index,
    split_labels,
    visible_files,
)
from voxloop.errors import DataError, Problem
from voxloop.io.contained import contained_path
from voxloop.io.formats import has_known_suffix
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap

__all__ = ["read_nnunet", "write_nnunet"]

_IMAGES, _LABELS = "imagesTr", "labelsTr"
_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


def read_nnunet(folder: Path) -> Dataset:
    """Read the index of an nnU-Net v2 raw data set and find its files; none of them is opened.

    Images without a label map are cases to be annotated. The folder `imagesTs` is left alone:
    what was kept aside for testing must not be learned from.

    Args:
        folder: the one that holds `dataset.json`.

    Raises:
        DataError: with all that is wrong: labels made of regions, channels without a file,
            label maps without an image, names that do not fit.
    """
    index = read_index(folder)
    channel_names = ordered_names(folder, index.get("channel_names"), "channel_names")
    named = index.get("labels")
    labels, ignore = split_labels(folder, list(named.items()) if isinstance(named, dict) else [])
    if isinstance(index.get("dataset"), dict):
        cases = _listed_cases(folder, index["dataset"])
    else:
        cases = _found_cases(folder, _file_ending(folder, index), len(channel_names))
    name = str(index.get("name") or folder.resolve().name)
    return Dataset(cases, labels, channel_names, name, ignore)


def write_nnunet(
    folder: Path,
    labels: LabelTable,
    channel_names: Sequence[str],
    cases: Iterable[tuple[Case, LabelMap]],
    *,
    name: str,
) -> None:
    """Write cases with their label maps as an nnU-Net v2 raw data set, .nii.gz throughout.

    Labels are numbered from 1 without gaps in the order of their values, as nnU-Net demands.
    Where nobody looked the label maps hold the next number, which the index names `ignore` if
    it occurs. Of annotations that did not ask for all labels, `dense_label_map` makes what
    can be expressed. The index is written last: without it the folder is no data set.

    Args:
        folder: absent or empty; nnU-Net expects a name like `Dataset501_Femur`.
        labels: the label table of all label maps.
        channel_names: one for each channel; `CT` makes nnU-Net normalise as for CT.
        cases: with their label maps, which are on the cases' grids.
        name: of the data set.

    Raises:
        UsageError: if the folder holds anything.
        DataError: if a case is bad or its label map is on another grid.
        StorageError: if the disk refuses.
    """
    require_new_folder(folder)
    numbers = Renumbering(labels)
    count, any_ignored = 0, False
    for case, label_map in cases:
        images = [folder / _IMAGES / f"{case.id}_{i:04d}.nii.gz" for i in range(len(case.channels))]
        ignored = write_case(
            case, label_map, numbers, images, folder / _LABELS / f"{case.id}.nii.gz"
        )
        count, any_ignored = count + 1, any_ignored or ignored
    index = {
        "name": name,
        "channel_names": {str(i): channel for i, channel in enumerate(channel_names)},
        "labels": {"background": 0, **numbers.names(with_ignore=any_ignored)},
        "numTraining": count,
        "file_ending": ".nii.gz",
    }
    write_json(folder / INDEX, index)


def _file_ending(folder: Path, index: Document) -> str:
    ending = index.get("file_ending")
    if not isinstance(ending, str) or not has_known_suffix(ending):
        raise DataError(
            Problem(
                str(folder / INDEX),
                "a file_ending that can be read, e.g. '.nii.gz'",
                repr(ending),
                "convert the images to .nii.gz",
            )
        )
    return ending


def _found_cases(folder: Path, ending: str, channel_count: int) -> tuple[Case, ...]:
    collector = CaseCollector.empty()
    channels: dict[str, dict[int, Path]] = {}
    for path in visible_files(folder / _IMAGES):
        match = _CHANNEL.fullmatch(path.name.removesuffix(ending))
        if match and path.name.endswith(ending):
            channels.setdefault(match["case"], {})[int(match["channel"])] = path
        else:
            expected = f"images named CASE_0000{ending}"
            collector.problems.append(Problem(str(path), expected, path.name, "rename the file"))
    label_maps = {path.name.removesuffix(ending): path for path in visible_files(folder / _LABELS)}
    for case_id, files in channels.items():
        if sorted(files) != list(range(channel_count)):
            collector.problems.append(_wrong_channels(case_id, sorted(files), channel_count))
        paths = tuple(files[number] for number in sorted(files))
        collector.add(case_id, paths, label_maps.pop(case_id, None))
    collector.problems += [
        Problem(
            f'case "{case_id}", {path}',
            f"an image in {_IMAGES} for this label map",
            "none",
            "add the image, or remove the label map",
        )
        for case_id, path in label_maps.items()
    ]
    return collector.finish()


def _wrong_channels(case_id: str, found: list[int], count: int) -> Problem:
    return Problem(
        f'case "{case_id}"',
        f"channels {[f'{n:04d}' for n in range(count)]}",
        f"{[f'{n:04d}' for n in found]}",
        "add the missing images or correct channel_names",
    )


def _listed_cases(folder: Path, listed: Document) -> tuple[Case, ...]:
    collector, index = CaseCollector.empty(), folder / INDEX
    for case_id, entry in listed.items():
        try:
            images = tuple(contained_path(index, str(name)) for name in entry["images"])
            label = contained_path(index, str(entry["label"])) if entry.get("label") else None
        except DataError as error:
            collector.problems += error.problems
        except (TypeError, KeyError, AttributeError):
            expected = "a list 'images' and a file 'label' for each case of 'dataset'"
            where = f'case "{case_id}", {index}'
            collector.problems.append(Problem(where, expected, repr(entry), "correct the file"))
        else:
            collector.add(str(case_id), images, label)
    return collector.finish()
