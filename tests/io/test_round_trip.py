"""What is written is read back, and independent readers place it at the same millimetres."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

import phantoms
from voxloop.errors import StorageError, UsageError
from voxloop.io.formats import (
    SUFFIXES,
    read_geometry,
    read_label_map,
    read_volume,
    strip_suffix,
    write_label_map,
    write_volume,
)
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import IGNORE, LabelTable
from voxloop.volume.volume import LabelMap, Volume

WRITABLE = [".nii.gz", ".nii", ".nrrd", ".mha"]
STORED = [np.uint8, np.int16, np.uint16, np.int32, np.int64, np.float32]
LABELS = LabelTable({2: "femur", 7: "tibia"})


def noise(geometry: Geometry, dtype: Any = np.int16) -> Volume:
    values = np.random.default_rng(5).integers(0, 250, geometry.shape)
    return Volume(values.astype(dtype), geometry)


def world_of_itk_index(path: Path, index: tuple[int, int, int]) -> np.ndarray[Any, Any]:
    x, y, z = sitk.ReadImage(str(path)).TransformIndexToPhysicalPoint(index)
    return np.array([-x, -y, z])


angles = st.floats(-3.1, 3.1)
flips = st.tuples(st.booleans(), st.booleans(), st.booleans())


@pytest.mark.parametrize("suffix", WRITABLE)
@settings(max_examples=15, deadline=None)
@given(turn=st.tuples(angles, angles, angles), flip=flips)
def test_any_oblique_anisotropic_or_flipped_grid_survives(
    suffix: str, turn: tuple[float, float, float], flip: tuple[bool, bool, bool]
) -> None:
    volume = noise(phantoms.oblique_geometry((5, 6, 4), (0.7, 1.3, 4.0), turn, flip))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"scan{suffix}"
        write_volume(path, volume)
        again = read_volume(path)
        assert volume.geometry.difference(again.geometry) is None
        assert volume.geometry.difference(read_geometry(path)) is None
        np.testing.assert_array_equal(again.array, volume.array)
        at_itk = world_of_itk_index(path, (4, 1, 3))
        np.testing.assert_allclose(at_itk, volume.geometry.to_world([(4, 1, 3)])[0], atol=0.02)


@pytest.mark.parametrize("dtype", STORED)
@pytest.mark.parametrize("suffix", WRITABLE)
def test_stored_types_are_kept(tmp_path: Path, suffix: str, dtype: Any) -> None:
    volume = noise(phantoms.oblique_geometry(), dtype)
    write_volume(tmp_path / f"scan{suffix}", volume)
    again = read_volume(tmp_path / f"scan{suffix}")
    assert again.array.dtype == dtype
    np.testing.assert_array_equal(again.array, volume.array)


@pytest.mark.parametrize("suffix", WRITABLE)
def test_a_label_map_keeps_its_values_and_what_nobody_looked_at(
    tmp_path: Path, suffix: str
) -> None:
    geometry = phantoms.oblique_geometry()
    array = np.full(geometry.shape, IGNORE, dtype=np.uint8)
    array[:, :, 3] = np.where(phantoms.ellipsoid_mask(geometry)[:, :, 7], 7, 0)
    label_map = LabelMap(array, geometry, LABELS)
    write_label_map(tmp_path / f"map{suffix}", label_map)
    again = read_label_map(tmp_path / f"map{suffix}", LABELS)
    np.testing.assert_array_equal(again.array, array)
    assert again.array.dtype == np.uint8
    assert again.geometry.difference(geometry) is None


def test_nrrd_written_by_itk_and_nifti_written_by_nibabel_are_the_same_scan(
    tmp_path: Path,
) -> None:
    volume = noise(phantoms.oblique_geometry(flips=(True, False, True)))
    nib.Nifti1Image(volume.array, volume.geometry.matrix).to_filename(tmp_path / "a.nii.gz")
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "a.nii.gz")), str(tmp_path / "a.nrrd"))
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "a.nii.gz")), str(tmp_path / "a.mhd"))
    for name in ("a.nii.gz", "a.nrrd", "a.mhd"):
        again = read_volume(tmp_path / name)
        np.testing.assert_allclose(again.geometry.matrix, volume.geometry.matrix, atol=1e-4)
        np.testing.assert_array_equal(again.array, volume.array)


def test_nifti_is_written_with_both_transforms_as_scanner_coordinates(tmp_path: Path) -> None:
    volume = noise(phantoms.oblique_geometry())
    write_volume(tmp_path / "a.nii.gz", volume)
    image: Any = nib.load(tmp_path / "a.nii.gz")
    header = image.header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
    np.testing.assert_allclose(header.get_qform(), volume.geometry.matrix, atol=1e-4)
    assert header.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize("suffix", WRITABLE)
def test_a_sheared_grid_as_of_a_tilted_gantry_survives(tmp_path: Path, suffix: str) -> None:
    matrix = phantoms.oblique_geometry().matrix.copy()
    matrix[:3, 2] += 0.3 * matrix[:3, 1]
    volume = noise(Geometry.from_affine((6, 5, 4), matrix))
    write_volume(tmp_path / f"a{suffix}", volume)
    assert read_volume(tmp_path / f"a{suffix}").geometry.difference(volume.geometry) is None


def test_scaled_whole_numbers_become_the_intensities_that_nibabel_reads(tmp_path: Path) -> None:
    stored = noise(phantoms.oblique_geometry()).array
    image = nib.Nifti1Image(stored, np.diag([1.0, 2.0, 3.0, 1.0]))
    image.header.set_slope_inter(0.5, -1024)
    image.to_filename(tmp_path / "a.nii")
    again = read_volume(tmp_path / "a.nii").array
    assert again.dtype == np.float32
    image_again: Any = nib.load(tmp_path / "a.nii")
    np.testing.assert_allclose(again, image_again.get_fdata())


def test_big_endian_files_and_nifti_2_are_read_in_native_order(tmp_path: Path) -> None:
    volume = noise(phantoms.oblique_geometry())
    header = nib.Nifti1Header(endianness=">")
    nib.Nifti1Image(volume.array, volume.geometry.matrix, header).to_filename(tmp_path / "b.nii")
    nib.Nifti2Image(volume.array, volume.geometry.matrix).to_filename(tmp_path / "2.nii.gz")
    for name in ("b.nii", "2.nii.gz"):
        again = read_volume(tmp_path / name)
        assert again.array.dtype.isnative
        np.testing.assert_array_equal(again.array, volume.array)


def test_several_gzip_members_are_one_file(tmp_path: Path) -> None:
    import gzip

    volume = noise(phantoms.oblique_geometry())
    write_volume(tmp_path / "a.nii", volume)
    content = (tmp_path / "a.nii").read_bytes()
    pieces = b"".join(gzip.compress(content[i : i + 999]) for i in range(0, len(content), 999))
    (tmp_path / "b.nii.gz").write_bytes(pieces)
    np.testing.assert_array_equal(read_volume(tmp_path / "b.nii.gz").array, volume.array)


def test_a_trailing_axis_of_length_one_is_dropped(tmp_path: Path) -> None:
    nib.Nifti1Image(np.zeros((4, 5, 6, 1, 1), np.int16), np.eye(4)).to_filename(tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii").array.shape == (4, 5, 6)


@pytest.mark.parametrize(("space", "signs"), [("RAS", (1, 1)), ("LAS", (-1, 1)), ("LPS", (-1, -1))])
def test_nrrd_spaces_are_converted_to_ras(
    tmp_path: Path, space: str, signs: tuple[int, int]
) -> None:
    header = (
        f"NRRD0004\ntype: uint8\ndimension: 3\nspace: {space}\nsizes: 2 3 4\nencoding: raw\n"
        "space directions: (2,0,0) (0,3,0) (0,0,4)\nspace origin: (10,20,30)\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(header.encode() + bytes(24))
    world = read_geometry(tmp_path / "a.nrrd").to_world([(1, 1, 1)])[0]
    np.testing.assert_allclose(world, [12 * signs[0], 23 * signs[1], 34])


def test_suffixes_are_cut_whole_and_whatever_their_case() -> None:
    assert [strip_suffix(f"a.b{suffix.upper()}") for suffix in SUFFIXES] == ["a.b"] * len(SUFFIXES)
    assert strip_suffix("a.txt") == "a.txt"


def test_writing_refuses_what_it_cannot_do_at_once(tmp_path: Path) -> None:
    volume = noise(phantoms.oblique_geometry())
    with pytest.raises(UsageError, match=r"header and voxels apart; use \.nrrd or \.mha"):
        write_volume(tmp_path / "a.mhd", volume)
    with pytest.raises(UsageError, match=r"use one of \.nii\.gz"):
        write_volume(tmp_path / "a.png", volume)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", WRITABLE)
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")

    def refuse(self: Path, _target: Path) -> Path:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StorageError, match="cannot write"):
        write_volume(path, noise(phantoms.oblique_geometry()))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
