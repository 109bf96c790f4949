"""A check names every problem of every case, and passes real data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import phantoms
from voxloop.compute.progress import Progress
from voxloop.dataset.case import Case
from voxloop.dataset.check import check_case, check_dataset
from voxloop.dataset.dataset import Dataset
from voxloop.dataset.layouts import read_dataset
from voxloop.dataset.load import read_case_channels, read_case_geometry, read_case_label_map
from voxloop.errors import DataError
from voxloop.io.formats import read_geometry, read_label_map, read_volume, write_volume
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import Volume

LABELS = LabelTable.from_names("femur")
GEOMETRY = phantoms.oblique_geometry((6, 7, 5))
FLIPPED = phantoms.oblique_geometry((6, 7, 5), flips=(True, False, False))


def write(path: Path, value: int = 1, geometry: Geometry = GEOMETRY) -> Path:
    write_volume(path, Volume(np.full(geometry.shape, value, dtype=np.uint8), geometry))
    return path


def test_all_problems_of_all_cases_are_reported_together(tmp_path: Path) -> None:
    good = write(tmp_path / "good.nii.gz")
    cut_off = tmp_path / "cut_off.nii.gz"
    cut_off.write_bytes(good.read_bytes()[:30])
    cases = (
        Case("a", (good, write(tmp_path / "flipped.nrrd", geometry=FLIPPED)), good),
        Case("b", (good, good), write(tmp_path / "strange.nii.gz", value=9)),
        Case("c", (cut_off, good), good),
        Case("d", (good, good), good),
    )
    reports: list[Progress] = []
    with pytest.raises(DataError, match="3 problems found, nothing was changed") as caught:
        check_dataset(Dataset(cases, LABELS, ("T1", "T2"), "knees"), reports.append)
    where = [problem.where for problem in caught.value.problems]
    names = ("flipped.nrrd", "strange.nii.gz", "cut_off.nii.gz")
    assert where == [f'case "{c}", {tmp_path / n}' for c, n in zip("abc", names, strict=True)]
    found = [problem.found for problem in caught.value.problems]
    assert "orientation" in found[0]
    assert found[1] == "unknown values 9"
    assert [report.done for report in reports] == [1, 2, 3, 4]


def test_a_label_map_on_another_grid_is_named_with_its_case(tmp_path: Path) -> None:
    wrong = write(tmp_path / "l.nii.gz", geometry=phantoms.oblique_geometry((6, 5, 7)))
    case = Case("a", (write(tmp_path / "i.nii.gz"),), wrong)
    (problem,) = check_case(case, LABELS)
    assert "shape (6, 5, 7) instead of (6, 7, 5)" in str(problem)
    with pytest.raises(DataError, match=r'case "a", .*l\.nii\.gz: expected the grid of the image'):
        read_case_label_map(case, LABELS)


def test_channels_must_share_one_grid(tmp_path: Path) -> None:
    one = write(tmp_path / "i.nii.gz")
    other = write(tmp_path / "j.nii.gz", geometry=FLIPPED)
    assert len(read_case_channels(Case("a", (one, one)))) == 2
    with pytest.raises(DataError, match=r'case "a", .*j\.nii\.gz: expected the grid of the image'):
        read_case_channels(Case("a", (one, other)))
    with pytest.raises(DataError, match=r'case "a", .*k\.nii: expected a file, found none'):
        read_case_geometry(Case("a", (tmp_path / "k.nii",)))
    with pytest.raises(DataError, match='case "a": expected a label map, found none'):
        read_case_label_map(Case("a", (one,)), LABELS)


def test_a_data_set_has_distinct_cases_with_all_channels(tmp_path: Path) -> None:
    one = tmp_path / "a.nii"
    with pytest.raises(DataError, match="at least one scan, found none"):
        Dataset((), LABELS, ("CT",), "none")
    cases = (Case("a", (one,)), Case("A", (one,)), Case("b", (one, one)))
    with pytest.raises(DataError, match=r"(?s)2 problems.*2 cases of one name.*1 channels \(CT\)"):
        Dataset(cases, LABELS, ("CT",), "double")
    with pytest.raises(KeyError, match="z"):
        Dataset((Case("a", (one,)),), LABELS, ("CT",), "single").case("z")


def test_real_hippocampus_data_pass_the_check(shared_data: Path) -> None:
    dataset = read_dataset(shared_data / "hippocampus")
    assert len(dataset.cases) == len(dataset.labelled) == 200
    assert dataset.labels == LabelTable.from_names("anterior", "posterior")
    assert dataset.channel_names == ("MRI",)
    check_dataset(dataset)
    first = dataset.cases[0]
    (image,) = read_case_channels(first)
    assert dataset.labels is not None
    assert read_case_label_map(first, dataset.labels).geometry == image.geometry


def test_a_real_decathlon_case_is_read_on_the_grid_of_its_header(shared_data: Path) -> None:
    """Its image is 128 x 128 with each voxel repeated 4 x 4; grid and voxels still agree."""
    folder = shared_data / "small" / "spleen_8"
    image = read_volume(folder / "imagesTr.nii.gz")
    label_map = read_label_map(folder / "labelsTr.nii.gz", LabelTable.from_names("spleen"))
    assert image.geometry.shape == (512, 512, 32)
    assert image.geometry.orientation == "LAS"
    assert image.array.dtype == np.int16
    assert image.geometry.difference(label_map.geometry) is None
    assert label_map.mask(1).any()
    np.testing.assert_array_equal(image.array[::4, ::4], image.array[3::4, 3::4])


@pytest.mark.parametrize("name", ["brain1", "breast1"])
def test_real_nrrd_images_and_label_maps_share_their_grid(shared_data: Path, name: str) -> None:
    import SimpleITK as sitk

    path = shared_data / "small" / "pyradiomics" / f"{name}_image.nrrd"
    image = read_volume(path)
    label_map = read_label_map(path.with_name(f"{name}_label.nrrd"), LabelTable({1: "lesion"}))
    assert image.geometry.difference(label_map.geometry) is None
    assert label_map.mask(1).any()
    reference = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(image.array.T, sitk.GetArrayFromImage(reference))
    x, y, z = reference.TransformIndexToPhysicalPoint((20, 30, 10))
    np.testing.assert_allclose(image.geometry.to_world([(20, 30, 10)])[0], (-x, -y, z))


def test_real_segmentations_of_one_structure_lie_on_their_patient_grid(shared_data: Path) -> None:
    folder = shared_data / "head_neck_readers"
    if not folder.is_dir():
        pytest.skip("the head and neck segmentations are not there")
    reader = min(folder.glob("*/oncologist"))
    grids = [read_geometry(path) for path in sorted(reader.glob("*.nrrd"))]
    assert all(grids[0].difference(grid) is None for grid in grids)
    mandible = read_label_map(reader / "Mandible.nrrd", LabelTable({1: "mandible"}))
    assert 20 < mandible.volume_ml(1) < 150
