"""Round solids between two points: rods, bevelled pins."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.mesh.mesh import VertexArray
from voxloop.mesh.shop.solid import FACETS, kernel

__all__ = ["frame", "rod"]


def rod(
    start_mm: VertexArray, end_mm: VertexArray, radius_mm: float, end_radius_mm: float | None = None
) -> Any:
    """A cylinder between the centres of its faces; a frustum if the end has its own radius."""
    along = np.asarray(end_mm, dtype=float) - start_mm
    length = float(np.linalg.norm(along))
    end_radius = radius_mm if end_radius_mm is None else end_radius_mm
    upright = kernel().Manifold.cylinder(length, radius_mm, end_radius, FACETS)
    matrix = np.column_stack([frame(along / length), start_mm])
    return upright.transform(matrix)


def frame(normal: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Columns of a right-handed rotation (3, 3) that turns the z axis into a unit vector."""
    third = np.asarray(normal, dtype=float)
    aside = np.eye(3)[np.argmin(np.abs(third))]
    first = np.cross(aside, third)
    first /= np.linalg.norm(first)
    return np.column_stack([first, np.cross(third, first), third])
