from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.mesh.extraction.between_slices import between_slices
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap

LABELS = LabelTable.from_names("skin", "bone", "screw")


def radii_mm(label_map: LabelMap, value: int) -> npt.NDArray[np.float64]:
    """Radius of the disc of equal area in every slice across the last axis."""
    i, j, _ = label_map.geometry.spacing_mm
    return np.asarray(np.sqrt(label_map.mask(value).sum(axis=(0, 1)) * i * j / np.pi))


def test_a_fine_grid_is_left_alone() -> None:
    geometry = oblique_geometry((4, 4, 4), (0.8, 1.0, 1.2))
    label_map = LabelMap(np.ones((4, 4, 4), dtype=np.uint8), geometry, LABELS)
    assert between_slices(label_map) is label_map


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 1.6, 3.0, 5.0]), st.integers(0, 2))
def test_old_slices_stay_and_new_voxels_fill_the_old(seed: int, ratio: float, axis: int) -> None:
    array = np.random.default_rng(seed).integers(0, 4, (5, 6, 7)).astype(np.uint8)
    spacing = [1.0, 1.0, 1.0]
    spacing[axis] = ratio
    geometry = oblique_geometry((5, 6, 7), (spacing[0], spacing[1], spacing[2]))
    fine = between_slices(LabelMap(array, geometry, LABELS))
    factor = fine.array.shape[axis] // array.shape[axis]
    assert factor % 2 == 1
    assert max(fine.geometry.spacing_mm) <= 1.5 * min(fine.geometry.spacing_mm) + 1e-9 or ratio < 3
    old = np.moveaxis(fine.array, axis, 0)[factor // 2 :: factor]
    np.testing.assert_array_equal(old, np.moveaxis(array, axis, 0))
    np.testing.assert_allclose(
        [geometry.to_world([[-0.5] * 3])[0], geometry.to_world([np.array(array.shape) - 0.5])[0]],
        [
            fine.geometry.to_world([[-0.5] * 3])[0],
            fine.geometry.to_world([np.array(fine.array.shape) - 0.5])[0],
        ],
    )


def test_a_sphere_in_thick_slices_becomes_round() -> None:
    geometry = oblique_geometry((60, 60, 14), (0.7, 0.7, 3.0), angles=(0.0, 0.0, 0.0))
    mask = ellipsoid_mask(geometry, (18.0, 18.0, 18.0), offset_mm=(0.1, 0.2, 0.8))
    fine = between_slices(LabelMap(mask.astype(np.uint8), geometry, LABELS))
    heights_mm = fine.geometry.to_world(np.argwhere(np.ones((1, 1, fine.array.shape[2]))))[:, 2]
    centre_mm = geometry.to_world([[29.5, 29.5, 6.5]])[0, 2] + 0.8
    truth_mm = np.sqrt(np.maximum(0, 18.0**2 - (heights_mm - centre_mm) ** 2))
    amid = np.abs(heights_mm - centre_mm) < 17
    np.testing.assert_allclose(radii_mm(fine, 1)[amid], truth_mm[amid], atol=1.0)
    ends = np.flatnonzero(radii_mm(fine, 1))[[0, -1]]
    np.testing.assert_allclose(ends, np.flatnonzero(truth_mm)[[0, -1]], atol=1)


@pytest.mark.parametrize("step", [(3, 0), (2, -3), (0, 0)])
def test_a_slanted_tube_stays_as_wide_as_it_is(step: tuple[int, int]) -> None:
    disc = np.zeros((31, 31), dtype=np.uint8)
    disc[8:15, 9:15] = disc[9:14, 8:16] = 1
    array = np.stack([np.roll(disc, (k * step[0], k * step[1]), (0, 1)) for k in range(3)], axis=2)
    geometry = Geometry.from_affine(array.shape, np.diag([1.0, 1.0, 5.0, 1.0]))
    fine = between_slices(LabelMap(array, geometry, LABELS)).array
    inner = fine[:, :, 2:13]
    areas = inner.sum(axis=(0, 1)) / disc.sum()
    assert areas.tolist() == pytest.approx([1.0] * 11, abs=0.05)
    centres = np.array([np.argwhere(plane).mean(axis=0) for plane in np.moveaxis(inner, 2, 0)])
    np.testing.assert_allclose(centres - centres[0], np.outer(np.arange(11) / 5, step), atol=0.6)


def test_what_gets_smaller_loses_its_area_evenly() -> None:
    array = np.zeros((40, 40, 2), dtype=np.uint8)
    array[4:36, 4:12, 0], array[4:12, 4:12, 1] = 1, 1
    geometry = Geometry.from_affine(array.shape, np.diag([1.0, 1.0, 5.0, 1.0]))
    fine = between_slices(LabelMap(array, geometry, LABELS)).array
    areas = fine.sum(axis=(0, 1), dtype=int)[2:8]
    np.testing.assert_allclose(areas, np.linspace(256, 64, 6), atol=13)  # rows of a bar


def test_a_label_that_fills_its_slices_fills_what_lies_between() -> None:
    array = np.full((6, 5, 3), 2, dtype=np.uint8)
    array[:, :, 1] = 1
    geometry = Geometry.from_affine(array.shape, np.diag([1.0, 1.0, 4.0, 1.0]))
    fine = between_slices(LabelMap(array, geometry, LABELS)).array
    assert (fine > 0).all()


def test_touching_labels_leave_no_gap_between_slices() -> None:
    array = np.zeros((20, 20, 2), dtype=np.uint8)
    array[:, :8, 0], array[:, 8:, 0] = 1, 2
    array[:, :12, 1], array[:, 12:, 1] = 1, 2
    geometry = Geometry.from_affine(array.shape, np.diag([1.0, 1.0, 5.0, 1.0]))
    fine = between_slices(LabelMap(array, geometry, LABELS)).array
    assert (fine > 0).all()
    widths = (fine == 1).sum(axis=1)[0]
    assert widths.tolist() == pytest.approx([8, 8, 8, 9, 10, 10, 11, 12, 12, 12], abs=1)
    assert (np.diff(widths) >= 0).all()


def test_what_ends_between_slices_ends_in_a_dome() -> None:
    array = np.zeros((20, 20, 3), dtype=np.uint8)
    array[5:15, 5:15, :2] = 1
    geometry = Geometry.from_affine(array.shape, np.diag([1.0, 1.0, 7.0, 1.0]))
    fine = between_slices(LabelMap(array, geometry, LABELS))
    areas = (fine.array == 1).sum(axis=(0, 1))
    # half of seven new slices lie before the last old one's middle, three beyond it
    assert areas[:11].tolist() == [100] * 11
    assert areas[12] < 100
    assert (np.diff(areas[10:15].astype(int)) <= 0).all()
    assert areas[14:].sum() == 0
