from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from disks import largest_file
from voxloop.errors import DataError, LimitError, StorageError, UsageError
from voxloop.io.formats import read_volume, write_label_map, write_volume
from voxloop.volume.labels import IGNORE, LabelTable
from voxloop.volume.volume import LabelMap, Volume
from voxloop.workspace.actions.add import add
from voxloop.workspace.actions.info import info
from voxloop.workspace.workspace import Workspace
from workspace_samples import (
    GEOMETRY,
    LABELS,
    content,
    make_workspace,
    organ,
    write_scans,
)


def write_nnunet(folder: Path, labels: dict[str, int], *case_ids: str) -> Path:
    """An nnU-Net data set of two channels whose label maps have an ignore value of 3."""
    array = np.where(organ() == 2, 2, organ())
    array[..., 6] = 3
    values = LabelTable({1: "x", 2: "y", 3: "z"})
    for case_id in case_ids:
        for channel in range(2):
            scan = Volume(np.full(GEOMETRY.shape, channel, np.float32), GEOMETRY)
            write_volume(folder / "imagesTr" / f"{case_id}_{channel:04d}.nii.gz", scan)
        path = folder / "labelsTr" / f"{case_id}.nii.gz"
        write_label_map(path, LabelMap(array.astype(np.uint8), GEOMETRY, values))
    index = {
        "channel_names": {"0": "T1", "1": "T2"},
        "labels": {"background": 0, **labels, "ignore": 3},
        "numTraining": len(case_ids),
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(index))
    return folder


