"""How thick the walls of a structure are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.mesh.certificate.interior import Interior
from voxloop.mesh.mesh import Mesh

__all__ = ["WallThickness", "wall_thickness"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_RAYS = 4000
_THINNEST = 8

_TURNS = (0.7548776662466927, 0.5698402909980532)
"""Steps of a sequence that fills the unit square evenly however long it is (Roberts 2018)."""


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
        rays: how many places.

    Returns:
        None if no ray met an opposite wall.
    """
    places, owners = _spread(mesh, rays)
    interior = Interior(mesh)
    through = _through_mm(interior, places, owners, mesh)
    met = np.isfinite(through)
    if not met.any():
        return None
    around = _around(mesh, places[np.argsort(through)[:_THINNEST]], interior.centres_mm, rays)
    both = np.concatenate([places, interior.centres_mm[around]])
    closer = _through_mm(interior, interior.centres_mm[around], around, mesh)
    all_through = np.append(through, closer)
    thinnest = int(np.argmin(all_through))
    x, y, z = both[thinnest].tolist()
    p1, median = np.percentile(through[met], [1, 50])
    return WallThickness(
        float(all_through[thinnest]), (x, y, z), float(p1), float(median), len(met)
    )


def _through_mm(interior: Interior, places: FloatArray, owners: IntArray, mesh: Mesh) -> FloatArray:
    """Through the body from places on faces (N,); inf where no wall is met."""
    reach_mm = float(np.linalg.norm(mesh.bounds_mm[1] - mesh.bounds_mm[0]))
    # a little inside, so as not to meet the face the ray leaves
    starts = places - 1e-7 * reach_mm * interior.normals(owners)
    return interior.through_mm(starts, owners, reach_mm)


def _spread(mesh: Mesh, count: int) -> tuple[FloatArray, IntArray]:
    """Places (N, 3) at even steps along the summed area, and their faces (N,)."""
    ends = np.cumsum(np.linalg.norm(mesh.face_vectors_mm2, axis=1))
    number = np.arange(count)
    owners = np.searchsorted(ends, (number + 0.5) / count * ends[-1])
    owners = np.minimum(owners, len(ends) - 1)
    # where in its face, so that large faces are covered evenly as well
    root, share = np.sqrt(number * _TURNS[0] % 1), number * _TURNS[1] % 1
    weights = np.stack([1 - root, root * (1 - share), root * share], axis=1)
    corners = mesh.vertices_mm[mesh.faces[owners]]
    return np.asarray((weights[:, :, None] * corners).sum(axis=1)), owners


def _around(mesh: Mesh, places_mm: FloatArray, centres_mm: FloatArray, most: int) -> IntArray:
    """Faces near some places (N, 3), two typical distances between rays wide."""
    reach_mm = 2 * np.sqrt(mesh.area_mm2 / most)
    near = np.zeros(len(centres_mm), dtype=bool)
    for place in places_mm:
        near |= ((centres_mm - place) ** 2).sum(axis=1) <= reach_mm**2
    found = np.flatnonzero(near)
    return found[:: max(1, -(-len(found) // most))]
