"""A workspace's annotations as data sets of other tools, read back by our own readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.dataset.layouts import read_dataset
from voxloop.dataset.load import read_case_label_map
from voxloop.errors import UsageError
from voxloop.io.formats import write_label_map, write_volume
from voxloop.volume.labels import IGNORE, LabelTable
from voxloop.volume.volume import LabelArray, LabelMap, Volume
from voxloop.workspace.actions.add import add
from voxloop.workspace.actions.collect import CollectOptions, collect
from voxloop.workspace.actions.export import Layout, export
from voxloop.workspace.delivery import LookedAt
from voxloop.workspace.workspace import Workspace

LABELS = LabelTable({3: "femur", 7: "tibia"})
GEOMETRY = oblique_geometry((12, 10, 8), flips=(True, False, False))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Case `half`: slices 0 to 4 annotated; `femur_only`: all of it, for one label."""
    made = Workspace.create(tmp_path / "study", "Dataset501_Knee", LABELS)
    array = np.zeros(GEOMETRY.shape, dtype=np.uint8)
    array[ellipsoid_mask(GEOMETRY, (3, 3, 6))] = 3
    for case_id in ("half", "femur_only"):
        write_volume(tmp_path / "scans" / f"{case_id}.nii.gz", Volume(array * 10.0, GEOMETRY))
    add(made, tmp_path / "scans")
    drawn = array.copy()
    drawn[2] = 7
    drawn[:, :, 5:] = IGNORE
    _deliver(made, tmp_path / "first", "half", drawn, CollectOptions())
    alone = CollectOptions(looked_at=LookedAt.ALL, asked=("femur",))
    _deliver(made, tmp_path / "second", "femur_only", array, alone)
    return made


def _deliver(
    workspace: Workspace, folder: Path, case_id: str, array: LabelArray, options: CollectOptions
) -> None:
    write_label_map(folder / f"{case_id}.nii.gz", LabelMap(array, GEOMETRY, LABELS))
    collect(workspace, folder, options)


@pytest.mark.parametrize("layout", ["nnunet", "msd"])
def test_partial_annotations_leave_as_ignore_and_come_back(
    workspace: Workspace, tmp_path: Path, layout: Layout
) -> None:
    done = export(workspace, tmp_path / "out", layout=layout)
    assert (done.cases, done.left_out) == (("half",), ("femur_only",))
    dataset = read_dataset(tmp_path / "out")
    assert dataset.labels == LabelTable.from_names("femur", "tibia")
    assert dataset.ignore_value == 3
    back = read_case_label_map(dataset.case("half"), dataset.labels, ignore_value=3)
    assert back.geometry.difference(GEOMETRY) is None
    target = workspace.target_of("half").values
    expected = np.where(target == 3, 1, np.where(target == 7, 2, target))
    np.testing.assert_array_equal(back.array, expected)


def test_an_export_never_mixes_with_what_is_there(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="it is not empty; choose a new folder"):
        export(workspace, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_workspace_without_complete_looks_has_nothing_to_export(tmp_path: Path) -> None:
    made = Workspace.create(tmp_path / "study", "empty", LABELS)
    with pytest.raises(UsageError, match="no case with voxels at which all labels were asked"):
        export(made, tmp_path / "out")
