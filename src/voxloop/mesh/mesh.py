"""A triangle surface in world millimetres, with the measures that follow from it alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from voxloop.errors import DataError, Problem

__all__ = ["FaceArray", "Mesh", "VertexArray"]

VertexArray = npt.NDArray[np.float64]
FaceArray = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Mesh:
    """The surface of one structure; its faces run counter-clockwise seen from outside.

    Attributes:
        vertices_mm: (V, 3) finite positions in world millimetres, RAS+; read-only.
        faces: (F, 3) indices into the vertices, at least one face; read-only.

    Raises:
        DataError: if the shapes are others, a position is not finite, or an index points nowhere.
    """

    vertices_mm: VertexArray
    faces: FaceArray

    def __post_init__(self) -> None:
        vertices = np.array(self.vertices_mm, dtype=np.float64)
        faces = np.array(self.faces, dtype=np.int32)
        if vertices.ndim != 2 or vertices.shape[1] != 3 or not np.isfinite(vertices).all():
            raise _bad("finite vertices of shape (V, 3)", f"shape {vertices.shape}")
        if faces.ndim != 2 or faces.shape[1] != 3 or len(faces) == 0:
            raise _bad("at least one face, of shape (F, 3)", f"shape {faces.shape}")
        if faces.min() < 0 or faces.max() >= len(vertices):
            raise _bad(
                f"vertex indices from 0 to {len(vertices) - 1}", f"{faces.min()} to {faces.max()}"
            )
        for name, array in (("vertices_mm", vertices), ("faces", faces)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def moved(self, vertices_mm: VertexArray) -> Mesh:
        """The same faces with their vertices at other positions (V, 3)."""
        return Mesh(vertices_mm, self.faces)

    @cached_property
    def face_vectors_mm2(self) -> VertexArray:
        """Per face (F, 3) the outward vector whose length is the face's area."""
        a, b, c = (self.vertices_mm[self.faces[:, corner]] for corner in range(3))
        return np.asarray(np.cross(b - a, c - a) / 2)

    @cached_property
    def vertex_normals(self) -> VertexArray:
        """Per vertex (V, 3) the outward unit normal, its faces weighted by their areas."""
        normals = np.empty_like(self.vertices_mm)
        for axis in range(3):
            weights = np.repeat(self.face_vectors_mm2[:, axis], 3)
            normals[:, axis] = np.bincount(self.faces.ravel(), weights, len(normals))
        lengths = np.linalg.norm(normals, axis=1, keepdims=True)
        return np.asarray(normals / np.maximum(lengths, np.finfo(float).tiny))

    @cached_property
    def area_mm2(self) -> float:
        """Area of the whole surface."""
        return float(np.linalg.norm(self.face_vectors_mm2, axis=1).sum())

    @cached_property
    def volume_mm3(self) -> float:
        """Enclosed volume; negative if the faces are turned inside out."""
        return float(self._tetrahedra_mm3.sum())

    @cached_property
    def centroid_mm(self) -> VertexArray:
        """Centre of gravity (3,) of the enclosed volume."""
        corners = self.vertices_mm[self.faces].sum(axis=1) - 3 * self._origin_mm
        return np.asarray(self._origin_mm + self._tetrahedra_mm3 @ corners / 4 / self.volume_mm3)

    @cached_property
    def bounds_mm(self) -> VertexArray:
        """Lowest and highest coordinate along each world axis, (2, 3)."""
        used = self.vertices_mm[self.used_vertices]
        return np.stack([used.min(axis=0), used.max(axis=0)])

    @cached_property
    def used_vertices(self) -> npt.NDArray[np.int64]:
        """Indices of the vertices that some face has, ascending."""
        used = np.zeros(len(self.vertices_mm), dtype=bool)
        used[self.faces.ravel()] = True
        return np.flatnonzero(used)

    @cached_property
    def piece_of_face(self) -> npt.NDArray[np.int64]:
        """The piece (F,) each face belongs to, numbered from 0; faces hang together by vertices."""
        return _pieces(self.faces, len(self.vertices_mm))

    @cached_property
    def _origin_mm(self) -> VertexArray:
        # volumes are summed about a point amid the mesh: far from it their digits would cancel
        return np.asarray(self.vertices_mm.mean(axis=0))

    @cached_property
    def _tetrahedra_mm3(self) -> npt.NDArray[np.float64]:
        first = self.vertices_mm[self.faces[:, 0]] - self._origin_mm
        return np.asarray((first * self.face_vectors_mm2).sum(axis=1) / 3)


def _pieces(faces: FaceArray, vertices: int) -> npt.NDArray[np.int64]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    starts, ends = faces[:, :2].ravel(), faces[:, 1:].ravel()
    ones = np.ones(len(starts), dtype=bool)
    graph = coo_array((ones, (starts, ends)), shape=(vertices, vertices))
    _, of_vertex = connected_components(graph, directed=False)
    found = of_vertex[faces[:, 0]]
    # vertices without faces are pieces too to the graph, but not to a surface
    present = np.zeros(vertices, dtype=bool)
    present[found] = True
    return np.asarray((np.cumsum(present) - 1)[found], dtype=np.int64)


def _bad(expected: str, found: str) -> DataError:
    return DataError(Problem("mesh", expected, found, "extract the surface again"))
