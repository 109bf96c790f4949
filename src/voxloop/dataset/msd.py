"""The folder layout of the Medical Segmentation Decathlon: one 3D file per case."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from voxloop.compute.atomic import write_json
from voxloop.dataset.case import Case
from voxloop.dataset.dataset import Dataset
from voxloop.dataset.export import Renumbering, require_new_folder, write_case
from voxloop.dataset.index import INDEX, CaseCollector, ordered_names, read_index, split_labels
from voxloop.errors import DataError, Problem, UsageError
from voxloop.io.contained import contained_path
from voxloop.io.formats import strip_suffix
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap

__all__ = ["read_msd", "write_msd"]


def read_msd(folder: Path) -> Dataset:
    """Read the index of a Decathlon data set and find its files; none of them is opened.

    The cases listed under `test` are left alone: what was kept aside must not be learned from.

    Args:
        folder: the one that holds `dataset.json`.

    Raises:
        DataError: with all that is wrong: several modalities in one 4D file, files that are
            missing or outside the folder, labels that do not fit.
    """
    index = read_index(folder)
    channel_names = ordered_names(folder, index.get("modality"), "modality")
    if len(channel_names) > 1:
        raise DataError(
            Problem(
                str(folder / INDEX),
                "one modality",
                f"{len(channel_names)} in one 4D file ({', '.join(channel_names)})",
                "split each file into 3D files of one channel, in the nnU-Net v2 layout "
                "(CASE_0000.nii.gz, CASE_0001.nii.gz)",
            )
        )
    named = index.get("labels")
    items = named.items() if isinstance(named, dict) else ()
    pairs = [(name, _number(value)) for value, name in items]
    labels, ignore = split_labels(folder, pairs)
    name = str(index.get("name") or folder.resolve().name)
    return Dataset(_cases(folder, index.get("training")), labels, channel_names, name, ignore)


def write_msd(
    folder: Path,
    labels: LabelTable,
    channel_name: str,
    cases: Iterable[tuple[Case, LabelMap]],
    *,
    name: str,
) -> None:
    """Write cases of one channel with their label maps as a Decathlon data set.

    Labels are numbered as by `write_nnunet`; a number named `ignore` is added where one occurs,
    which readers other than Voxloop take for a structure.

    Args:
        folder: absent or empty.
        labels: the label table of all label maps.
        channel_name: the modality, e.g. `CT`.
        cases: with their label maps, which are on the cases' grids.
        name: of the data set.

    Raises:
        UsageError: if the folder holds anything, or a case has several channels.
        DataError: if a case is bad or its label map is on another grid.
        StorageError: if the disk refuses.
    """
    require_new_folder(folder)
    numbers = Renumbering(labels)
    training, any_ignored = [], False
    for case, label_map in cases:
        if len(case.channels) > 1:
            raise UsageError(f"{case.where()} has several channels; export as nnU-Net instead")
        image, label = (f"{kind}Tr/{case.id}.nii.gz" for kind in ("images", "labels"))
        ignored = write_case(case, label_map, numbers, [folder / image], folder / label)
        training.append({"image": f"./{image}", "label": f"./{label}"})
        any_ignored = any_ignored or ignored
    named = {"background": 0, **numbers.names(with_ignore=any_ignored)}
    index = {
        "name": name,
        "tensorImageSize": "3D",
        "modality": {"0": channel_name},
        "labels": {str(value): label for label, value in named.items()},
        "numTraining": len(training),
        "numTest": 0,
        "training": training,
        "test": [],
    }
    write_json(folder / INDEX, index)


def _number(text: Any) -> Any:
    return int(text) if str(text).isdecimal() else text


def _cases(folder: Path, training: Any) -> tuple[Case, ...]:
    collector, index = CaseCollector.empty(), folder / INDEX
    for entry in training if isinstance(training, list) else []:
        try:
            image = contained_path(index, entry["image"])
            label = contained_path(index, entry["label"]) if entry.get("label") else None
        except DataError as error:
            collector.problems += error.problems
        except (TypeError, KeyError, AttributeError):
            expected = "an 'image' and a 'label' for each entry of 'training'"
            found = repr(entry)
            collector.problems.append(Problem(str(index), expected, found, "correct the file"))
        else:
            collector.add(strip_suffix(image.name), (image,), label)
    return collector.finish()
