"""How a scan is cut into the regions a person can be asked to label."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from voxloop.errors import UsageError
from voxloop.volume.lattice import Lattice

__all__ = ["Cut", "CutKind"]

CutKind = Literal["slices", "planes", "slice_boxes", "boxes", "volumes"]

_LONGEST = 2.0
"""Pixels that are longer than so many times their width show steps instead of outlines."""

Triple = tuple[int, int, int]
SpacingMm = tuple[float, float, float]


@dataclass(frozen=True)
class Cut:
    """What can be asked for in a scan.

    Attributes:
        kind: `slices` across the case's own axis; `planes`, slices across each axis along which
            they can be read, that is, whose pixels are less than twice as long as wide;
            `slice_boxes`, rectangles within the slices; `boxes` in three dimensions; `volumes`.
        side_mm: about how long the sides of rectangles and boxes are, above zero.

    Raises:
        UsageError: if the kind is unknown or the side is not above zero.
    """

    kind: CutKind = "planes"
    side_mm: float = 40.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(CutKind):
            raise UsageError(
                f"unknown kind of region {self.kind!r}; there are: {', '.join(get_args(CutKind))}"
            )
        if not (math.isfinite(self.side_mm) and self.side_mm > 0):
            raise UsageError(f"the side of a box is above zero, found {self.side_mm} mm")

    def lattices(self, shape: Triple, spacing_mm: SpacingMm, axis: int) -> tuple[Lattice, ...]:
        """The regions of a scan, in one or (for planes) three tilings of it.

        Args:
            shape: voxels along each axis.
            spacing_mm: spacing along each axis.
            axis: the axis across which the scan's slices are read.
        """
        if self.kind == "volumes":
            return (Lattice.of_sides(shape, shape),)
        if self.kind in {"slices", "planes"}:
            across = self.thin_axes(shape, spacing_mm, axis)
            return tuple(Lattice.of_sides(shape, _with(shape, a, 1)) for a in across)
        i, j, k = (max(1, round(self.side_mm / spacing)) for spacing in spacing_mm)
        sides = _with((i, j, k), axis, 1) if self.kind == "slice_boxes" else (i, j, k)
        return (Lattice.of_sides(shape, sides),)

    def thin_axes(self, shape: Triple, spacing_mm: SpacingMm, axis: int) -> tuple[int, ...]:
        """Across which axis the regions of each tiling are slices; none where they are boxes."""
        if self.kind in {"boxes", "volumes"}:
            return ()
        return (axis, *(_readable(shape, spacing_mm, axis) if self.kind == "planes" else ()))


def _readable(shape: Triple, spacing_mm: SpacingMm, axis: int) -> tuple[int, ...]:
    """Other axes across which slices show something; none in a scan of a single slice."""
    if min(shape) == 1:
        return ()
    found = []
    for across in (a for a in range(3) if a != axis):
        pixel = [spacing_mm[a] for a in range(3) if a != across]
        if max(pixel) < _LONGEST * min(pixel):
            found.append(across)
    return tuple(found)


def _with(shape: Triple, axis: int, side: int) -> Triple:
    sides = list(shape)
    sides[axis] = side
    return sides[0], sides[1], sides[2]
