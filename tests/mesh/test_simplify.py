from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.errors import UsageError
from voxloop.mesh.certificate.crossings import self_intersections
from voxloop.mesh.certificate.distance import surface_distance
from voxloop.mesh.certificate.topology import topology
from voxloop.mesh.extraction.extract import extract_interfaces
from voxloop.mesh.fairing.budget import Budget
from voxloop.mesh.fairing.closest import closest_points
from voxloop.mesh.fairing.simplify import Simplified, simplify_interfaces, triangles_for_megabytes
from voxloop.mesh.fairing.smooth import smooth_interfaces
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap

LABELS = LabelTable.from_names("skin", "bone", "screw")


def simplified(array: npt.NDArray[np.integer], triangles: int, budget: Budget) -> Simplified:
    geometry = oblique_geometry(array.shape, (0.9, 1.0, 1.2))
    extraction = extract_interfaces(LabelMap(array.astype(np.uint8), geometry, LABELS))
    smooth = smooth_interfaces(extraction, budget)
    extracted_mm = extraction.interfaces.vertices_mm
    return simplify_interfaces(smooth.interfaces, budget, triangles, extracted_mm=extracted_mm)


def three_in_one() -> npt.NDArray[np.int64]:
    mask = ellipsoid_mask(oblique_geometry((26, 26, 22), (0.9, 1.0, 1.2)), (9.0, 9.0, 9.0))
    array = mask.astype(np.int64)
    array[13:][mask[13:]] = 2
    array[:, 13:][(array == 2)[:, 13:]] = 3
    return array


def check_sound(found: Simplified) -> None:
    interfaces = found.interfaces
    assert found.triangles == len(interfaces.faces)
    assert found.crossings == 0
    assert len(self_intersections(interfaces.vertices_mm, interfaces.faces)) == 0
    for value in interfaces.values:
        surface = interfaces.surface(value)
        assert topology(surface).defects() == ()
        assert surface.volume_mm3 > 0


def test_a_target_within_the_budget_is_reached_and_labels_go_on_sharing() -> None:
    found = simplified(three_in_one(), 1500, Budget.millimetres(0.5))
    assert found.stopped_by == "target"
    assert 1490 <= found.triangles <= 1500
    assert found.largest_deviation_mm <= 0.5
    check_sound(found)
    for value in (1, 2, 3):
        assert topology(found.interfaces.surface(value)).euler_number == 2
    assert found.interfaces.pairs == ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))


def test_the_budget_wins_over_the_target_and_the_result_says_so() -> None:
    coarse, tight = (simplified(three_in_one(), 4, Budget.millimetres(mm)) for mm in (0.6, 0.3))
    for found, limit_mm in ((coarse, 0.6), (tight, 0.3)):
        assert found.stopped_by == "budget"
        assert found.wanted == 4
        assert found.largest_deviation_mm <= limit_mm
        check_sound(found)
    assert coarse.triangles < tight.triangles / 1.5


def test_the_surface_stays_within_the_budget_both_ways() -> None:
    array = three_in_one()
    geometry = oblique_geometry(array.shape, (0.9, 1.0, 1.2))
    raw = extract_interfaces(LabelMap(array.astype(np.uint8), geometry, LABELS)).interfaces
    found = simplified(array, 4, Budget.millimetres(0.5)).interfaces
    for value in (1, 2, 3):
        distance = surface_distance(found.surface(value), raw.surface(value))
        assert distance.max_mm <= 0.5


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 0.8))
def test_noise_stays_sound_however_few_triangles_are_asked_for(seed: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    array = rng.integers(1, 4, (5, 4, 6)) * (rng.random((5, 4, 6)) < density)
    array[2, 2, 2] = 1
    check_sound(simplified(array, 4, Budget.millimetres(0.5)))


def test_the_nearest_point_of_a_triangle_is_that_of_a_fine_grid() -> None:
    rng = np.random.default_rng(3)
    points, triangles = rng.normal(size=(200, 3)) * 2, rng.normal(size=(200, 3, 3))
    steps = np.linspace(0, 1, 61)
    weights = np.array(
        [(a, b, 1 - a - b) for a, b in itertools.product(steps, steps) if a + b <= 1]
    )
    grid = np.einsum("wc,tcx->twx", weights, triangles)
    least = np.linalg.norm(grid - points[:, None], axis=2).min(axis=1)
    found = np.linalg.norm(closest_points(points, triangles) - points, axis=1)
    assert (found <= least + 1e-12).all()
    np.testing.assert_allclose(found, least, atol=0.05)


def test_a_size_in_megabytes_is_one_in_triangles() -> None:
    assert triangles_for_megabytes(1.0) == 19998
    with pytest.raises(UsageError, match="at least 4 triangles, found 3"):
        simplified(np.ones((2, 2, 2), dtype=int), 3, Budget.millimetres(1.0))
