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

    @property
    def genus(self) -> int:
        """Handles of all pieces together, as of a closed, oriented surface; a ring has one."""
        return self.components - self.euler_number // 2

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
    starts, ends = _half_edges(mesh)
    low, high = np.minimum(starts, ends), np.maximum(starts, ends)
    codes = low.astype(np.int64) * len(mesh.vertices_mm) + high
    order = np.argsort(codes, kind="stable")
    first = np.flatnonzero(np.diff(codes[order], prepend=-1))
    faces_per_edge = np.diff(first, append=len(codes))
    forward = np.add.reduceat((starts < ends)[order].astype(np.int64), first)
    oriented = bool((forward[faces_per_edge == 2] == 1).all())
    simple = bool((faces_per_edge <= 2).all())
    closed = bool((faces_per_edge >= 2).all())
    used = int(np.count_nonzero(np.bincount(starts)))
    if not simple:
        round_vertices = False
    elif closed and oriented:
        round_vertices = _one_fan_each(starts, order)
    else:
        round_vertices = _fans(mesh, order, first[faces_per_edge == 2]) == used
    return Topology(
        closed=closed,
        two_manifold=simple and round_vertices,
        oriented=oriented,
        components=int(mesh.piece_of_face.max()) + 1,
        euler_number=used - len(first) + len(mesh.faces),
    )


def _half_edges(mesh: Mesh) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    # row corner * F + face is the side of `face` that starts at its `corner`
    starts = mesh.faces.T
    return starts.ravel(), np.roll(starts, -1, axis=0).ravel()


def _one_fan_each(starts: npt.NDArray[np.int32], order: IntArray) -> bool:
    """Whether a walk around each vertex meets all its faces; each edge must have two, in order.

    Args:
        starts: (3 F,) vertices the half-edges start at.
        order: (3 F,) half-edges so sorted that the two of an edge follow each other.
    """
    twin = np.empty_like(order)
    twin[order[0::2]], twin[order[1::2]] = order[1::2], order[0::2]
    faces = len(starts) // 3
    # the side before this one in its face ends where this one starts; so its twin starts there
    around = twin[np.concatenate([np.arange(2 * faces, 3 * faces), np.arange(2 * faces)])]
    valence = np.bincount(starts)
    begin = np.zeros(len(valence), dtype=np.int64)
    begin[starts] = np.arange(len(starts))
    begin = begin[valence > 0]
    here, steps = around[begin], np.ones(len(begin), dtype=np.int64)
    walking = np.flatnonzero(here != begin)
    while len(walking):
        here[walking] = around[here[walking]]
        steps[walking] += 1
        walking = walking[here[walking] != begin[walking]]
    return bool((steps == valence[valence > 0]).all())


def _fans(mesh: Mesh, order: IntArray, pairs: IntArray) -> int:
    """Groups of faces that hang together around a vertex; one per vertex on a manifold."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    starts, _ = _half_edges(mesh)
    one, other = order[pairs], order[pairs + 1]
    count = len(mesh.faces)
    # a half-edge's own row is its starting corner; the corner it ends in starts the next one
    after = np.concatenate([np.arange(count, 3 * count), np.arange(count)])
    turned = starts[one] != starts[other]
    corners = (
        np.concatenate([one, after[one]]),
        np.concatenate(
            [np.where(turned, after[other], other), np.where(turned, other, after[other])]
        ),
    )
    ones = np.ones(len(corners[0]), dtype=bool)
    graph = coo_array((ones, corners), shape=(3 * count, 3 * count))
    fans, _ = connected_components(graph, directed=False)
    return int(fans)
