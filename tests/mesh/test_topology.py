from __future__ import annotations

import numpy as np
import pytest
import trimesh

from voxloop.mesh.certificate.topology import topology
from voxloop.mesh.mesh import Mesh

CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=float)
FACES = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])


def test_a_tetrahedron_is_sound() -> None:
    found = topology(Mesh(CORNERS, FACES))
    assert found.defects() == ()
    assert (found.components, found.euler_number, found.genus) == (1, 2, 0)
    spare = topology(Mesh(np.vstack([CORNERS, [[9.0, 9.0, 9.0]]]), FACES))
    assert spare == found


def test_solids_that_share_a_corner_or_an_edge_are_no_manifold() -> None:
    mirrored = np.where(FACES == 0, 0, FACES + 3)[:, ::-1]
    twins = topology(
        Mesh(np.concatenate([CORNERS, -CORNERS[1:]]), np.concatenate([FACES, mirrored]))
    )
    assert (twins.closed, twins.two_manifold, twins.components) == (True, False, 1)
    hinged = np.where(FACES <= 1, FACES, FACES + 2)
    fin = topology(Mesh(np.concatenate([CORNERS, -CORNERS[2:]]), np.concatenate([FACES, hinged])))
    assert not fin.two_manifold


def test_open_and_turned_faces_are_seen_and_do_not_hide_a_pinch() -> None:
    opened = topology(Mesh(CORNERS, FACES[1:]))
    assert (opened.closed, opened.two_manifold, opened.oriented) == (False, True, True)
    turned = FACES.copy()
    turned[0] = turned[0, ::-1]
    found = topology(Mesh(CORNERS, turned))
    assert (found.closed, found.two_manifold, found.oriented) == (True, True, False)
    bow_tie = topology(Mesh(np.eye(5)[:, :3], np.array([[0, 1, 2], [0, 3, 4]])))
    assert (bow_tie.closed, bow_tie.two_manifold, bow_tie.components) == (False, False, 1)


@pytest.mark.parametrize("seed", range(10))
def test_a_single_fused_pair_of_vertices_is_seen(seed: int) -> None:
    ring = trimesh.creation.torus(10, 3, major_sections=20, minor_sections=12)
    assert topology(Mesh(ring.vertices, ring.faces)).euler_number == 0
    assert topology(Mesh(ring.vertices, ring.faces)).two_manifold
    # far apart, so that no edge gets a third face
    one = int(np.random.default_rng(seed).integers(len(ring.vertices)))
    other = int(np.argmax(np.linalg.norm(ring.vertices - ring.vertices[one], axis=1)))
    fused = topology(Mesh(ring.vertices, np.where(ring.faces == one, other, ring.faces)))
    assert (fused.closed, fused.oriented, fused.two_manifold) == (True, True, False)
