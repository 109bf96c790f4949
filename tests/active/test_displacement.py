"""Expected displacement against the moments of a surface whose place is known to chance only."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import expit

from voxloop.active.doubt.acquisition import Members
from voxloop.active.doubt.displacement import mean_displacement_mm, surface_displacement
from voxloop.volume.lattice import Lattice

FloatArray = npt.NDArray[np.float64]
SPREAD_MM = 1.7
INNER = (slice(8, -8), slice(8, -8), slice(None))
MM = (1.0, 1.0, 1.0)


def along_mm(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], normal: tuple[float, ...]
) -> FloatArray:
    """Signed distance of each voxel from a plane near the middle of the grid."""
    unit = np.array(normal) / np.linalg.norm(normal)
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing_mm, strict=True)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    return np.asarray(places @ unit + 0.21)


def of_label(*probabilities: npt.NDArray[Any]) -> Members:
    return np.stack([np.stack([1.0 - p, p]) for p in probabilities]).astype(np.float32)


GRIDS = [
    ((24, 22, 40), (1.0, 1.2, 0.6), (0, 0, 1)),
    ((24, 22, 20), (1.0, 1.2, 2.4), (0, 0, -1)),
    ((24, 22, 40), (0.8, 0.9, 1.1), (0.5, -0.3, 1)),
    ((24, 22, 50), (0.6, 0.6, 0.8), (0.3, 0.3, 1)),
]


@pytest.mark.parametrize(("shape", "spacing_mm", "normal"), GRIDS)
def test_a_plane_that_is_known_up_to_a_logistic_error_gives_the_moments_of_the_error(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    normal: tuple[float, float, float],
) -> None:
    members = of_label(expit(along_mm(shape, spacing_mm, normal) / SPREAD_MM))
    whole = Lattice.of_sides(shape, shape)
    mean = mean_displacement_mm(members, spacing_mm, whole, least_doubt=0)
    assert mean[0] == pytest.approx(2 * SPREAD_MM * math.log(2), rel=0.03)
    square = surface_displacement(members, spacing_mm, reach_mm=1e3, least_doubt=0)[INNER]
    tilt = abs(normal[2]) / np.linalg.norm(normal)
    area_mm2 = square.shape[0] * square.shape[1] * spacing_mm[0] * spacing_mm[1] / tilt
    found = square.sum() * math.prod(spacing_mm) / area_mm2
    assert found == pytest.approx(math.pi**2 * SPREAD_MM**2 / 3, rel=0.06)  # the kink at the plane


def test_the_same_surface_on_a_finer_grid_is_displaced_by_as_much() -> None:
    found = []
    for times in (1, 2):
        shape = (12 * times, 12 * times, 24 * times)
        spacing_mm = (1.2 / times, 1.2 / times, 1.0 / times)
        members = of_label(expit(along_mm(shape, spacing_mm, (0.2, 0.1, 1)) / SPREAD_MM))
        square = surface_displacement(members, spacing_mm).sum() * math.prod(spacing_mm)
        mean = mean_displacement_mm(members, spacing_mm, Lattice.of_sides(shape, shape))[0]
        found.append((square, mean))
    np.testing.assert_allclose(found[1], found[0], rtol=0.03)


def test_members_who_are_sure_of_planes_apart_expect_their_distances() -> None:
    shape, spacing_mm = (6, 6, 80), (1.0, 1.0, 0.25)
    depth = along_mm(shape, spacing_mm, (0, 0, 1)) - 0.21
    members = of_label(depth > -3.5, depth > 2.5, depth > 2.5)  # the surface is that of the two
    mean = mean_displacement_mm(members, spacing_mm, Lattice.of_sides(shape, shape))[0]
    assert mean == pytest.approx(6 / 3, rel=1e-5)
    square = surface_displacement(members, spacing_mm).sum() * 0.25 / 36
    assert square == pytest.approx(6**2 / 3, rel=0.03)


def test_a_certain_prediction_moves_nothing() -> None:
    members = of_label(along_mm((7, 8, 9), MM, (1, 2, 3)) > 0)
    assert not surface_displacement(members, MM).any()
    assert not mean_displacement_mm(members, MM, Lattice.of_sides((7, 8, 9), (7, 8, 1))).any()


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 3.0), (2.0, 0.5, 1.0)])
def test_doubt_counts_by_its_distance_to_the_surface_up_to_the_reach(
    spacing_mm: tuple[float, float, float],
) -> None:
    p = np.zeros((9, 9, 30))
    p[..., :5] = 1
    p[4, 4, [5, 7, 12, 29]] = 0.25  # islands in front of a flat face
    scores = surface_displacement(of_label(p), spacing_mm)[4, 4]
    surface = 4 + 2 / 3  # leads of 1 and 0.5: drawn towards the first island
    steps = np.array([7, 12, 29]) - surface
    expected = 2 * 0.25 * np.minimum(steps * spacing_mm[2], 20.0)
    np.testing.assert_allclose(scores[[7, 12, 29]], expected, rtol=1e-5)
    assert 0 < scores[5] < scores[7]
    assert not scores[[6, 8, 20]].any()


def test_a_label_that_may_be_missing_altogether_counts_as_the_reach() -> None:
    p = np.zeros((9, 9, 9))
    p[3:6, 3:6, 3:6] = 0.4
    scores = surface_displacement(of_label(p), MM, reach_mm=12.0)
    np.testing.assert_allclose(scores, 2 * 12.0 * p, rtol=1e-6)
    whole = Lattice.of_sides((9, 9, 9), (9, 9, 9))
    shrunk = mean_displacement_mm(of_label(p), MM, whole)[0]  # a cube's volume over its surface
    assert 27 / 54 <= shrunk < 1.5 * 27 / 54
    flat = np.full((9, 9, 9), 0.4)
    assert mean_displacement_mm(of_label(flat), MM, whole)[0] == 20.0, "nowhere in particular"


def test_tails_of_the_softmax_count_for_nothing() -> None:
    p = np.full((4, 4, 40), 0.008)
    p[..., :4] = 0.994
    assert not surface_displacement(of_label(p), MM).any()
    assert surface_displacement(of_label(p), MM, least_doubt=0.005).any()


def test_every_label_moves_its_own_surface() -> None:
    depth = along_mm((6, 6, 40), MM, (0, 0, 1))
    first, second = expit((-4 - depth) / 1.1), expit((depth - 7) / 0.8)
    both = np.stack([1 - first - second, first, second])[None].astype(np.float32)
    alone = [of_label(first), of_label(second)]
    np.testing.assert_allclose(
        surface_displacement(both, MM), sum(surface_displacement(m, MM) for m in alone), atol=0.02
    )
    slices = Lattice.of_sides((6, 6, 40), (6, 6, 1))
    found = mean_displacement_mm(both, MM, slices)
    assert found[15] == pytest.approx(2 * 1.1, rel=0.15), "half of p over its slope, at the plane"
    assert found[26] == pytest.approx(2 * 0.8, rel=0.25)
    assert found[0] == found[39] == 0


def test_a_broken_probability_stays_visible_and_spoils_its_region_only() -> None:
    members = of_label(expit(along_mm((5, 5, 8), MM, (0, 0, 1))))
    whole, slices = surface_displacement(members, MM), Lattice.of_sides((5, 5, 8), (5, 5, 1))
    unspoilt = mean_displacement_mm(members, MM, slices)
    members[0, 1, 2, 2, 6] = np.nan
    scores = surface_displacement(members, MM)
    assert np.argwhere(np.isnan(scores)).tolist() == [[2, 2, 6]]
    assert scores[0, 0, 3] == pytest.approx(whole[0, 0, 3])
    found = mean_displacement_mm(members, MM, slices)
    assert np.flatnonzero(np.isnan(found)).tolist() == [6]
    np.testing.assert_allclose(np.delete(found, 6), np.delete(unspoilt, 6), rtol=0.06)


def test_a_grid_one_voxel_thick_will_do() -> None:
    members = of_label(expit(along_mm((30, 30, 1), MM, (1, 0, 0)) / SPREAD_MM))
    mean = mean_displacement_mm(members, MM, Lattice.of_sides((30, 30, 1), (30, 30, 1)))
    assert mean[0] == pytest.approx(2 * SPREAD_MM * math.log(2), rel=0.03)
    assert np.isfinite(surface_displacement(members, MM)).all()
