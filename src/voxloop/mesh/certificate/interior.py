"""How far it is through a solid, from points on its surface."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.mesh.fairing.facets import unit
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.polydata import to_polydata, vtk_module

__all__ = ["Interior"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_FACING = -(0.5**0.5)
"""Cosine between the normals of a wall's two sides: they must look away from each other within 45
degrees. At an edge two sides meet at any distance, which makes no wall."""

_SAME_SIDE = 0.6
"""Cosine between the normals of faces that belong to one smooth side; beyond is an edge."""


class Interior:
    """Rays into a closed, outward oriented surface."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._locator = vtk_module("vtkCommonDataModel").vtkStaticCellLocator()
        self._locator.SetDataSet(to_polydata(mesh))
        self._locator.BuildLocator()

    @cached_property
    def centres_mm(self) -> FloatArray:
        """Middles (F, 3) of the faces."""
        return np.asarray(self._mesh.vertices_mm[self._mesh.faces].mean(axis=1))

    def normals(self, faces: IntArray) -> FloatArray:
        """Unit normals (N, 3) of some faces, averaged with neighbours up to the next edge.

        A single small face may lean anywhere, its surroundings do not; and the rim of a plate
        does not tilt its broad sides.
        """
        chosen, back = np.unique(faces, return_inverse=True)
        near = (self._corners[chosen] @ self._corners.T).tocoo()
        alike = (self._units[chosen[near.row]] * self._units[near.col]).sum(axis=1) > _SAME_SIDE
        rows, vectors = near.row[alike], self._mesh.face_vectors_mm2[near.col[alike]]
        summed = [np.bincount(rows, along, len(chosen)) for along in vectors.T]
        return unit(np.stack(summed, axis=1).astype(np.float64))[back]

    def through_mm(self, points: FloatArray, owners: IntArray, longest_mm: float) -> FloatArray:
        """Thickness (N,) behind points on faces: how far a ray runs against the normal there.

        A ray counts where the side it reaches looks away from the one it left within 45 degrees.

        Args:
            points: (N, 3), a little below the surface, so that no ray meets the face it leaves.
            owners: (N,) the face of each.
            longest_mm: how far to look.

        Returns:
            Infinite where no wall is met.
        """
        normals = self.normals(owners)
        ends = points - longest_mm * normals
        reference = vtk_module("vtkCommonCore").reference
        share, part, cell = reference(0.0), reference(0), reference(0)
        place, inner = [0.0] * 3, [0.0] * 3
        hit = np.full(len(points), -1, dtype=np.int64)
        found = np.full(len(points), np.inf)
        intersect: Any = self._locator.IntersectWithLine
        for number, (start, end) in enumerate(zip(points.tolist(), ends.tolist(), strict=True)):
            if intersect(start, end, 0.0, share, place, inner, part, cell):
                hit[number] = cell.get()
                found[number] = share.get() * longest_mm
        met = np.flatnonzero(hit >= 0)
        facing = (normals[met] * self.normals(hit[met])).sum(axis=1)
        around = (self._smooth[owners[met]] * self._smooth[hit[met]]).sum(axis=1)
        found[met[(facing >= _FACING) | (around >= 0)]] = np.inf
        return found

    @cached_property
    def _smooth(self) -> FloatArray:
        """Directions (F, 3) of the faces' surroundings, across edges too.

        A small face that is folded over faces its neighbours, its surroundings do not.
        """
        return np.asarray(self._mesh.vertex_normals[self._mesh.faces].sum(axis=1))

    @cached_property
    def _units(self) -> FloatArray:
        return unit(self._mesh.face_vectors_mm2)

    @cached_property
    def _corners(self) -> Any:
        return _incidence(self._mesh)


def _incidence(mesh: Mesh) -> Any:
    """Which vertices (V) each face (F) has, as a sparse matrix."""
    from scipy.sparse import csr_array

    starts = np.arange(0, 3 * len(mesh.faces) + 1, 3)
    ones = np.ones(3 * len(mesh.faces), dtype=np.int8)
    shape = (len(mesh.faces), len(mesh.vertices_mm))
    return csr_array((ones, mesh.faces.ravel(), starts), shape=shape)
