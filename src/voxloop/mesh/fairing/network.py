"""How the triangles between all labels hang together: patches, the curves they meet on, pieces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.mesh.interfaces import Interfaces

__all__ = ["Network"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Network:
    """Edges and patches of some interfaces.

    Attributes:
        edges: (E, 2) vertices, each edge once, the lower index first.
        curved: (E,) true where more than two triangles, so more than two labels, meet.
        curve_degree: (V,) curve edges at each vertex: 0 amid a patch, 2 on a curve, else a
            junction, where curves meet.
        patches: (F,) number of the patch a triangle belongs to: triangles that hang together
            without crossing a curve, and so separate the same two labels.
        pieces: (F, 2) number of the closed piece of one label's surface behind and in front; -1
            outside of all labels.
    """

    edges: IntArray
    curved: npt.NDArray[np.bool_]
    curve_degree: IntArray
    patches: IntArray
    pieces: IntArray

    @classmethod
    def of(cls, interfaces: Interfaces) -> Network:
        """Count edges and follow triangles across them."""
        count = len(interfaces.vertices_mm)
        faces = interfaces.faces.astype(np.int64)
        starts, ends = faces.T.ravel(), faces[:, [1, 2, 0]].T.ravel()
        codes = np.minimum(starts, ends) * max(count, 1) + np.maximum(starts, ends)
        order = np.argsort(codes, kind="stable")
        ordered = codes[order]
        first = np.flatnonzero(np.diff(ordered, prepend=-1))
        edges = np.stack(np.divmod(ordered[first], max(count, 1)), axis=1)
        degrees = np.diff(first, append=len(ordered))
        curved = degrees > 2
        face_of = order % max(len(faces), 1)
        plain = first[~curved]
        patches = _components(face_of[plain], face_of[plain + 1], len(faces))
        meeting = face_of[np.repeat(curved, degrees)]
        pieces = _pieces(interfaces, patches, meeting, np.repeat(np.arange(len(edges)), degrees)[
            np.repeat(curved, degrees)
        ])  # fmt: skip
        curve_degree = np.bincount(edges[curved].ravel(), minlength=count)
        return cls(edges, curved, curve_degree, patches, pieces)


def _pieces(
    interfaces: Interfaces, patches: IntArray, faces: IntArray, curve_edges: IntArray
) -> IntArray:
    """Join patches that border the same label where they meet on a curve.

    `faces` are those at curve edges and `curve_edges` the edges they are at.
    """
    if not len(patches):
        return np.zeros((0, 2), dtype=np.int64)
    # a node per patch and side
    labels = np.concatenate([interfaces.sides[faces, 0], interfaces.sides[faces, 1]])
    nodes = np.concatenate([2 * patches[faces], 2 * patches[faces] + 1])
    meets = np.concatenate([curve_edges, curve_edges]) * 256 + labels
    order = np.argsort(meets, kind="stable")
    same = meets[order][1:] == meets[order][:-1]
    joined = _components(
        nodes[order][:-1][same], nodes[order][1:][same], 2 * (int(patches.max()) + 1)
    )
    pieces = joined[2 * patches[:, None] + np.arange(2)]
    pieces[interfaces.sides == 0] = -1
    used, numbers = np.unique(pieces, return_inverse=True)
    return np.asarray(numbers.reshape(-1, 2) - np.searchsorted(used, 0), dtype=np.int64)


def _components(first: IntArray, second: IntArray, nodes: int) -> IntArray:
    """Per node the number of its group, given pairs of nodes that hang together."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not nodes:
        return np.zeros(0, dtype=np.int64)
    ones = np.ones(len(first), dtype=bool)
    graph = coo_array((ones, (first, second)), shape=(nodes, nodes))
    _, groups = connected_components(graph, directed=False)
    return np.asarray(groups, dtype=np.int64)
