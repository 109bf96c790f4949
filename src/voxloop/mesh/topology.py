"""How the triangles of a surface hang together, by counting edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.mesh.mesh import Mesh

__all__ = ["Topology", "topology"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Topology:
    """What holds of a surface however it is bent.

    Attributes:
        closed: no edge has a single face.
        two_manifold: every edge has at most two faces, those around each vertex form one fan.
        oriented: no two faces run along an edge in the same direction.
        components: pieces that do not hang together.
        euler_number: vertices - edges + faces: 2 per closed piece, less 2 per handle.
    """

    closed: bool
    two_manifold: bool
    oriented: bool
    components: int
    euler_number: int

    def defects(self) -> tuple[str, ...]:
        """What keeps the surface from being printed, in words."""
        found = (
            (self.closed, "not closed: some edges have one face"),
            (self.two_manifold, "not a 2-manifold: sheets meet along an edge or in a vertex"),
            (self.oriented, "not consistently oriented: neighbouring faces disagree on outside"),
        )
        return tuple(reason for holds, reason in found if not holds)


def topology(mesh: Mesh) -> Topology:
    """Count edges, faces and pieces of a surface; positions play no role."""
    directed = _half_edges(mesh)
    ordered = np.sort(directed, axis=1)
    codes = ordered[:, 0] * len(mesh.vertices_mm) + ordered[:, 1]
    _, edge_of, faces_per_edge = np.unique(codes, return_inverse=True, return_counts=True)
    forward = directed[:, 0] < directed[:, 1]
    balance = np.bincount(edge_of, np.where(forward, 1, -1))
    per_edge_ok = bool((faces_per_edge <= 2).all())
    used = np.unique(mesh.faces)
    return Topology(
        closed=bool((faces_per_edge >= 2).all()),
        two_manifold=per_edge_ok and _fans(mesh, edge_of, directed) == len(used),
        oriented=bool((balance[faces_per_edge == 2] == 0).all()),
        components=_pieces(directed, len(mesh.vertices_mm), used),
        euler_number=len(used) - len(faces_per_edge) + len(mesh.faces),
    )


def _half_edges(mesh: Mesh) -> IntArray:
    # row corner * F + face is the side of `face` that starts at its `corner`
    faces = mesh.faces.astype(np.int64)
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def _fans(mesh: Mesh, edge_of: IntArray, directed: IntArray) -> int:
    """Groups of faces that hang together around a vertex; one per vertex on a manifold."""
    order = np.argsort(edge_of, kind="stable")
    same = edge_of[order][1:] == edge_of[order][:-1]
    first, second = order[:-1][same], order[1:][same]
    count = len(mesh.faces)
    # a half-edge's own row is its starting corner; the corner it ends in starts the next one
    after = np.concatenate([np.arange(count, 3 * count), np.arange(count)])
    turned = directed[first, 0] != directed[second, 0]
    starts = np.where(turned, after[second], second)
    ends = np.where(turned, second, after[second])
    corners = np.concatenate([np.stack([first, starts]), np.stack([after[first], ends])], axis=1)
    return _count_components(corners, 3 * count)


def _pieces(directed: IntArray, vertices: int, used: npt.NDArray[np.int32]) -> int:
    return _count_components(directed.T, vertices) - (vertices - len(used))


def _count_components(pairs: IntArray, nodes: int) -> int:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(pairs.shape[1], dtype=bool), tuple(pairs)), shape=(nodes, nodes))
    count, _ = connected_components(graph, directed=False)
    return int(count)
