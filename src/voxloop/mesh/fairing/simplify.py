"""Fewer triangles for the surfaces of all labels together, within a budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from voxloop.errors import UsageError
from voxloop.mesh.certificate.crossings import self_intersections
from voxloop.mesh.fairing.budget import Budget
from voxloop.mesh.fairing.collapse import Collapsing, collapse
from voxloop.mesh.interfaces import Interfaces

__all__ = ["Simplified", "simplify_interfaces", "triangles_for_megabytes"]

_STL_BYTES = (84, 50)
"""Header and each triangle in the binary form; 3MF and GLB take less."""

_ATTEMPTS = 3
"""Where simplified surfaces cross, the next attempt keeps the vertices there, from attempt to
attempt in a wider neighbourhood; in the end all, since the surfaces did not cross before."""


@dataclass(frozen=True, eq=False)
class Simplified:
    """Simplified surfaces and why there are not fewer triangles.

    Attributes:
        interfaces: the surfaces; their vertices are some of those they came from.
        wanted: triangles asked for.
        triangles: triangles reached, those that labels share counted once.
        largest_deviation_mm: from where extraction put any vertex, removed or not, to the place
            on the surface that stands for it.
        stopped_by: `target` if it was reached, else `budget`: any vertex less would take the
            surfaces too far, fold them or glue parts together.
        crossings: pairs of faces that cross.
    """

    interfaces: Interfaces
    wanted: int
    triangles: int
    largest_deviation_mm: float
    stopped_by: Literal["target", "budget"]
    crossings: int


def triangles_for_megabytes(megabytes: float) -> int:
    """How many triangles a binary STL of so many megabytes (10^6 bytes) holds."""
    header, each = _STL_BYTES
    return int((megabytes * 1e6 - header) // each)


def simplify_interfaces(
    interfaces: Interfaces,
    budget: Budget,
    triangles: int,
    *,
    extracted_mm: npt.NDArray[np.float64] | None = None,
) -> Simplified:
    """Remove vertices, those that matter least first, until few enough triangles are left.

    Edges are collapsed onto one of their ends in the order of their quadric error (Garland and
    Heckbert 1997): amid a patch between two labels onto any neighbour, on a curve where labels
    meet along the curve, junctions never, so that labels go on sharing their triangles. A collapse
    is refused if it would glue or fold surfaces, or if the surface would pass any extracted vertex
    at more than the budget: the budget wins over the number of triangles.

    Args:
        interfaces: surfaces that do not cross.
        budget: about the extracted vertices.
        triangles: to end with, of all labels together, those they share counted once.
        extracted_mm: (V, 3) where extraction put the vertices, if they were smoothed since.

    Raises:
        UsageError: if fewer than 4 triangles are asked for.
    """
    if triangles < 4:
        raise UsageError(f"a closed surface needs at least 4 triangles, found {triangles}")
    middle_mm = interfaces.vertices_mm.mean(axis=0) if len(interfaces.vertices_mm) else 0
    vertices = budget.to_ball(interfaces.vertices_mm - middle_mm)
    points = vertices if extracted_mm is None else budget.to_ball(extracted_mm - middle_mm)
    faces = interfaces.faces.astype(np.int64)
    fixed = np.zeros(len(vertices), dtype=bool)
    for attempt in range(_ATTEMPTS + 1):
        state = Collapsing.of(vertices, points, faces, fixed)
        rng = np.random.default_rng(0)
        while state.alive.sum() > triangles and collapse(state, triangles, rng):
            pass
        left = state.faces[state.alive]
        pairs = self_intersections(interfaces.vertices_mm, left)
        if not len(pairs):
            break
        fixed = fixed | (
            _nearby(vertices, left[np.unique(pairs)], 4.0**attempt)
            if attempt < _ATTEMPTS - 1
            else True
        )
    deviations = (points - state.feet()) @ budget.axes_mm.T
    return Simplified(
        _compact(interfaces, state),
        triangles,
        len(left),
        float(np.linalg.norm(deviations, axis=1).max(initial=0.0)),
        "target" if len(left) <= triangles else "budget",
        len(pairs),
    )


def _nearby(
    vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int64], scale: float
) -> npt.NDArray[np.bool_]:
    """Vertices within boxes around the given faces, `scale` times as large as they need be."""
    from scipy.spatial import cKDTree

    low, high = vertices[faces].min(axis=1), vertices[faces].max(axis=1)
    near = np.zeros(len(vertices), dtype=bool)
    reach = scale * (high - low).max(axis=1) / 2
    for rows in cKDTree(vertices).query_ball_point((low + high) / 2, reach, p=np.inf):
        near[rows] = True
    return near


def _compact(interfaces: Interfaces, state: Collapsing) -> Interfaces:
    used = np.zeros(len(interfaces.vertices_mm), dtype=bool)
    faces = state.faces[state.alive]
    used[faces] = True
    number = np.cumsum(used, dtype=np.int32) - 1
    return Interfaces(interfaces.vertices_mm[used], number[faces], interfaces.sides[state.alive])