def test_scans_stay_where_they_lie_unless_copied(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    scans = write_scans(tmp_path / "more", "b")
    add(workspace, scans, copy=True)
    referenced, copied = (workspace.case(i).case(workspace.layout).channels[0] for i in "ab")
    assert referenced == tmp_path / "scans" / "a.nii.gz"
    assert copied == workspace.layout.image_folder("b") / "b_0000.nii.gz"
    assert copied.read_bytes() == (scans / "b.nii.gz").read_bytes()


def test_the_grid_and_the_slice_axis_are_recorded(tmp_path: Path) -> None:
    record = make_workspace(tmp_path, "a").case("a")
    assert record.geometry.difference(GEOMETRY) is None
    assert (record.slice_axis, record.slice_count) == (2, 7)


def test_a_data_set_comes_with_its_channels_and_annotations(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    folder = write_nnunet(tmp_path / "set", LABELS.to_json(), "a", "b")
    result = add(workspace, folder, with_labels=True)
    assert result.added == result.annotated == ("a", "b")
    assert workspace.case("a").channel_names == ("T1", "T2")
    target = workspace.target_of("b")
    assert (target.values[..., 6] == IGNORE).all()
    assert np.array_equal(target.values[..., :6], organ()[..., :6])
    assert info(workspace).voxel_share == pytest.approx(6 / 7)


def test_a_two_file_scan_is_copied_as_one(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    array = np.arange(GEOMETRY.voxel_count, dtype=np.int16).reshape(GEOMETRY.shape)
    header = tmp_path / "scan.nhdr"
    rows = [f"({','.join(str(v) for v in column)})" for column in GEOMETRY.matrix[:3, :3].T]
    origin = f"({','.join(str(v) for v in GEOMETRY.matrix[:3, 3])})"
    sizes = " ".join(str(n) for n in GEOMETRY.shape)
    header.write_text(
        "NRRD0004\ntype: int16\ndimension: 3\nspace: right-anterior-superior\n"
        f"sizes: {sizes}\nspace directions: {' '.join(rows)}\nkinds: domain domain domain\n"
        f"endian: little\nencoding: raw\nspace origin: {origin}\ndata file: scan.raw\n\n"
    )
    (tmp_path / "scan.raw").write_bytes(array.tobytes(order="F"))
    add(workspace, [header], copy=True)
    (path,) = workspace.case("scan").case(workspace.layout).channels
    copied = read_volume(path)
    assert np.array_equal(copied.array, array)
    assert GEOMETRY.difference(copied.geometry) is None


def test_everything_wrong_is_listed_at_once_and_nothing_is_added(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    folder = write_scans(tmp_path / "more", "A", "b", "c")
    path = folder / "b.nii.gz"
    path.write_bytes(path.read_bytes()[:20])
    before = content(workspace)
    with pytest.raises(DataError, match="2 problems found, nothing was changed") as caught:
        add(workspace, folder, copy=True)
    listed = str(caught.value)
    assert re.search('case "A".*A.nii.gz.*found case "a" there already', listed)
    assert re.search('case "b".*b.nii.gz', listed)
    assert content(workspace) == before


def test_labels_are_matched_by_name_whatever_their_values(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    folder = write_nnunet(tmp_path / "set", {"spleen": 1, "liver": 2}, "a")
    add(workspace, folder, with_labels=True)
    target = workspace.target_of("a")
    swapped = np.array([0, 2, 1], dtype=np.uint8)[organ()]
    assert np.array_equal(target.values[..., :6], swapped[..., :6])
    assert (target.values[..., 6] == IGNORE).all()


def test_only_the_labels_of_its_own_table_were_looked_for_in_a_data_set(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    folder = write_nnunet(tmp_path / "set", {"spleen": 1}, "a")
    array = np.where(organ() == 2, 1, 0).astype(np.uint8)
    label_map = LabelMap(array, GEOMETRY, LabelTable.from_names("spleen"))
    write_label_map(folder / "labelsTr" / "a.nii.gz", label_map)
    add(workspace, folder, with_labels=True)
    assert workspace.annotations_of("a")[0].asked == {"spleen": 2}
    target = workspace.target_of("a")
    assert set(target.asked_sets) == {frozenset(), frozenset({2})}
    assert np.array_equal(target.values == 2, organ() == 2)


def test_label_maps_can_be_said_to_cover_some_labels_only(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    folder = write_nnunet(tmp_path / "set", LABELS.to_json(), "a")
    before = content(workspace)
    found = r"case \"a\", .*labelsTr/a.nii.gz: .*liver, found 1 voxels of 'spleen' \(value 2\)"
    with pytest.raises(DataError, match=found):
        add(workspace, folder, with_labels=True, asked=["liver"])
    with pytest.raises(UsageError, match=r"no label 'spleeen'.*did you mean 'spleen'"):
        add(workspace, folder, with_labels=True, asked=["spleeen"])
    with pytest.raises(UsageError, match="--with-labels to take them"):
        add(workspace, folder, asked=["liver"])
    assert content(workspace) == before
    liver = np.where(organ() == 1, 1, 0).astype(np.uint8)
    write_label_map(folder / "labelsTr" / "a.nii.gz", LabelMap(liver, GEOMETRY, LABELS))
    add(workspace, folder, with_labels=True, asked=["liver"])
    assert workspace.annotations_of("a")[0].asked == {"liver": 1}


def test_a_label_that_a_data_set_does_not_know_was_not_looked_for_in_it(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    folder = write_nnunet(tmp_path / "set", {"liver": 1}, "a")
    with pytest.raises(DataError, match=r"'spleen', which is said.*found liver in its"):
        add(workspace, folder, with_labels=True, asked=["spleen"])


def test_labels_that_the_workspace_has_not_are_refused_only_if_wanted(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    folder = write_nnunet(tmp_path / "set", {"liver": 1, "spleeen": 2}, "a")
    before = content(workspace)
    found = "labels of the workspace, liver, spleen, found 'spleeen' .did you mean 'spleen'"
    with pytest.raises(DataError, match=found):
        add(workspace, folder, with_labels=True)
    assert content(workspace) == before
    assert add(workspace, folder).added == ("a",)
    assert workspace.annotations_of("a") == ()


@pytest.mark.parametrize("problem", ["value", "grid"])
def test_a_bad_label_map_is_refused_with_its_case_and_file(tmp_path: Path, problem: str) -> None:
    workspace = make_workspace(tmp_path)
    folder = write_nnunet(tmp_path / "set", LABELS.to_json(), "a", "b")
    array, grid = organ(), GEOMETRY
    if problem == "value":
        array[0, 0, 0] = 9
    else:
        array, grid = array[1:], dataclasses.replace(GEOMETRY, shape=(9, 12, 7))
    table = LabelTable({1: "x", 2: "y", 9: "z"})
    write_label_map(folder / "labelsTr" / "b.nii.gz", LabelMap(array, grid, table))
    before = content(workspace)
    finding = r"9" if problem == "value" else r"shape \(9, 12, 7\)"
    with pytest.raises(DataError, match=rf'case "b".*labelsTr/b\.nii\.gz.*found .*{finding}'):
        add(workspace, folder, with_labels=True)
    assert content(workspace) == before


def test_scans_of_other_channels_are_refused(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    folder = write_nnunet(tmp_path / "set", LABELS.to_json(), "b")
    with pytest.raises(DataError, match=r'case "b".*channels .*image.*found .*T1.*T2'):
        add(workspace, folder)


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    (tmp_path / "empty").mkdir()
    before = content(workspace)
    with pytest.raises(DataError, match=r"empty.*found none; choose the folder"):
        add(workspace, tmp_path / "empty")
    assert content(workspace) == before


@pytest.mark.parametrize("size", [0, 100, 1500])
def test_a_full_disk_leaves_the_workspace_as_it_was(tmp_path: Path, size: int) -> None:
    workspace = make_workspace(tmp_path, "a")
    scans = write_scans(tmp_path / "more", "b", "c")
    before = content(workspace)
    with largest_file(size), pytest.raises(StorageError, match="cannot write") as caught:
        add(workspace, scans, copy=True)
    assert caught.value.exit_code == 4
    assert content(workspace) == before
    assert add(workspace, scans, copy=True).added == ("b", "c")


def test_copies_that_cannot_fit_are_refused_before_they_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(tmp_path)
    scans = write_scans(tmp_path / "more", "b")
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: usage)
    with pytest.raises(LimitError, match=r"10 B are free.*without copying"):
        add(workspace, scans, copy=True)


def test_a_scan_that_changed_or_went_missing_is_noticed(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a", "b", "c")
    scans = tmp_path / "scans"
    os.utime(scans / "a.nii.gz")  # touched, but the same
    write_scans(tmp_path / "scans", "b")
    (scans / "c.nii.gz").unlink()
    problems = info(Workspace.open(workspace.root)).changed_scans
    assert [p.where.split(",")[0] for p in problems] == ['case "b"', 'case "c"']
    assert problems[0].found == "a file of other content"
