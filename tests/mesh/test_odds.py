from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from phantoms import oblique_geometry
from voxloop.mesh.extraction.extract import extract_surface
from voxloop.mesh.extraction.odds import EntropyOdds, Odds, ProbabilityOdds
from voxloop.mesh.interfaces import Interfaces
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.surfaces import mesh_labels
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume

FloatArray = npt.NDArray[np.float64]

GRID = oblique_geometry((26, 24, 22), (1.0, 1.1, 1.2))
RADIUS_MM = 9.3
CENTRE_MM = GRID.to_world([[12.7, 11.4, 10.6]])[0]
PLANE = np.array([0.6, -0.64, 0.48])
"""Parts the ball in two, a quarter of a millimetre off its centre."""


def points_mm(geometry: Geometry) -> FloatArray:
    return geometry.to_world(np.indices(geometry.shape).reshape(3, -1).T)


def height_mm(points: FloatArray) -> FloatArray:
    return np.asarray((points - CENTRE_MM) @ PLANE - 0.25)


def softmax(geometry: Geometry = GRID, blur_mm: float = 0.4) -> FloatArray:
    """(3, I, J, K): outside, and the two parts of a ball, as a network blurs them."""
    points = points_mm(geometry)
    depth = RADIUS_MM - np.linalg.norm(points - CENTRE_MM, axis=1)
    height = height_mm(points)
    # logits whose differences between neighbours are distances to the border over the blur
    logits = np.stack([np.zeros_like(depth), *(depth + side * height / 2 for side in (-1, 1))])
    powers = np.exp((logits - logits.max(axis=0)) / blur_mm)
    return np.asarray((powers / powers.sum(axis=0)).reshape(3, *geometry.shape))


def ball(geometry: Geometry = GRID, blur_mm: float = 0.4) -> tuple[LabelMap, FloatArray]:
    """One label: map and probability of being inside."""
    depth = RADIUS_MM - np.linalg.norm(points_mm(geometry) - CENTRE_MM, axis=1)
    inside = (1 / (1 + np.exp(-depth / blur_mm))).reshape(geometry.shape)
    labels = LabelTable.from_names("ball")
    return LabelMap((inside > 0.5).astype(np.uint8), geometry, labels), inside


def entropy(probabilities: FloatArray) -> npt.NDArray[np.uint8]:
    """As `segment --uncertainty` writes it."""
    nats = -(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(axis=0)
    return np.asarray(np.rint(255 * nats / np.log(len(probabilities))), dtype=np.uint8)


def errors_mm(mesh: Mesh) -> FloatArray:
    return np.asarray(np.abs(np.linalg.norm(mesh.vertices_mm - CENTRE_MM, axis=1) - RADIUS_MM))


@pytest.mark.parametrize("kind", ["probabilities", "entropies"])
def test_the_models_doubt_makes_surfaces_twice_as_true_as_the_label_map_alone(kind: str) -> None:
    label_map, inside = ball()
    both = np.stack([1 - inside, inside])
    odds: Odds = ProbabilityOdds.of(both, label_map)
    if kind == "entropies":
        odds = EntropyOdds(Volume(entropy(both), GRID), label_map, 2)
    alone, with_odds = mesh_labels(label_map), mesh_labels(label_map, odds=odds)
    before, after = (np.percentile(errors_mm(m.surfaces[1]), 95) for m in (alone, with_odds))
    assert after < 0.6 * before
    assert after < 0.1
    found = with_odds.certificates[1]
    assert found.passed, found.reasons
    assert "by probabilities" in found.distance_to
    assert any("equally likely" in change for change in found.changes)
    true_mm3 = 4 / 3 * np.pi * RADIUS_MM**3
    assert with_odds.surfaces[1].volume_mm3 == pytest.approx(true_mm3, rel=0.01)


def test_the_border_of_two_labels_runs_between_voxels_too_and_stays_shared() -> None:
    probabilities = softmax()
    labels = LabelTable.from_names("low", "high")
    label_map = LabelMap(probabilities.argmax(axis=0).astype(np.uint8), GRID, labels)
    alone = mesh_labels(label_map)
    for odds in (
        ProbabilityOdds.of(probabilities, label_map),
        EntropyOdds(Volume(entropy(probabilities), GRID), label_map, 3),
    ):
        made = mesh_labels(label_map, odds=odds)
        assert made.passed, [c.reasons for c in made.certificates.values()]
        assert made.interfaces.pairs == ((1, 0), (2, 0), (2, 1))
        off_mm = [shared_border_error_mm(each.interfaces) for each in (alone, made)]
        assert off_mm[1] < 0.5 * off_mm[0]


def shared_border_error_mm(interfaces: Interfaces) -> float:
    """Median distance of the border of both labels from the plane, away from its rim."""
    shared = interfaces.faces[(interfaces.sides == (2, 1)).all(axis=1)]
    vertices = interfaces.vertices_mm[np.unique(shared)]
    amid = np.linalg.norm(vertices - CENTRE_MM, axis=1) < RADIUS_MM - 2.5
    return float(np.median(np.abs(height_mm(vertices[amid]))))


def test_where_map_and_probabilities_disagree_the_surface_runs_halfway() -> None:
    label_map, inside = ball()
    contrary = ProbabilityOdds.of(np.stack([inside, 1 - inside]), label_map)
    made = mesh_labels(label_map, odds=contrary)
    halfway = extract_surface(label_map, 1)
    np.testing.assert_allclose(
        np.sort(made.extracted[1].vertices_mm, axis=0), np.sort(halfway.vertices_mm, axis=0)
    )


def test_a_surface_at_the_border_of_the_scan_is_closed_half_a_voxel_outside_it() -> None:
    labels = LabelTable.from_names("all")
    label_map = LabelMap(np.ones((4, 5, 6), dtype=np.uint8), oblique_geometry((4, 5, 6)), labels)
    odds = ProbabilityOdds.of(np.full((2, 4, 5, 6), 0.5), label_map)
    made = mesh_labels(label_map, odds=odds)
    voxels_mm3 = label_map.array.size * label_map.geometry.voxel_volume_mm3
    assert made.extracted[1].volume_mm3 == pytest.approx(voxels_mm3, rel=0.1)
    assert made.certificates[1].topology.defects() == ()
