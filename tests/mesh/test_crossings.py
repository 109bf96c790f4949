from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from voxloop.mesh.certificate.crossings import self_intersections

Corners = npt.NDArray[np.float64]
Faces = npt.NDArray[np.int64]

SLANT = Rotation.from_euler("xyz", [0.3, -0.7, 1.1]).as_matrix()


def side(a: list[int], b: list[int], c: list[int], d: list[int]) -> int:
    """Which side of the plane a, b, c the point d lies on, in integers and so exactly."""
    (ux, uy, uz), (vx, vy, vz), (wx, wy, wz) = (
        [p - q for p, q in zip(point, a, strict=True)] for point in (b, c, d)
    )
    volume = ux * (vy * wz - vz * wy) - uy * (vx * wz - vz * wx) + uz * (vx * wy - vy * wx)
    return (volume > 0) - (volume < 0)


def pierces(p: list[int], q: list[int], triangle: list[list[int]]) -> bool:
    a, b, c = triangle
    if side(a, b, c, p) * side(a, b, c, q) >= 0:
        return False
    turns = {side(p, q, a, b), side(p, q, b, c), side(p, q, c, a)}
    return len(turns) == 1 and 0 not in turns


def pairs_by_exact_piercing(corners: npt.NDArray[np.int64], faces: Faces) -> set[tuple[int, int]]:
    """Corners in general position: faces cross where a side of one goes through the other."""
    points = corners.tolist()
    found = set()
    for i, j in itertools.combinations(range(len(faces)), 2):
        shared = set(faces[i]) & set(faces[j])
        for one, other in ((faces[i], faces[j]), (faces[j], faces[i])):
            triangle = [points[corner] for corner in other]
            for p, q in itertools.combinations(one, 2):
                if not {p, q} & shared and pierces(points[p], points[q], triangle):
                    found.add((i, j))
    return found


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([8, 30, 60]), st.sampled_from([1, 3]))
def test_crossings_are_those_of_exact_arithmetic(seed: int, vertices: int, stretch: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 10_000, (vertices, 3)) // np.array([1, stretch, stretch**4])
    faces = np.array([rng.choice(vertices, 3, replace=False) for _ in range(40)])
    faces = faces[np.unique(np.sort(faces, axis=1), axis=0, return_index=True)[1]]
    found = self_intersections(corners / 64.0, faces)
    assert set(map(tuple, found.tolist())) == pairs_by_exact_piercing(corners, faces)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_a_sphere_does_not_cross_itself_and_a_crumpled_one_does(scale: float) -> None:
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=20.0)
    corners = (sphere.vertices @ SLANT + 300.0) * scale
    assert len(self_intersections(corners, sphere.faces)) == 0
    rng = np.random.default_rng(0)
    corners += scale * rng.normal(0, 1.0, corners.shape)
    assert len(self_intersections(corners, sphere.faces)) > 50


def test_two_rings_in_one_surface_cross_where_they_meet_and_nowhere_else() -> None:
    ring = trimesh.creation.torus(10, 3, major_sections=48, minor_sections=24)
    upright = ring.vertices[:, [0, 2, 1]] + [3.0, 0, 0]
    corners = np.concatenate([ring.vertices, upright])
    faces = np.concatenate([ring.faces, ring.faces[:, ::-1] + len(ring.vertices)])
    pairs = self_intersections(corners, faces)
    assert len(pairs) > 20
    assert (pairs[:, 0] < len(ring.faces)).all()
    assert (pairs[:, 1] >= len(ring.faces)).all()
    linked = np.concatenate([ring.vertices, upright + np.array([7.0, 0, 0])])
    assert len(self_intersections(linked, faces)) == 0


