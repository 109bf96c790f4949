"""How thick the walls of a structure are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.mesh.mesh import Mesh
from voxloop.mesh.polydata import to_polydata, vtk_module

__all__ = ["WallThickness", "wall_thickness"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_RAYS = 4000
_THINNEST = 8
_FACING = -(0.5**0.5)
"""Cosine between the normals of a wall's two sides: they must look away from each other within 45
degrees. At an edge two sides meet at any distance, which makes no wall."""


@dataclass(frozen=True, slots=True)
class WallThickness:
    """Distances through a structure, from places spread evenly over its surface.

    Attributes:
        minimum_mm: thinnest wall that was met; searched for around the thinnest places.
        place_mm: where, in world millimetres.
        p1_mm: one hundredth of the surface has thinner walls. Less moved by single places.
        median_mm: half of the surface has thinner walls.
        rays: number of places.
    """

    minimum_mm: float
    place_mm: tuple[float, float, float]
    p1_mm: float
    median_mm: float
    rays: int


def wall_thickness(mesh: Mesh, *, rays: int = _RAYS) -> WallThickness | None:
    """Measure by rays that run inwards against the surface's normal to the other side.

    Places are spread evenly over the area, so that a share of the rays is a share of the
    surface. A ray counts where the side it reaches looks away from the one it left within 45
    degrees. Then the faces around the thinnest places send rays too, for the minimum alone.

    Args:
        mesh: a closed, outward oriented surface.
        rays: how many places; fewer where the surface has fewer faces.

    Returns:
        None if no ray met an opposite wall.
    """
    areas = np.linalg.norm(mesh.face_vectors_mm2, axis=1)
    chosen = _spread(areas, rays)
    inside = _Inside(mesh)
    through = inside.thickness_mm(chosen)
    met = np.isfinite(through)
    if not met.any():
        return None
    thin = inside.centres_mm[chosen[np.argsort(through)[:_THINNEST]]]
    around = _around(mesh, thin, inside.centres_mm, rays)
    both, all_through = np.append(chosen, around), np.append(through, inside.thickness_mm(around))
    thinnest = int(np.argmin(all_through))
    x, y, z = inside.centres_mm[both[thinnest]].tolist()
    p1, median = np.percentile(through[met], [1, 50])
    return WallThickness(
        float(all_through[thinnest]), (x, y, z), float(p1), float(median), len(met)
    )


class _Inside:
    """Rays into a surface."""

    def __init__(self, mesh: Mesh) -> None:
        self.centres_mm = mesh.vertices_mm[mesh.faces].mean(axis=1)
        normals = mesh.vertex_normals[mesh.faces].sum(axis=1)
        lengths = np.linalg.norm(normals, axis=1, keepdims=True)
        self._normals = normals / np.maximum(lengths, np.finfo(float).tiny)
        self._reach_mm = float(np.linalg.norm(mesh.bounds_mm[1] - mesh.bounds_mm[0]))
        self._locator = vtk_module("vtkCommonDataModel").vtkStaticCellLocator()
        self._locator.SetDataSet(to_polydata(mesh))
        self._locator.BuildLocator()

    def thickness_mm(self, faces: IntArray) -> FloatArray:
        """Through the body from the middle of each face (N,); inf where no wall is met."""
        reference = vtk_module("vtkCommonCore").reference
        share, part, hit = reference(0.0), reference(0), reference(0)
        place, inner = [0.0] * 3, [0.0] * 3
        # start a little inside, so as not to meet the face the ray leaves
        starts = self.centres_mm[faces] - 1e-7 * self._reach_mm * self._normals[faces]
        ends = starts - self._reach_mm * self._normals[faces]
        through = np.full(len(faces), np.inf)
        intersect: Any = self._locator.IntersectWithLine
        for number, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            if not intersect(start, end, 0.0, share, place, inner, part, hit):
                continue
            if self._normals[faces[number]] @ self._normals[hit.get()] < _FACING:
                through[number] = share.get() * self._reach_mm
        return through


def _spread(areas: FloatArray, count: int) -> IntArray:
    """Faces at even steps along the summed area, each once at most."""
    ends = np.cumsum(areas)
    if count >= len(areas):
        return np.flatnonzero(areas > 0)
    steps = (np.arange(count) + 0.5) / count * ends[-1]
    return np.unique(np.minimum(np.searchsorted(ends, steps), len(areas) - 1))


def _around(mesh: Mesh, places_mm: FloatArray, centres_mm: FloatArray, most: int) -> IntArray:
    """Faces near some places (N, 3), two typical distances between rays wide."""
    reach_mm = 2 * np.sqrt(mesh.area_mm2 / most)
    near = np.zeros(len(centres_mm), dtype=bool)
    for place in places_mm:
        near |= ((centres_mm - place) ** 2).sum(axis=1) <= reach_mm**2
    found = np.flatnonzero(near)
    return found[:: max(1, -(-len(found) // most))]
