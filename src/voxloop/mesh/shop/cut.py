"""Cutting by planes into parts, with pins and holes that hold the parts together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from voxloop.errors import UsageError
from voxloop.mesh.mesh import Mesh, VertexArray
from voxloop.mesh.shop.alteration import Alteration, Altered
from voxloop.mesh.shop.plane import Plane
from voxloop.mesh.shop.round import rod
from voxloop.mesh.shop.solid import FACETS, from_solid, place, refusal, to_solid

__all__ = ["Pins", "cut"]

_BEVEL = 0.6
"""Radius of a bevelled pin's end, as a share of its radius."""

_WHOLE = 0.999
"""A pin's root or a hole's surroundings lie within a part if this share of them does."""


@dataclass(frozen=True, slots=True)
class Pins:
    """What holds two parts together.

    Attributes:
        diameter_mm: of a pin.
        length_mm: how far it stands out.
        clearance_mm: between pin and hole on every side, and at the hole's bottom.
        wall_mm: what must be left around a hole.
        count: how many for each face of the cut, where there is room.
        shape: `cylinder`, or `bevelled`: the outer half narrows, which helps to put them together.

    Raises:
        UsageError: if a length is not positive or the shape is unknown.
    """

    diameter_mm: float = 4.0
    length_mm: float = 4.0
    clearance_mm: float = 0.2
    wall_mm: float = 1.0
    count: int = 2
    shape: Literal["cylinder", "bevelled"] = "bevelled"

    def __post_init__(self) -> None:
        sizes = (self.diameter_mm, self.length_mm, self.wall_mm)
        if not min(sizes) > 0 or not self.clearance_mm >= 0 or self.count < 1:
            raise UsageError("pins need a positive diameter, length, wall and count")
        if self.shape not in {"cylinder", "bevelled"}:
            raise UsageError(f"pins are cylinder or bevelled, found {self.shape!r}")

    @property
    def room_mm(self) -> float:
        """Distance from a pin's axis that must lie within the cut face."""
        return self.diameter_mm / 2 + self.clearance_mm + self.wall_mm


def cut(mesh: Mesh, planes: Sequence[Plane], pins: Pins | None = None) -> Altered:
    """Cut a solid along planes, one after the other.

    With pins, each face of a cut gets as many as fit, on the side that the plane's normal points
    away from; their holes are on the other side. A face too narrow for any is left plain as long
    as another face of the same cut holds the parts.

    Args:
        mesh: a closed surface.
        planes: one or more.
        pins: their size; none where None.

    Returns:
        The parts; of each cut the side the normal points to first.

    Raises:
        UsageError: if there are no planes.
        DataError: if a plane misses the solid, or no face of a cut has room for a pin.
    """
    if not planes:
        raise UsageError("cutting needs at least one plane")
    parts = [to_solid(mesh)]
    alterations: list[Alteration] = []
    for number, plane in enumerate(planes):
        others = (*planes[:number], *planes[number + 1 :])
        found = []
        for part in parts:
            halves = part.split_by_plane(plane.unit_normal, plane.offset_mm)
            if any(half.is_empty() for half in halves):
                found.append(part)
                continue
            faces = list(_faces(part, plane))
            area_mm2 = sum(face.area() for face in faces)
            alterations.append(Alteration("cut", _middle(faces, plane), area_mm2, "mm2"))
            if pins is not None:
                halves, made = _pinned(halves, plane, faces, pins, others)
                alterations += made
            found += halves
        if len(found) == len(parts):
            raise refusal(
                "planes that cut the solid",
                f"{plane}, which misses it",
                f"choose a place within {_extent(mesh)}",
            )
        parts = found
    return Altered(tuple(from_solid(part) for part in parts), tuple(alterations))


def _faces(solid: Any, plane: Plane) -> Iterator[Any]:
    """The separate areas that a plane cuts, in the plane's coordinates."""
    rotation, origin = plane.frame[:, :3], plane.frame[:, 3]
    inverse = np.column_stack([rotation.T, -rotation.T @ origin])
    yield from solid.transform(inverse).slice(0.0).decompose()


def _pinned(
    halves: tuple[Any, Any], plane: Plane, faces: Sequence[Any], pins: Pins, others: Sequence[Plane]
) -> tuple[tuple[Any, Any], list[Alteration]]:
    front, back = halves
    made = []
    for face in faces:
        for axis_mm in _places(face, plane, pins, others, (front, back)):
            back = back + _pin(axis_mm, plane, pins, grown_mm=0.0, root_mm=pins.diameter_mm / 4)
            hole = _pin(axis_mm, plane, pins, grown_mm=pins.clearance_mm, root_mm=pins.wall_mm)
            front = front - hole
            made.append(Alteration("connector pin and hole", place(axis_mm), pins.diameter_mm))
    if not made:
        raise refusal(
            f"a cut face with {2 * pins.room_mm:.3g} mm of room, and "
            f"{pins.length_mm + pins.clearance_mm + pins.wall_mm:.3g} mm of depth behind it",
            f"{len(faces)} of {sum(face.area() for face in faces):.3g} mm2 in all, too narrow",
            "ask for thinner or shorter pins, cut elsewhere, or cut without pins",
        )
    return (front, back), made


