"""Plates with an identifier: one to stand on, or one for itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from voxloop.errors import UsageError
from voxloop.mesh.mesh import Mesh, VertexArray
from voxloop.mesh.shop.alteration import Alteration, Altered
from voxloop.mesh.shop.lettering import letters
from voxloop.mesh.shop.solid import from_solid, kernel, place, to_solid

__all__ = ["Plate", "base_plate", "in_front", "name_plate"]

_BESIDE_MM = 5.0


@dataclass(frozen=True, slots=True)
class Plate:
    """Measures of a plate and its lettering.

    Attributes:
        thickness_mm: of the plate, without raised letters.
        letters_mm: height of capitals; below 4 mm many printers lose them.
        depth_mm: of engraved letters, or height of raised ones.
        margin_mm: around the letters, and around the model on a base plate.
        raised: letters stand out instead of being engraved.

    Raises:
        UsageError: if a measure is not positive, or letters are engraved through the plate.
    """

    thickness_mm: float = 3.0
    letters_mm: float = 5.0
    depth_mm: float = 0.8
    margin_mm: float = 2.0
    raised: bool = False

    def __post_init__(self) -> None:
        sizes = (self.thickness_mm, self.letters_mm, self.depth_mm, self.margin_mm)
        if not min(sizes) > 0:
            raise UsageError("a plate needs measures above 0 mm")
        if not self.raised and self.depth_mm >= self.thickness_mm:
            raise UsageError(
                f"letters of {self.depth_mm:g} mm depth go through a plate of "
                f"{self.thickness_mm:g} mm"
            )


def name_plate(
    identifier: str, plate: Plate | None = None, *, longest_mm: float = 120.0
) -> Altered:
    """A plate by itself with an identifier, lying on the plane z = 0 around the origin.

    Args:
        identifier: what to write; exactly what is given, which should be no patient's name.
        plate: its measures.
        longest_mm: what fits on the printer, or beside the model.

    Raises:
        UsageError: if the text cannot be drawn, or is longer than fits.
    """
    made = plate or Plate()
    line = letters(identifier, made.letters_mm)
    width, height = _size_mm(line, made)
    _check_fits(line, longest_mm - 2 * made.margin_mm)
    solid = _lettered(_slab(width, height, made.thickness_mm), line, made)
    added = Alteration(
        "name plate", place([0.0, 0.0, made.thickness_mm / 2]), solid.volume(), "mm3"
    )
    return Altered((from_solid(solid),), (added,))


def base_plate(
    mesh: Mesh, identifier: str, plate: Plate | None = None, *, sunk_mm: float = 1.0
) -> Altered:
    """Put a model on a plate, with an identifier on a strip in front of it.

    The plate lies below the model (towards the feet, -z). The identifier is on its upper face, on
    the anterior side, upright for who stands in front of the patient.

    Args:
        mesh: a closed surface.
        identifier: what to write; exactly what is given, which should be no patient's name.
        plate: its measures.
        sunk_mm: how deep the model sinks into the plate, which joins the two.

    Raises:
        UsageError: if the text cannot be drawn or is longer than the plate, or the model would
            sink through it.
    """
    made = plate or Plate()
    if not 0 < sunk_mm < made.thickness_mm:
        raise UsageError(
            f"the model must sink into the plate by less than {made.thickness_mm:g} mm"
        )
    line = letters(identifier, made.letters_mm)
    _, strip = _size_mm(line, made)
    low, high = mesh.bounds_mm
    width, depth = (high - low)[:2] + 2 * made.margin_mm
    _check_fits(line, width - made.margin_mm)
    middle = (low + high) / 2
    top = low[2] + sunk_mm
    slab = _slab(width, depth + strip, made.thickness_mm).translate((0.0, strip / 2, 0.0))
    # turned about the vertical: someone who looks from the front has the patient's right at left
    turned = line.rotate(180.0).translate((0.0, (depth + strip) / 2))
    solid = _lettered(slab, turned, made)
    solid = solid.translate((middle[0], middle[1], top - made.thickness_mm))
    joined = solid + to_solid(mesh)
    where = place([middle[0], middle[1], top - made.thickness_mm / 2])
    added = Alteration("base plate", where, solid.volume(), "mm3")
    return Altered((from_solid(joined),), (added,))


def in_front(plate: Mesh, bounds_mm: VertexArray) -> Mesh:
    """A name plate laid before the anterior side of a model, as the model's floor, and upright.

    Args:
        plate: what `name_plate` made.
        bounds_mm: (2, 3) of the model.
    """
    low, high = np.asarray(bounds_mm)
    depth = plate.bounds_mm[1, 1]
    place_mm = np.array([(low[0] + high[0]) / 2, high[1] + _BESIDE_MM + depth, low[2]])
    # turned about the vertical, to be read by someone who stands in front of the patient
    return plate.moved(plate.vertices_mm * [-1.0, -1.0, 1.0] + place_mm)


def _slab(width: float, height: float, thickness: float) -> Any:
    return (
        kernel().Manifold.cube((width, height, thickness)).translate((-width / 2, -height / 2, 0.0))
    )


def _lettered(slab: Any, line: Any, plate: Plate) -> Any:
    """Letters on the slab's upper face, which lies at the plate's thickness."""
    if plate.raised:
        # they begin within the slab, so that nothing merely touches
        root = plate.thickness_mm / 2
        solid = line.extrude(root + plate.depth_mm).translate((0.0, 0.0, plate.thickness_mm - root))
        return slab + solid
    cutter = line.extrude(2 * plate.depth_mm)
    return slab - cutter.translate((0.0, 0.0, plate.thickness_mm - plate.depth_mm))


def _size_mm(line: Any, plate: Plate) -> tuple[float, float]:
    left, bottom, right, top = line.bounds()
    # all lines are as high as one with both ascenders and descenders, so that plates look alike
    height = max(top - bottom, 1.4 * plate.letters_mm)
    return right - left + 2 * plate.margin_mm, height + 2 * plate.margin_mm


def _check_fits(line: Any, free_mm: float) -> None:
    left, _, right, _ = line.bounds()
    if right - left > free_mm:
        raise UsageError(
            f"the identifier is {right - left:.1f} mm long and {max(free_mm, 0):.1f} mm are free; "
            "shorten it, or ask for smaller letters"
        )
