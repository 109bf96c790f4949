"""From the voxels of one label to its closed surface."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.errors import DataError, Problem
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.polydata import from_polydata, vtk_module
from voxloop.volume.boxes import Box, bounding_box
from voxloop.volume.volume import LabelMap

__all__ = ["extract_surface"]

Mask = npt.NDArray[np.bool_]


def extract_surface(label_map: LabelMap, value: int) -> Mesh:
    """The surface halfway between the voxels of a label and all others, in world millimetres.

    Flying edges on the binary mask (Schroeder et al. 2015; the cases are those of marching
    cubes). Every vertex lies on one grid edge and ambiguous cube faces always separate the
    label's voxels, so the surface is a closed 2-manifold however voxels touch. Structures cut by
    the border of the scan are closed there, half a voxel outside it. `IGNORE` counts as outside.

    Args:
        label_map: any grid; a left-handed one has its faces turned, so that volume stays positive.
        value: the label.

    Returns:
        Mesh with consistently outward faces.

    Raises:
        DataError: if no voxel has the label.
        MissingExtraError: if VTK is not installed.
    """
    mask = label_map.mask(value)
    box = bounding_box(mask)
    if box is None:
        raise DataError(_absent(label_map, value))
    vertices, faces = from_polydata(_flying_edges(mask, box))
    vertices_mm = label_map.geometry.to_world(vertices + np.array(box.start) - 1)
    if np.linalg.det(label_map.geometry.matrix[:3, :3]) < 0:
        faces = faces[:, ::-1]
    return Mesh(vertices_mm, faces)


def _flying_edges(mask: Mask, box: Box) -> Any:
    padded = np.pad(mask[box.slices], 1).astype(np.uint8)
    image = vtk_module("vtkCommonDataModel").vtkImageData()
    image.SetDimensions(*padded.shape)
    scalars = vtk_module("util.numpy_support").numpy_to_vtk(padded.ravel(order="F"), deep=True)
    image.GetPointData().SetScalars(scalars)
    surface = vtk_module("vtkFiltersCore").vtkFlyingEdges3D()
    surface.SetInputData(image)
    surface.SetValue(0, 0.5)
    surface.ComputeNormalsOff()
    surface.ComputeScalarsOff()
    surface.Update()
    return surface.GetOutput()


def _absent(label_map: LabelMap, value: int) -> Problem:
    names = label_map.labels.names
    present = [names[v] for v in names if (label_map.array == v).any()]
    wanted = f"label {value} ({names[value]!r})" if value in names else f"label {value}"
    return Problem(
        "label map",
        f"voxels of {wanted}",
        f"none; present are {', '.join(map(repr, present)) or 'no labels at all'}",
        "choose a label that is present, or segment the case first",
    )