def test_large_and_tiny_faces_are_compared_too() -> None:
    plate = np.array([[-50.0, -50, 0], [50, -50, 0], [0, 90, 0]])
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=0.1)
    corners = np.concatenate([plate, sphere.vertices + np.array([1.0, 2.0, 0.01])]) @ SLANT
    faces = np.concatenate([[[0, 1, 2]], sphere.faces + 3])
    pairs = self_intersections(corners, faces)
    heights = sphere.vertices[sphere.faces][:, :, 2] + 0.01
    through = (heights.min(axis=1) < 0) & (heights.max(axis=1) > 0)
    np.testing.assert_array_equal(pairs[:, 1], 1 + np.flatnonzero(through))


@pytest.mark.parametrize(
    ("corners", "faces", "crosses"),
    [
        # neighbours at an edge: lying flat, bent, folded onto each other
        ([[0, 0, 0], [2, 0, 0], [1, 2, 0], [1, -2, 0]], [[0, 1, 2], [1, 0, 3]], False),
        ([[0, 0, 0], [2, 0, 0], [1, 2, 0], [1, 1, 1]], [[0, 1, 2], [1, 0, 3]], False),
        ([[0, 0, 0], [2, 0, 0], [1, 2, 0], [0, 1, 0]], [[0, 1, 2], [1, 0, 3]], True),
        # at a corner: side by side in a plane, overlapping in it, through each other
        ([[0, 0, 0], [2, 0, 0], [1, 2, 0], [-2, 0, 0], [-1, -2, 0]],
         [[0, 1, 2], [0, 3, 4]], False),
        ([[0, 0, 0], [2, 0, 0], [1, 2, 0], [2, 1, 0], [0, 2, 0]], [[0, 1, 2], [0, 3, 4]], True),
        ([[0, 0, 0], [2, 0, 0], [1, 2, 0], [1, 1, 1], [1, 0.5, -1]], [[0, 1, 2], [0, 3, 4]], True),
        # strangers: one stands on the other, touches its corner, lies in it, is the same again
        ([[0, 0, 0], [3, 0, 0], [0, 3, 0], [1, 1, 0], [0.5, 1, 0], [1, 1, 1]],
         [[0, 1, 2], [3, 4, 5]], False),
        ([[0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 0, 0], [-1, 0, 1], [0, -1, -1]],
         [[0, 1, 2], [3, 4, 5]], False),
        ([[0, 0, 0], [3, 0, 0], [0, 3, 0], [1, 0.5, 0], [1.5, 0.5, 0], [1, 1, 0]],
         [[0, 1, 2], [3, 4, 5]], True),
        ([[0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 0, 0], [3, 0, 0], [0, 3, 0]],
         [[0, 1, 2], [3, 4, 5]], True),
        # a face without area crosses nothing by itself
        ([[0, 0, 0], [3, 0, 0], [0, 3, 0], [5, 5, -1], [5, 5, 0], [5, 5, 1]],
         [[0, 1, 2], [3, 4, 5]], False),
    ],
)  # fmt: skip
def test_what_counts_as_crossing(corners: list[list[float]], faces: Faces, crosses: bool) -> None:  # noqa: FBT001
    slanted = np.array(corners, dtype=float) @ SLANT + [40.0, -70.0, 500.0]
    assert len(self_intersections(slanted, np.array(faces))) == int(crosses)
    turned = np.array(faces)[::-1, [0, 2, 1]]
    assert len(self_intersections(slanted, turned)) == int(crosses)


def test_a_surface_without_faces_has_no_crossings() -> None:
    assert self_intersections(np.zeros((0, 3)), np.zeros((0, 3), dtype=int)).shape == (0, 2)


def test_dust_far_apart_is_compared_without_numbers_running_over() -> None:
    speck = np.array(
        [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.2, 0.2, -1], [0.3, 0.2, 1], [0.2, 0.3, 1]]
    )
    corners = np.concatenate([1e-3 * speck, 1e-3 * speck + 1e5, 1e-3 * speck - 1e5])
    faces = np.arange(18).reshape(6, 3)
    assert self_intersections(corners, faces).tolist() == [[0, 1], [2, 3], [4, 5]]
