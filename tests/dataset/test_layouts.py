"""nnU-Net, Decathlon and plain folders: in, out, and back with what nobody looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phantoms
from voxloop.dataset.annotation import annotate_region, merge
from voxloop.dataset.case import Case
from voxloop.dataset.check import check_dataset
from voxloop.dataset.dense import dense_label_map
from voxloop.dataset.layouts import read_dataset
from voxloop.dataset.load import read_case_channels, read_case_label_map
from voxloop.dataset.msd import write_msd
from voxloop.dataset.nnunet import write_nnunet
from voxloop.errors import DataError, UsageError
from voxloop.io.formats import read_label_map, write_label_map, write_volume
from voxloop.volume.boxes import Box
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import IGNORE, LabelTable
from voxloop.volume.volume import LabelMap, Volume

LABELS = LabelTable({3: "femur", 7: "tibia"})
RENUMBERED = LabelTable({1: "femur", 2: "tibia"})
GEOMETRY = phantoms.oblique_geometry((8, 9, 7))
NNUNET: dict[str, Any] = {
    "channel_names": {"0": "T1", "1": "T2"},
    "labels": {"background": 0, "femur": 1, "tibia": 2, "ignore": 3},
    "numTraining": 2,
    "file_ending": ".nii.gz",
}


def write_scan(path: Path, seed: int = 0, geometry: Geometry = GEOMETRY) -> Path:
    values = np.random.default_rng(seed).integers(-1000, 1000, geometry.shape, dtype=np.int16)
    write_volume(path, Volume(values, geometry))
    return path


def two_channel_cases(folder: Path) -> list[Case]:
    return [
        Case(name, (write_scan(folder / f"{name}_a.nrrd", 1), write_scan(folder / f"{name}_b.mha")))
        for name in ("p1", "p2")
    ]


def label_map_with_one_slice() -> LabelMap:
    array = np.full(GEOMETRY.shape, IGNORE, dtype=np.uint8)
    array[:, :, 2] = 0
    array[2:5, 2:5, 2], array[6, 6, 2] = 3, 7
    return LabelMap(array, GEOMETRY, LABELS)


def write_index(folder: Path, index: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(index))
    return folder


def nnunet_folder(folder: Path, index: dict[str, Any] = NNUNET) -> Path:
    write_index(folder, index)
    for case in ("a", "b"):
        for channel in range(len(index["channel_names"])):
            write_scan(folder / "imagesTr" / f"{case}_{channel:04d}.nii.gz", channel)
        label_map = LabelMap(np.ones(GEOMETRY.shape, dtype=np.uint8), GEOMETRY, RENUMBERED)
        write_label_map(folder / "labelsTr" / f"{case}.nii.gz", label_map)
    return folder


def test_nnunet_export_comes_back_with_images_labels_and_ignored_voxels(tmp_path: Path) -> None:
    cases, label_map = two_channel_cases(tmp_path), label_map_with_one_slice()
    target = tmp_path / "Dataset501_Knee"
    write_nnunet(target, LABELS, ("T1", "CT"), [(case, label_map) for case in cases], name="Knee")
    dataset = read_dataset(target)
    check_dataset(dataset)
    assert (dataset.name, dataset.ids, dataset.channel_names) == (
        "Knee",
        ("p1", "p2"),
        ("T1", "CT"),
    )
    assert (dataset.labels, dataset.ignore_value) == (RENUMBERED, 3)
    index = json.loads((target / "dataset.json").read_text())
    assert index["labels"] == {"background": 0, "femur": 1, "tibia": 2, "ignore": 3}
    assert (index["numTraining"], index["file_ending"]) == (2, ".nii.gz")
    for before, after in zip(cases, dataset.cases, strict=True):
        for old, new in zip(read_case_channels(before), read_case_channels(after), strict=True):
            np.testing.assert_array_equal(old.array, new.array)
            assert old.geometry.difference(new.geometry) is None
        again = read_case_label_map(after, RENUMBERED, ignore_value=3)
        expected = np.select([label_map.array == v for v in (3, 7, IGNORE)], [1, 2, IGNORE], 0)
        np.testing.assert_array_equal(again.array, expected)


def test_nnunet_export_of_whole_label_maps_names_no_ignore(tmp_path: Path) -> None:
    whole = LabelMap(np.full(GEOMETRY.shape, 7, dtype=np.uint8), GEOMETRY, LABELS)
    case = two_channel_cases(tmp_path)[0]
    write_nnunet(tmp_path / "D", LABELS, ("T1", "T2"), [(case, whole)], name="Knee")
    assert read_dataset(tmp_path / "D").ignore_value is None


def test_decathlon_export_comes_back_with_ignored_voxels(tmp_path: Path) -> None:
    case = Case("p1", (write_scan(tmp_path / "p1.nii"),))
    label_map = label_map_with_one_slice()
    write_msd(tmp_path / "Task01", LABELS, "CT", [(case, label_map)], name="Knee")
    dataset = read_dataset(tmp_path / "Task01")
    check_dataset(dataset)
    assert (dataset.ids, dataset.channel_names) == (("p1",), ("CT",))
    assert (dataset.labels, dataset.ignore_value) == (RENUMBERED, 3)
    again = read_case_label_map(dataset.cases[0], RENUMBERED, ignore_value=3)
    np.testing.assert_array_equal(again.array == IGNORE, label_map.array == IGNORE)
    np.testing.assert_array_equal(again.array == 1, label_map.array == 3)


def test_voxels_where_not_every_label_was_asked_for_are_ignored_in_a_dense_label_map() -> None:
    array = np.zeros(GEOMETRY.shape, dtype=np.uint8)
    array[4:] = 3
    reference = LabelMap(array, GEOMETRY, LABELS)
    whole = annotate_region(reference, [Box.slice_at(GEOMETRY.shape, 2, 1)])
    femur = annotate_region(reference, [Box.slice_at(GEOMETRY.shape, 2, 4)], frozenset({3}))
    dense = dense_label_map(merge([whole, femur], GEOMETRY.shape, LABELS), GEOMETRY)
    np.testing.assert_array_equal(dense.array[:, :, 1], array[:, :, 1])
    assert (np.delete(dense.array, 1, axis=2) == IGNORE).all()


def test_an_export_refuses_what_would_mix_or_mislead(tmp_path: Path) -> None:
    case = two_channel_cases(tmp_path)[0]
    label_map = label_map_with_one_slice()
    with pytest.raises(UsageError, match="it is not empty; choose a new folder"):
        write_nnunet(tmp_path, LABELS, ("T1", "T2"), [(case, label_map)], name="Knee")
    with pytest.raises(UsageError, match="several channels; export as nnU-Net"):
        write_msd(tmp_path / "M", LABELS, "CT", [(case, label_map)], name="Knee")
    with pytest.raises(UsageError, match="another label table than the export"):
        write_nnunet(tmp_path / "N", RENUMBERED, ("T1", "T2"), [(case, label_map)], name="Knee")
    moved = phantoms.oblique_geometry((8, 9, 7), origin_mm=(0, 0, 0))
    elsewhere = LabelMap(label_map.array, moved, LABELS)
    with pytest.raises(DataError, match=r'case "p1", .*found a corner displaced by'):
        write_nnunet(tmp_path / "N", LABELS, ("T1", "T2"), [(case, elsewhere)], name="Knee")
    assert not (tmp_path / "N" / "dataset.json").exists()


def test_nnunet_with_an_explicit_file_list_is_read(tmp_path: Path) -> None:
    folder = nnunet_folder(tmp_path / "D")
    entry = {
        "images": ["imagesTr/b_0000.nii.gz", "./imagesTr/b_0001.nii.gz"],
        "label": "labelsTr/b.nii.gz",
    }
    write_index(folder, NNUNET | {"dataset": {"b": entry, "c": entry | {"label": None}}})
    assert [case.label_map is None for case in read_dataset(folder).cases] == [False, True]
    write_index(
        folder, NNUNET | {"dataset": {"b": entry, "c": {"images": ["/etc/passwd"]}, "d": 3}}
    )
    with pytest.raises(DataError, match=r"(?s)'/etc/passwd', outside of it.*'images' and a file"):
        read_dataset(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {"background": 0, "knee": [1, 2]}}, r"the region 'knee' made of \[1, 2\]"),
        ({"labels": {"background": 1, "a": 2}}, "0 for 'background' and for nothing else"),
        ({"labels": {"background": 0, "a": 1, "b": 1}}, "every label value once"),
        ({"labels": {"background": 0, "a": 1.5}}, "whole numbers as label values"),
        ({"labels": {"background": 0, "a": 400}}, "label values from 1 to 254"),
        ({"labels": {"background": 0}}, "at least one label"),
        ({"labels": []}, "at least one label"),
        ({"channel_names": {"0": "CT", "2": "MR"}}, 'channel_names numbered from "0"'),
        ({"channel_names": []}, 'channel_names numbered from "0"'),
        ({"channel_names": {"0": "CT"}}, r"channels \['0000'\], found \['0000', '0001'\]"),
        ({"file_ending": ".png"}, "a file_ending that can be read"),
        ({"file_ending": ".nrrd"}, r"images named CASE_0000\.nrrd, found a_0000\.nii\.gz"),
    ],
)
def test_a_bad_nnunet_index_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_dataset(write_index(nnunet_folder(tmp_path / "D"), NNUNET | change))


def test_all_that_is_missing_from_an_nnunet_folder_is_told_at_once(tmp_path: Path) -> None:
    folder = nnunet_folder(tmp_path / "D")
    (folder / "imagesTr" / "a_0001.nii.gz").unlink()
    (folder / "imagesTr" / "._b_0000.nii.gz").write_bytes(b"left by macOS")
    (folder / "labelsTr" / "b.nii.gz").rename(folder / "labelsTr" / "z.nii.gz")
    with pytest.raises(DataError, match="2 problems found") as caught:
        read_dataset(folder)
    first, second = (str(problem) for problem in caught.value.problems)
    assert first.startswith('case "a": expected channels')
    assert second.startswith('case "z", ')
    assert "an image in imagesTr for this label map" in second


def test_images_without_a_label_map_are_cases_and_test_images_are_none(tmp_path: Path) -> None:
    folder = nnunet_folder(tmp_path / "D")
    (folder / "labelsTr" / "a.nii.gz").unlink()
    write_scan(folder / "imagesTs" / "t_0000.nii.gz")
    dataset = read_dataset(folder)
    assert dataset.ids == ("a", "b")
    assert [case.id for case in dataset.labelled] == ["b"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modality": {"0": "T1", "1": "T2"}}, "expected one modality, found 2 in one 4D file"),
        ({"training": [{"image": "../x.nii.gz"}]}, r"'\.\./x\.nii\.gz', outside of it"),
        ({"training": [{"image": "./x.nii.gz"}, 7]}, "(?s)2 problems.*'image' and a 'label' for"),
        ({"training": []}, "at least one scan"),
        ({"labels": {"a": "background"}}, "whole numbers as label values"),
        ({"labels": ["background"]}, "at least one label"),
    ],
)
def test_a_bad_decathlon_index_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    case = Case("p1", (write_scan(tmp_path / "p1.nii"),))
    folder = tmp_path / "Task01"
    write_msd(folder, LABELS, "CT", [(case, label_map_with_one_slice())], name="Knee")
    index = json.loads((folder / "dataset.json").read_text())
    with pytest.raises(DataError, match=message):
        read_dataset(write_index(folder, index | change))


def test_a_plain_folder_is_read_with_its_label_maps(tmp_path: Path) -> None:
    write_scan(tmp_path / "a.nii.gz")
    write_scan(tmp_path / "b.nrrd")
    write_label_map(tmp_path / "labels" / "b.nii.gz", label_map_with_one_slice())
    (tmp_path / "notes.txt").write_text("not a scan")
    dataset = read_dataset(tmp_path)
    assert dataset.ids == ("a", "b")
    assert dataset.labels is None
    assert [case.id for case in dataset.labelled] == ["b"]
    check_dataset(dataset)
    assert dataset.case("b").label_map is not None


def test_a_plain_folder_with_doubtful_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a folder of scans, found none"):
        read_dataset(tmp_path / "absent")
    with pytest.raises(DataError, match=r"expected scans ending in .*, found none"):
        read_dataset(tmp_path)
    write_scan(tmp_path / "a.nii.gz")
    write_scan(tmp_path / "A.nrrd")
    with pytest.raises(DataError, match=r"2 cases of one name: .*A\.nrrd, .*a\.nii\.gz"):
        read_dataset(tmp_path)
    write_scan(tmp_path / "patient one.mha")
    write_label_map(tmp_path / "labels" / "c.nii.gz", label_map_with_one_slice())
    write_label_map(tmp_path / "labels" / "c.nrrd", label_map_with_one_slice())
    with pytest.raises(DataError, match=r"(?s)3 problems.*two, c\.nrrd.*an id of.*the same name"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]", '{"modalities": 1}'])
def test_an_index_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(DataError, match=r"dataset\.json: expected (a JSON|'channel_names')"):
        read_dataset(tmp_path)


def test_exported_label_maps_stay_readable_with_ignore_unmapped(tmp_path: Path) -> None:
    case = Case("p1", (write_scan(tmp_path / "p1.nii"),))
    write_msd(tmp_path / "T", LABELS, "CT", [(case, label_map_with_one_slice())], name="Knee")
    path = read_dataset(tmp_path / "T").cases[0].label_map
    assert path is not None
    with pytest.raises(DataError, match="found unknown values 3"):
        read_label_map(path, RENUMBERED)
