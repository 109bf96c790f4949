"""Surfaces as solids that can be joined, subtracted and cut, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.compute.extras import require
from voxloop.errors import DataError, Problem
from voxloop.mesh.certificate.crossings import self_intersections
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.shop.alteration import Place

__all__ = ["FACETS", "coarser", "from_solid", "kernel", "place", "refusal", "sound", "to_solid"]

FACETS = 48
"""Sides of what is meant to be round: at 4 mm across, 0.004 mm off the circle."""


def kernel() -> Any:
    """The library of exact booleans.

    Raises:
        MissingExtraError: if Manifold is not installed.
    """
    return require("manifold3d", feature="changing a surface for the printer", extra="mesh")


def to_solid(mesh: Mesh) -> Any:
    """The inside of a closed, oriented 2-manifold surface.

    Raises:
        DataError: if the surface is none.
        MissingExtraError: if Manifold is not installed.
    """
    library = kernel()
    corners = np.ascontiguousarray(mesh.faces, dtype=np.uint64)
    positions = np.array(mesh.vertices_mm, order="C")
    solid = library.Manifold(library.Mesh64(positions, tri_verts=corners))
    if solid.status() != library.Error.NoError:
        raise refusal(
            "a closed 2-manifold surface",
            f"one that is not ({solid.status().name})",
            "make the surface from the label map again",
        )
    return solid


def from_solid(solid: Any) -> Mesh:
    """The surface of a solid.

    Raises:
        DataError: if nothing is left of the solid.
    """
    if solid.is_empty():
        raise refusal("a solid", "nothing left of it", "ask for a smaller change")
    found = solid.to_mesh64()
    return Mesh(found.vert_properties[:, :3], found.tri_verts)


def coarser(mesh: Mesh, tolerance_mm: float) -> Any:
    """The inside of a surface, with fewer triangles where it moves by no more than a tolerance.

    Simplification looks at neighbours only, so that the surface may come to cross itself; then
    nothing is taken away.
    """
    solid = to_solid(mesh)
    simple = solid.simplify(tolerance_mm)
    return solid if _crosses(from_solid(simple)) else simple


def sound(make: Callable[[float], Any]) -> Mesh:
    """The surface of a solid that is made with a tool as coarse as may be.

    Slivers of a tool and of a model can meet so that a sliver of the result is folded over. Then
    the solid is made again with a finer tool.

    Args:
        make: gives the solid for a share of the tool's usual coarseness.
    """
    made = from_solid(make(1.0))
    for share in (0.5, 0.2, 0.05):
        if not _crosses(made):
            break
        made = from_solid(make(share))
    return made


def _crosses(mesh: Mesh) -> bool:
    return len(self_intersections(mesh.vertices_mm, mesh.faces)) > 0


def place(point_mm: npt.ArrayLike) -> Place:
    """A point (3,) as a tuple of plain numbers."""
    x, y, z = (float(value) for value in np.asarray(point_mm, dtype=float))
    return x, y, z


def refusal(expected: str, found: str, remedy: str) -> DataError:
    """The error of a surface that an operation cannot be done to."""
    return DataError(Problem("surface", expected, found, remedy))
