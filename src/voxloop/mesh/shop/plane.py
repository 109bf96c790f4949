"""A plane to cut along."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.errors import UsageError
from voxloop.mesh.mesh import VertexArray
from voxloop.mesh.shop.alteration import Place
from voxloop.mesh.shop.round import frame

__all__ = ["AxisPlane", "Plane", "parse_plane"]

_AXES = {"x": 0, "y": 1, "z": 2}


@dataclass(frozen=True, slots=True)
class Plane:
    """A plane in world millimetres.

    Attributes:
        point_mm: any point of it.
        normal: direction across it, of any length.

    Raises:
        UsageError: if the normal has no direction, or a number is not finite.
    """

    point_mm: Place
    normal: Place

    def __post_init__(self) -> None:
        if not np.isfinite([*self.point_mm, *self.normal]).all():
            raise UsageError(f"a plane needs finite numbers, found {self.point_mm}, {self.normal}")
        if np.linalg.norm(self.normal) < 1e-9:
            raise UsageError("a plane needs a normal with a direction")

    def __str__(self) -> str:
        return f"the plane through {_words(self.point_mm)} mm across {_words(self.normal)}"

    @property
    def unit_normal(self) -> VertexArray:
        """(3,) of length one."""
        return np.asarray(np.array(self.normal) / np.linalg.norm(self.normal))

    @property
    def offset_mm(self) -> float:
        """Distance from the world's origin, along the normal."""
        return float(self.unit_normal @ np.asarray(self.point_mm))

    @property
    def frame(self) -> npt.NDArray[np.float64]:
        """(3, 4) from the plane's coordinates to the world: two along it, the third across it."""
        return np.column_stack([frame(self.unit_normal), np.asarray(self.point_mm, dtype=float)])

    def height_mm(self, points_mm: VertexArray) -> VertexArray:
        """Signed distance (N,) of points (N, 3), positive on the normal's side."""
        return np.asarray(points_mm @ self.unit_normal - self.offset_mm)

    def cuts(self, points_mm: VertexArray) -> bool:
        """Whether points (N, 3) lie on both sides."""
        heights = self.height_mm(points_mm)
        return bool(heights.min() < 0 < heights.max())

    def within(self, bounds_mm: VertexArray) -> Plane:  # noqa: ARG002 - as of an `AxisPlane`
        """The plane itself, wherever the model is."""
        return self


@dataclass(frozen=True, slots=True)
class AxisPlane:
    """A plane across a world axis, perhaps through the middle of a model.

    Attributes:
        axis: `x` (towards the patient's right), `y` (anterior) or `z` (superior).
        at_mm: position along the axis; the model's middle where None.

    Raises:
        UsageError: if there is no such axis, or the position is not finite.
    """

    axis: str
    at_mm: float | None = None

    def __post_init__(self) -> None:
        if self.axis not in _AXES:
            raise UsageError(f"a plane lies across x, y or z, found {self.axis!r}")
        if self.at_mm is not None and not np.isfinite(self.at_mm):
            raise UsageError(f"a plane needs finite numbers, found {self.at_mm}")

    def within(self, bounds_mm: VertexArray) -> Plane:
        """The plane for a model that fills a box (2, 3)."""
        number = _AXES[self.axis]
        middle = float(bounds_mm[:, number].mean())
        point, normal = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
        point[number], normal[number] = middle if self.at_mm is None else self.at_mm, 1.0
        return Plane((point[0], point[1], point[2]), (normal[0], normal[1], normal[2]))


def parse_plane(text: str) -> Plane | AxisPlane:
    """A plane as it is written: `x`, `x=12.5`, or point and normal as `1,2,3:0,0.5,1`.

    Millimetres of the scan's world, RAS+.

    Raises:
        UsageError: if it is written otherwise.
    """
    try:
        if ":" in text:
            point, normal = (_triple(part) for part in text.split(":"))
            return Plane(point, normal)
        axis, given, position = text.replace(" ", "").lower().partition("=")
        return AxisPlane(axis, float(position) if given else None)
    except ValueError as error:
        raise UsageError(
            f"cannot read the cut {text!r}; write x, y or z for the middle, z=12.5 for a place, "
            "or POINT:NORMAL as 1,2,3:0,0,1"
        ) from error


def _triple(text: str) -> Place:
    x, y, z = (float(number) for number in text.split(","))
    return x, y, z


def _words(numbers: Place) -> str:
    return "(" + ", ".join(f"{number:.4g}" for number in numbers) + ")"
