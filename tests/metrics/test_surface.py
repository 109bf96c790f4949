from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk
import surface_distance
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import cdist

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.errors import UsageError
from voxloop.metrics.surface import (
    SurfaceDistances,
    SurfaceScores,
    surface_distances,
    surface_scores,
)
from voxloop.volume.geometry import Geometry

Mask = npt.NDArray[np.bool_]

STRUCTURES = ["Mandible", "Parotid-Lt", "Orbit-Lt", "Optic-Nerve-Lt"]


def sheared_geometry(shape: tuple[int, int, int]) -> Geometry:
    """A gantry tilt of 17 degrees upon an oblique, anisotropic grid."""
    tilt = np.eye(4)
    tilt[1, 2] = 0.3
    return Geometry.from_affine(shape, oblique_geometry(shape).matrix @ tilt)


def blob(rng: np.random.Generator, shape: tuple[int, int, int]) -> Mask:
    """A random shape with holes, islands and contact with the border of the grid."""
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 1.5)
    return np.asarray(smooth > np.quantile(smooth, 0.6))


def brute_force(reference: Mask, prediction: Mask, geometry: Geometry) -> tuple[float, float]:
    """HD95 and ASSD from all pairs of boundary voxels at their world positions."""
    a, b = (
        geometry.to_world(np.argwhere(m & ~ndimage.binary_erosion(m)))
        for m in (reference, prediction)
    )
    pairs = cdist(a, b)
    directed = pairs.min(axis=1), pairs.min(axis=0)
    hd95 = max(np.percentile(d, 95) for d in directed)
    return float(hd95), float(np.concatenate(directed).mean())


def reader_masks(folder: Path, structure: str) -> tuple[Mask, Mask, Geometry]:
    """Two readers' masks of one structure, read without the code under test."""
    images = [
        sitk.ReadImage(str(folder / reader / f"{structure}.nrrd"))
        for reader in ("oncologist", "radiographer")
    ]
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(images[0].GetDirection(), (3, 3)) * images[0].GetSpacing()
    matrix[:3, 3] = images[0].GetOrigin()
    geometry = Geometry.from_affine(images[0].GetSize(), np.diag([-1, -1, 1, 1]) @ matrix)
    first, second = (sitk.GetArrayFromImage(image).T > 0 for image in images)
    return first, second, geometry


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_parallel_plates_lie_apart_by_their_offset(axis: int) -> None:
    geometry = oblique_geometry()
    reference, prediction = np.zeros((2, *geometry.shape), dtype=bool)
    reference[(slice(None),) * axis + (4,)] = True
    prediction[(slice(None),) * axis + (7,)] = True
    offset_mm = 3 * geometry.spacing_mm[axis]
    distances = surface_distances(reference, prediction, geometry)
    assert distances.hd95_mm() == pytest.approx(offset_mm, rel=1e-6)
    assert distances.assd_mm() == pytest.approx(offset_mm, rel=1e-6)
    assert distances.surface_dice(offset_mm) == 1
    assert distances.surface_dice(offset_mm - 0.01) == 0


def test_a_shifted_box_is_off_by_the_shift_on_two_of_its_faces() -> None:
    geometry = oblique_geometry((30, 14, 14), (2.0, 1.0, 0.5))
    reference = np.zeros(geometry.shape, dtype=bool)
    reference[5:15, 2:12, 2:12] = True
    distances = surface_distances(reference, np.roll(reference, 3, axis=0), geometry)
    assert distances.hd95_mm() == pytest.approx(6.0, rel=1e-6)
    # by hand: of 488 boundary voxels 100 + 36 + 36 trail by 6, 4 and 2 mm; on the leading face
    # the 64 inner voxels lie inside the other box, at most 4 x 0.5 mm from its nearest side
    inner_face = itertools.product(range(1, 9), repeat=2)
    depth_mm = [min(0.5 * min(j, 9 - j), 1.0 * min(i, 9 - i)) for i, j in inner_face]
    by_hand = (100 * 6 + 36 * 4 + 36 * 2 + sum(depth_mm)) / 488
    assert distances.assd_mm() == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_concentric_spheres_lie_apart_by_the_difference_of_their_radii(scale: float) -> None:
    i, j, k = (round(n / scale) for n in (64, 56, 44))
    geometry = oblique_geometry((i, j, k), (0.5 * scale, 0.6 * scale, 0.75 * scale))
    reference = ellipsoid_mask(geometry, (13.0,) * 3)
    prediction = ellipsoid_mask(geometry, (10.0,) * 3)
    distances = surface_distances(reference, prediction, geometry)
    # both ends of each distance are voxel centres, hence the error of a part of a voxel
    assert distances.assd_mm() == pytest.approx(3.0, abs=0.3 * scale)
    assert distances.hd95_mm() == pytest.approx(3.0, abs=0.5 * scale)
    assert distances.surface_dice(2.0) == 0
    assert distances.surface_dice(4.0) == 1


