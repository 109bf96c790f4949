"""The closed surface where a sampled field passes zero."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from voxloop.mesh.mesh import Mesh
from voxloop.mesh.polydata import from_polydata, vtk_module

__all__ = ["level_surface"]

_OFF_ZERO = 1e-3
"""Samples nearer to zero than this share of the field's largest value are moved off it, or
triangles without area would arise there."""


def level_surface(field: npt.NDArray[np.floating], affine: npt.NDArray[np.float64]) -> Mesh | None:
    """Enclose the positive samples of a field, with positions linear between the samples.

    Flying edges (Schroeder et al. 2015). What lies outside the array counts as far outside, so that
    the surface is closed; every vertex lies on one grid edge and ambiguous cube faces always
    separate the positive samples, so that it is a 2-manifold.

    Args:
        field: (I, J, K) values, positive inside.
        affine: (4, 4) from indices to world millimetres.

    Returns:
        Outward oriented surface; None if no sample is positive.

    Raises:
        MissingExtraError: if VTK is not installed.
    """
    if not (field > 0).any():
        return None
    values = np.pad(field.astype(np.float32), 1, constant_values=-float(np.abs(field).max()))
    least = np.float32(_OFF_ZERO * np.abs(values).max())
    near = np.abs(values) < least
    values[near] = np.where(values[near] > 0, least, -least)
    image = vtk_module("vtkCommonDataModel").vtkImageData()
    image.SetDimensions(*values.shape)
    scalars = vtk_module("util.numpy_support").numpy_to_vtk(values.ravel(order="F"), deep=True)
    image.GetPointData().SetScalars(scalars)
    contour = vtk_module("vtkFiltersCore").vtkFlyingEdges3D()
    contour.SetInputData(image)
    contour.SetValue(0, 0.0)
    contour.ComputeNormalsOff()
    contour.ComputeScalarsOff()
    contour.Update()
    vertices, faces = from_polydata(contour.GetOutput())
    vertices_mm = (vertices - 1) @ affine[:3, :3].T + affine[:3, 3]
    mirrored = np.linalg.det(affine[:3, :3]) < 0
    return Mesh(vertices_mm, faces[:, ::-1] if mirrored else faces)
