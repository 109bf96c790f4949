"""Hollowing with walls of a thickness, and holes through which resin or powder drains."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from voxloop.errors import UsageError
from voxloop.mesh.certificate.distance import signed_distance_mm
from voxloop.mesh.mesh import Mesh, VertexArray
from voxloop.mesh.shop.alteration import Alteration, Altered, Place
from voxloop.mesh.shop.offset import MAX_SAMPLES, offset_surface
from voxloop.mesh.shop.pieces import joined, pieces
from voxloop.mesh.shop.round import rod
from voxloop.mesh.shop.solid import coarser, place, refusal, sound, to_solid

__all__ = ["Drains", "hollow"]

_COARSER = 0.01
"""Share of the wall's thickness by which the cavity's surface may be simplified."""


@dataclass(frozen=True, slots=True)
class Drains:
    """The holes through the wall of what was hollowed.

    Attributes:
        diameter_mm: of each hole; resin wants 3.5 mm at least.
        count: how many for each cavity, where no places are given. One lets no air in.
        at_mm: places; each hole goes where the cavity is nearest to one of them. Where empty, the
            lowest points of each cavity.
        down: direction that points to the lowest points.

    Raises:
        UsageError: if the diameter or the count is not positive, or the direction is none.
    """

    diameter_mm: float = 3.5
    count: int = 2
    at_mm: tuple[Place, ...] = ()
    down: Place = (0.0, 0.0, -1.0)

    def __post_init__(self) -> None:
        if not self.diameter_mm > 0 or self.count < 1 or not np.linalg.norm(self.down) > 0:
            raise UsageError("drain holes need a positive diameter, a count and a direction")


def hollow(mesh: Mesh, *, wall_mm: float, drains: Drains | None = None) -> Altered:
    """Take out what lies deeper than a wall's thickness, and let it drain.

    Every hole runs the shortest way out. Cavities too small for a hole stay filled.

    Args:
        mesh: a closed surface.
        wall_mm: thickness of the walls, kept everywhere but at the holes.
        drains: holes; two of 3.5 mm at the lowest points of each cavity where None.

    Raises:
        UsageError: if the thickness is not positive.
        DataError: if the solid is too thin to hollow, or no hole fits.
        LimitError: if the solid is too large for walls as thin as that.
    """
    if not wall_mm > 0:
        raise UsageError(f"walls need a thickness above 0 mm, found {wall_mm:g}")
    wanted = drains or Drains()
    cavity = offset_surface(mesh, -wall_mm, spacing_mm=_spacing_mm(mesh, wall_mm))
    cavities = () if cavity is None else pieces(cavity)
    room = tuple(c for c in cavities if _has_room(c, wanted.diameter_mm))
    if not room:
        found = "too thin for a cavity" if cavity is None else "with room for smaller cavities only"
        raise refusal(
            f"a solid with room for walls of {wall_mm:g} mm and a hole of "
            f"{wanted.diameter_mm:g} mm",
            found,
            "print it solid, or ask for thinner walls or smaller holes",
        )
    inside = joined((*room, *_left_standing(room, cavities)))
    rods: list[Any] = []
    alterations = [
        Alteration("hollowed", place(c.centroid_mm), c.volume_mm3 / 1000, "ml") for c in room
    ]
    for start_mm, outward in _holes(room, mesh, wall_mm, wanted):
        radius = wanted.diameter_mm / 2
        rods.append(
            rod(start_mm - radius * outward, start_mm + (wall_mm + radius) * outward, radius)
        )
        alterations.append(Alteration("drain hole", place(start_mm), wanted.diameter_mm))
    solid = to_solid(mesh)
    for rod_through in rods:
        solid = solid - rod_through
    made = sound(lambda share: solid - coarser(inside, share * _COARSER * wall_mm))
    return Altered((made,), tuple(alterations))


def _spacing_mm(mesh: Mesh, wall_mm: float) -> float:
    low, high = mesh.bounds_mm
    affordable = (np.prod(high - low + wall_mm) / (0.6 * MAX_SAMPLES)) ** (1 / 3)
    return float(min(max(wall_mm / 3, affordable), wall_mm / 2))


def _has_room(cavity: Mesh, diameter_mm: float) -> bool:
    low, high = cavity.bounds_mm
    return cavity.volume_mm3 > np.pi / 4 * diameter_mm**3 and (high - low).min() > diameter_mm


def _left_standing(room: tuple[Mesh, ...], cavities: tuple[Mesh, ...]) -> tuple[Mesh, ...]:
    """What lies within the cavities and is not taken: the walls of cavities the solid had."""
    shells = (cavity for cavity in cavities if cavity.volume_mm3 < 0)
    return tuple(
        shell
        for shell in shells
        if any(signed_distance_mm(shell.vertices_mm[:1], outer)[0] < 0 for outer in room)
    )


def _holes(
    cavities: tuple[Mesh, ...], mesh: Mesh, wall_mm: float, drains: Drains
) -> list[tuple[VertexArray, VertexArray]]:
    """Where each hole starts on a cavity, and its direction outward."""
    way_out = partial(_ways_out, mesh=mesh, wall_mm=wall_mm, diameter_mm=drains.diameter_mm)
    if not drains.at_mm:
        down = np.array(drains.down) / np.linalg.norm(drains.down)
        found = [
            hole
            for cavity in cavities
            for hole in way_out(cavity, -(cavity.vertices_mm @ down), drains.count)
        ]
    else:
        found = []
        for point_mm in drains.at_mm:
            apart = [np.linalg.norm(c.vertices_mm - np.array(point_mm), axis=1) for c in cavities]
            nearest = int(np.argmin([a.min() for a in apart]))
            found += way_out(cavities[nearest], apart[nearest], 1)
    if not found:
        raise refusal(
            "a place where a hole leads straight out",
            "none",
            "say where the holes are to be, or ask for smaller ones",
        )
    return found


def _ways_out(
    cavity: Mesh, cost: VertexArray, count: int, *, mesh: Mesh, wall_mm: float, diameter_mm: float
) -> list[tuple[VertexArray, VertexArray]]:
    """The cheapest vertices of a cavity, two diameters apart, that a hole leads out from."""
    free = np.ones(len(cost), dtype=bool)
    found: list[tuple[VertexArray, VertexArray]] = []
    for vertex in np.argsort(cost, kind="stable"):
        if not free[vertex]:
            continue
        start_mm, outward = cavity.vertices_mm[vertex], cavity.vertex_normals[vertex]
        end_mm = start_mm + (wall_mm + 0.4 * diameter_mm) * outward
        if signed_distance_mm(end_mm[None], mesh)[0] > 0:
            found.append((start_mm, outward))
            reach_mm = 2 * diameter_mm
        else:
            reach_mm = diameter_mm / 2
        free &= np.linalg.norm(cavity.vertices_mm - start_mm, axis=1) > reach_mm
        if len(found) == count:
            break
    return found