@pytest.mark.parametrize("make_geometry", [oblique_geometry, sheared_geometry])
@pytest.mark.parametrize("seed", range(5))
def test_distances_equal_those_of_all_pairs_of_boundary_voxels(
    make_geometry: Callable[[tuple[int, int, int]], Geometry], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    geometry = make_geometry((15, 12, 9))
    reference, prediction = blob(rng, geometry.shape), blob(rng, geometry.shape)
    distances = surface_distances(reference, prediction, geometry)
    found = distances.hd95_mm(), distances.assd_mm()
    assert found == pytest.approx(brute_force(reference, prediction, geometry), rel=1e-5)


@given(st.integers(0, 2**32 - 1), st.permutations([0, 1, 2]), st.tuples(*[st.booleans()] * 3))
@settings(max_examples=25, deadline=None)
def test_reordering_and_reversing_the_axes_with_their_affine_changes_nothing(
    seed: int, order: list[int], flips: tuple[bool, bool, bool]
) -> None:
    rng = np.random.default_rng(seed)
    geometry = oblique_geometry((13, 11, 8))
    reference, prediction = blob(rng, geometry.shape), blob(rng, geometry.shape)
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1
    for new, (old, flip) in enumerate(zip(order, np.take(flips, order), strict=True)):
        matrix[old, new] = -1 if flip else 1
        matrix[old, 3] = geometry.shape[old] - 1 if flip else 0
    moved_geometry = Geometry.from_affine(np.take(geometry.shape, order), geometry.matrix @ matrix)
    reverse = tuple(axis for axis in range(3) if flips[order[axis]])
    moved = [np.flip(m.transpose(order), reverse) for m in (reference, prediction)]
    before = surface_scores(reference, prediction, geometry, tolerance_mm=1.0)
    after = surface_scores(moved[0], moved[1], moved_geometry, tolerance_mm=1.0)
    assert_same(after, before)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_swapping_reference_and_prediction_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    geometry = oblique_geometry((13, 11, 8))
    reference, prediction = blob(rng, geometry.shape), blob(rng, geometry.shape)
    forth = surface_scores(reference, prediction, geometry, tolerance_mm=1.2)
    assert_same(surface_scores(prediction, reference, geometry, tolerance_mm=1.2), forth)


def assert_same(found: SurfaceScores, expected: SurfaceScores) -> None:
    assert (found.hd95_mm, found.assd_mm, found.surface_dice) == pytest.approx(
        (expected.hd95_mm, expected.assd_mm, expected.surface_dice), rel=1e-5
    )


def test_the_farthest_distance_is_simpleitks_hausdorff_distance_of_separate_shapes() -> None:
    geometry = oblique_geometry((40, 30, 20))
    reference = ellipsoid_mask(geometry, (6.0, 6.0, 6.0), (-9.0, -4.0, 3.0))
    prediction = ellipsoid_mask(geometry, (5.0, 7.0, 4.0), (9.0, 2.0, -3.0))
    assert not (reference & prediction).any()
    images = [sitk.GetImageFromArray(m.astype(np.uint8)) for m in (reference, prediction)]
    for image in images:
        image.SetSpacing(tuple(reversed(geometry.spacing_mm)))
    theirs = sitk.HausdorffDistanceImageFilter()
    theirs.Execute(*images)
    ours = surface_distances(reference, prediction, geometry)
    farthest_mm = max(ours.to_prediction_mm.max(), ours.to_reference_mm.max())
    assert farthest_mm == pytest.approx(theirs.GetHausdorffDistance(), rel=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the other implementation
def test_area_weighted_distances_agree_where_all_faces_weigh_the_same() -> None:
    geometry = oblique_geometry((40, 20, 20), (0.9, 0.9, 0.9))
    reference = np.zeros(geometry.shape, dtype=bool)
    reference[4:14, 4:16, 4:16] = True
    prediction = np.roll(reference, 4, axis=0)
    theirs = surface_distance.compute_surface_distances(reference, prediction, geometry.spacing_mm)
    ours = surface_scores(reference, prediction, geometry, tolerance_mm=3.6)
    hd95_mm = surface_distance.compute_robust_hausdorff(theirs, 95)
    assert ours.hd95_mm == pytest.approx(hd95_mm, rel=1e-6)
    assert ours.surface_dice == 1
    assert surface_distance.compute_surface_dice_at_tolerance(theirs, 3.601) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the other implementation
@pytest.mark.parametrize("structure", STRUCTURES)
def test_two_readers_differ_as_much_as_the_area_weighted_implementation_says(
    shared_data: Path, structure: str
) -> None:
    folder = shared_data / "head_neck_readers" / "0522c0017"
    first, second, geometry = reader_masks(folder, structure)
    ours = surface_scores(first, second, geometry, tolerance_mm=3.0)
    theirs = surface_distance.compute_surface_distances(first, second, geometry.spacing_mm)
    diagonal_mm = math.hypot(*geometry.spacing_mm)
    hd95_mm = surface_distance.compute_robust_hausdorff(theirs, 95)
    assd_mm = np.mean(surface_distance.compute_average_surface_distance(theirs))
    surface_dice = surface_distance.compute_surface_dice_at_tolerance(theirs, 3.0)
    assert ours.hd95_mm == pytest.approx(hd95_mm, abs=diagonal_mm)
    assert ours.assd_mm == pytest.approx(assd_mm, abs=0.25 * diagonal_mm)
    assert ours.surface_dice == pytest.approx(surface_dice, abs=0.03)


def test_two_readers_differ_exactly_as_all_pairs_of_boundary_voxels_say(
    shared_data: Path,
) -> None:
    folder = shared_data / "head_neck_readers" / "0522c0057"
    first, second, geometry = reader_masks(folder, "Optic-Nerve-Lt")
    distances = surface_distances(first, second, geometry)
    found = distances.hd95_mm(), distances.assd_mm()
    assert found == pytest.approx(brute_force(first, second, geometry), rel=1e-5)


def test_the_edge_of_what_was_looked_at_is_no_surface() -> None:
    geometry = oblique_geometry((64, 56, 44), (0.5, 0.6, 0.75))
    reference = ellipsoid_mask(geometry, (13.0,) * 3)
    prediction = ellipsoid_mask(geometry, (10.0,) * 3)
    looked_at = np.zeros(geometry.shape, dtype=bool)
    looked_at[:, :, 22:] = True
    distances = surface_distances(
        reference & looked_at, prediction & looked_at, geometry, looked_at
    )
    assert distances.to_prediction_mm.min() > 2.0  # no point of the large cut face counts
    assert distances.assd_mm() == pytest.approx(3.0, abs=0.15)


def test_surfaces_out_of_view_leave_the_metrics_undefined() -> None:
    geometry = oblique_geometry((8, 8, 8))
    looked_at = np.zeros(geometry.shape, dtype=bool)
    looked_at[2:5, 2:5, 2:5] = True
    prediction = looked_at.copy()
    prediction[2] = False
    scores = surface_scores(looked_at, prediction, geometry, tolerance_mm=1.0, looked_at=looked_at)
    assert all(map(math.isnan, (scores.hd95_mm, scores.assd_mm, scores.surface_dice)))


def test_a_tolerance_holds_in_spite_of_single_precision_headers() -> None:
    distances = SurfaceDistances(np.array([1.0 + 2e-7]), np.array([1.0]))
    assert distances.surface_dice(1.0) == 1


@pytest.mark.parametrize("tolerance_mm", [-0.1, math.nan, math.inf])
def test_an_impossible_tolerance_is_refused(tolerance_mm: float) -> None:
    geometry = oblique_geometry((4, 4, 4))
    mask = np.ones(geometry.shape, dtype=bool)
    with pytest.raises(UsageError, match="tolerance must be 0 mm or more"):
        surface_scores(mask, mask, geometry, tolerance_mm=tolerance_mm)


def test_a_mask_that_does_not_fit_the_grid_is_refused() -> None:
    mask = np.ones((4, 4, 5), dtype=bool)
    with pytest.raises(ValueError, match=r"shape \(4, 4, 5\) on a grid of \(4, 4, 4\)"):
        surface_scores(mask, mask, oblique_geometry((4, 4, 4)), tolerance_mm=1.0)
