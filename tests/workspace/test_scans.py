"""Which files make up the scans of a batch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from voxloop.errors import DataError
from voxloop.workspace.scans import FoundScans, find_scans


def found_in(folder: Path, channels: int, *names: str) -> FoundScans:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    return find_scans([folder], channels, frozenset({"summary"}))


def ids(found: FoundScans) -> dict[str, int]:
    return {case.id: len(case.channels) for case in found.cases}


def test_channels_are_told_by_their_numbers_whatever_lies_beside_them(tmp_path: Path) -> None:
    names = ("a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii.gz", "b_0001.nrrd", "stray.nii.gz")
    found = found_in(tmp_path / "x", 2, *names)
    assert ids(found) == {"a": 2, "b": 2}
    (stray,) = found.refused
    assert "2 channels, files stray_0000 to stray_0001" in stray.problem.expected


@pytest.mark.parametrize(
    ("names", "case_id"),
    [
        (("a_0000.nii", "a_0002.nii"), "a"),
        (("a_0000.nii",), "a"),
        (("a_0001.nii",), "a_0001"),
        (("a_0000.nii", "a_0000.nrrd"), "a"),
    ],
)
def test_a_case_that_lacks_a_channel_is_refused_alone(
    names: tuple[str, ...], case_id: str, tmp_path: Path
) -> None:
    found = found_in(tmp_path / "x", 2, "sound_0000.nii", "sound_0001.nii", *names)
    assert ids(found) == {"sound": 2}
    assert [scan.id for scan in found.refused] == [case_id]
    assert "add the missing images" in found.refused[0].problem.remedy


def test_numbers_that_do_not_begin_at_0_are_part_of_the_name(tmp_path: Path) -> None:
    found = found_in(tmp_path / "x", 1, "scan_2021.nii", "scan_2022.nii", "ct_0000.nii")
    assert ids(found) == {"ct": 1, "scan_2021": 1, "scan_2022": 1}


def test_names_that_collide_or_are_taken_are_refused(tmp_path: Path) -> None:
    found = found_in(tmp_path / "x", 1, "a.nii", "A.nrrd", "b.nii", "Summary.nii", "two words.nii")
    assert ids(found) == {"b": 1}
    said = {scan.id: scan.problem.found for scan in found.refused}
    assert said == {
        "a": "2 scans of this name",
        "A": "2 scans of this name",
        "Summary": "'Summary'",
        "two words": "'two words'",
    }


def test_a_data_set_gives_its_images_and_other_files_are_passed_over(tmp_path: Path) -> None:
    names = ("imagesTr/a_0000.nii", "labelsTr/a.nii", "imagesTr/notes.txt", "imagesTr/.hidden.nii")
    (tmp_path / "x").mkdir()
    index = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}}
    (tmp_path / "x" / "dataset.json").write_text(json.dumps(index | {"file_ending": ".nii"}))
    found = found_in(tmp_path / "x", 1, *names)
    assert (ids(found), found.ignored) == ({"a": 1}, ("notes.txt",))


def test_what_is_not_there_is_refused_alone_and_dicom_is_told(tmp_path: Path) -> None:
    found_in(tmp_path / "x", 1, "a.nii")
    found = find_scans([tmp_path / "x", tmp_path / "y.nii"], 1)
    assert (ids(found), found.refused[0].id) == ({"a": 1}, "y")
    slices = tmp_path / "dicom"
    slices.mkdir()
    (slices / "IM0001").write_bytes(bytes(128) + b"DICM")
    with pytest.raises(DataError, match="found DICOM slices; convert each series"):
        find_scans([slices], 1)
