"""Meshes as VTK's polygonal data and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from voxloop.compute.extras import require
from voxloop.mesh.mesh import FaceArray, Mesh, VertexArray

__all__ = ["from_polydata", "to_polydata", "vtk_module"]


def vtk_module(name: str) -> Any:
    """Import one module of VTK, e.g. `vtkFiltersCore`; none of those used here needs a display.

    Raises:
        MissingExtraError: if VTK is not installed.
    """
    return require(f"vtkmodules.{name}", feature="surface extraction", extra="mesh")


def to_polydata(mesh: Mesh) -> Any:
    """Copy a mesh into a `vtkPolyData`, double precision."""
    convert = vtk_module("util.numpy_support")
    points = vtk_module("vtkCommonCore").vtkPoints()
    points.SetData(convert.numpy_to_vtk(mesh.vertices_mm, deep=True))
    data_model = vtk_module("vtkCommonDataModel")
    cells = data_model.vtkCellArray()
    corners = mesh.faces.astype(np.int64).ravel()
    cells.SetData(3, convert.numpy_to_vtkIdTypeArray(corners, deep=True))
    polydata = data_model.vtkPolyData()
    polydata.SetPoints(points)
    polydata.SetPolys(cells)
    return polydata


def from_polydata(polydata: Any) -> tuple[VertexArray, FaceArray]:
    """Copy points (V, 3) and triangles (F, 3) out of a `vtkPolyData` of triangles."""
    convert = vtk_module("util.numpy_support")
    vertices = np.array(convert.vtk_to_numpy(polydata.GetPoints().GetData()), dtype=np.float64)
    corners = convert.vtk_to_numpy(polydata.GetPolys().GetConnectivityArray())
    return vertices, np.array(corners, dtype=np.int32).reshape(-1, 3)
