"""How far two surfaces lie apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.mesh.mesh import Mesh
from voxloop.mesh.polydata import to_polydata, vtk_module

__all__ = ["SurfaceDistance", "signed_distance_mm", "surface_distance"]


@dataclass(frozen=True, slots=True)
class SurfaceDistance:
    """Distances between two surfaces, from the vertices of each to the faces of the other.

    Attributes:
        signed_mean_mm: of the first surface's vertices; positive where it lies outside the other.
        p95_mm: 95th percentile, both ways, without sign.
        max_mm: the largest, both ways (Hausdorff), without sign.
    """

    signed_mean_mm: float
    p95_mm: float
    max_mm: float


def surface_distance(mesh: Mesh, reference: Mesh) -> SurfaceDistance:
    """Measure both ways, so that a part missing from either surface counts.

    Args:
        mesh: the surface to judge.
        reference: a closed, outward oriented surface.
    """
    there = signed_distance_mm(mesh.vertices_mm[np.unique(mesh.faces)], reference)
    back = signed_distance_mm(reference.vertices_mm[np.unique(reference.faces)], mesh)
    sizes = np.abs(np.concatenate([there, back]))
    return SurfaceDistance(float(there.mean()), float(np.percentile(sizes, 95)), float(sizes.max()))


def signed_distance_mm(
    points_mm: npt.NDArray[np.float64], reference: Mesh
) -> npt.NDArray[np.float64]:
    """Distance (N,) of points (N, 3) to the nearest face, negative inside the surface."""
    convert = vtk_module("util.numpy_support")
    nearest = vtk_module("vtkFiltersCore").vtkImplicitPolyDataDistance()
    nearest.SetInput(to_polydata(reference))
    distances = vtk_module("vtkCommonCore").vtkDoubleArray()
    nearest.FunctionValue(convert.numpy_to_vtk(points_mm, deep=True), distances)
    return np.array(convert.vtk_to_numpy(distances), dtype=np.float64)