def _pin(axis_mm: VertexArray, plane: Plane, pins: Pins, *, grown_mm: float, root_mm: float) -> Any:
    """A pin that stands on the cut towards the front, larger on all sides by `grown_mm`."""
    across = plane.unit_normal
    radius, length = pins.diameter_mm / 2 + grown_mm, pins.length_mm + grown_mm
    straight = length if pins.shape == "cylinder" else length / 2
    solid = rod(axis_mm - root_mm * across, axis_mm + straight * across, radius)
    if straight < length:
        tip = axis_mm + length * across
        end_radius = _BEVEL * pins.diameter_mm / 2 + grown_mm
        solid = solid + rod(axis_mm + straight * across, tip, radius, end_radius)
    return solid


def _places(
    face: Any, plane: Plane, pins: Pins, others: Sequence[Plane], halves: tuple[Any, Any]
) -> list[VertexArray]:
    """Where on a face of the cut pins stand, as far apart as there is room."""
    candidates = _inner_points(face, pins)
    if not len(candidates):
        return []
    on_plane = np.column_stack([candidates, np.zeros(len(candidates))])
    points_mm = on_plane @ plane.frame[:, :3].T + plane.frame[:, 3]
    reach_mm = np.hypot(pins.room_mm, pins.length_mm + pins.clearance_mm)
    for other in others:
        points_mm = points_mm[np.abs(other.height_mm(points_mm)) > reach_mm]
    chosen: list[VertexArray] = []
    while len(points_mm) and len(chosen) < pins.count:
        far_from = chosen or [points_mm.mean(axis=0)]
        apart = np.min([np.linalg.norm(points_mm - p, axis=1) for p in far_from], axis=0)
        # a single pin stands in the middle, several stand as far from each other as they can
        best = int(np.argmin(apart) if pins.count == 1 else np.argmax(apart))
        if chosen and apart[best] < 2 * pins.room_mm:
            break
        if _holds(points_mm[best], plane, pins, halves):
            chosen.append(points_mm[best])
            continue
        near = np.linalg.norm(points_mm - points_mm[best], axis=1) < pins.diameter_mm / 4
        points_mm = points_mm[~near]
    return chosen


def _inner_points(face: Any, pins: Pins) -> npt.NDArray[np.float64]:
    """Points (N, 2) of a face that are far enough from its border, on it or on a lattice."""
    inner = face.offset(-pins.room_mm, circular_segments=FACETS)
    if inner.is_empty():
        return np.empty((0, 2))
    outlines = [np.asarray(outline) for outline in inner.to_polygons()]
    steps = pins.diameter_mm / 2
    corners = np.concatenate(outlines)
    low, high = corners.min(axis=0), corners.max(axis=0)
    axes = [np.arange(a, b, max(steps, (b - a) / 60)) for a, b in zip(low, high, strict=True)]
    lattice = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    return np.concatenate([corners, lattice[_within(lattice, outlines)]])


def _within(
    points: npt.NDArray[np.float64], outlines: Sequence[npt.NDArray[np.float64]]
) -> npt.NDArray[np.bool_]:
    """Whether points lie within outlines, by counting how many sides a ray crosses."""
    inside = np.zeros(len(points), dtype=bool)
    for outline in outlines:
        for start, end in zip(outline, np.roll(outline, -1, axis=0), strict=True):
            if start[1] == end[1]:
                continue
            spans = (points[:, 1] < start[1]) != (points[:, 1] < end[1])
            slope = (end[0] - start[0]) / (end[1] - start[1])
            inside ^= spans & (points[:, 0] < start[0] + (points[:, 1] - start[1]) * slope)
    return inside


def _holds(axis_mm: VertexArray, plane: Plane, pins: Pins, halves: tuple[Any, Any]) -> bool:
    """Whether there is material around the hole and behind the pin."""
    across = plane.unit_normal
    depth_mm = pins.length_mm + pins.clearance_mm + pins.wall_mm
    around = rod(axis_mm, axis_mm + depth_mm * across, pins.room_mm)
    root = rod(axis_mm - pins.diameter_mm / 4 * across, axis_mm, pins.diameter_mm / 2)
    return all(
        (part ^ needed).volume() > _WHOLE * needed.volume()
        for part, needed in zip(halves, (around, root), strict=True)
    )


def _middle(faces: Sequence[Any], plane: Plane) -> tuple[float, float, float]:
    corners = np.concatenate([np.asarray(p) for face in faces for p in face.to_polygons()])
    x, y = (corners.min(axis=0) + corners.max(axis=0)) / 2
    return place(plane.frame @ np.array([x, y, 0.0, 1.0]))


def _extent(mesh: Mesh) -> str:
    spans = zip("xyz", *mesh.bounds_mm.tolist(), strict=True)
    return ", ".join(f"{axis} {low:.1f} to {high:.1f}" for axis, low, high in spans) + " mm"
