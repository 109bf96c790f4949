"""Everything that a printer is to get, done to all labels of a case in the one sensible order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from voxloop.errors import DataError, LimitError, Problem, UsageError
from voxloop.mesh.mesh import Mesh, VertexArray
from voxloop.mesh.shop.alteration import Alteration, Altered
from voxloop.mesh.shop.clearance import separate
from voxloop.mesh.shop.cut import Pins, cut
from voxloop.mesh.shop.hollow import Drains, hollow
from voxloop.mesh.shop.plane import AxisPlane, Plane
from voxloop.mesh.shop.walls import thicken_walls

__all__ = ["Order", "Piece", "carry_out"]


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted; nothing of it where a field is None or empty.

    Attributes:
        thinnest_mm: walls are thickened to it.
        gap_mm: labels are kept apart by it.
        cuts: planes to cut along.
        pins: what holds the parts of a cut together.
        wall_mm: every part is hollowed to walls of it.
        drains: of what is hollowed.

    Raises:
        UsageError: if a length is not above zero.
    """

    thinnest_mm: float | None = None
    gap_mm: float | None = None
    cuts: tuple[Plane | AxisPlane, ...] = ()
    pins: Pins | None = None
    wall_mm: float | None = None
    drains: Drains | None = None

    def __post_init__(self) -> None:
        lengths = {
            "thinnest wall": self.thinnest_mm, "gap": self.gap_mm, "hollow wall": self.wall_mm,
        }  # fmt: skip
        for name, length in lengths.items():
            if length is not None and not 0 < length < np.inf:
                raise UsageError(f"the {name} must be above 0 mm, found {length:g}")

    @property
    def empty(self) -> bool:
        """Whether nothing is wanted."""
        return not (self.thinnest_mm or self.gap_mm or self.cuts or self.wall_mm)


@dataclass(frozen=True, eq=False)
class Piece:
    """One solid to print.

    Attributes:
        value: the label it is, or is a part of.
        number: which of the label's pieces, from 1.
        of: how many there are.
        mesh: its surface.
        alterations: what was changed on it; those of the whole label are on its first piece.
    """

    value: int
    number: int
    of: int
    mesh: Mesh
    alterations: tuple[Alteration, ...]


def carry_out(
    order: Order, surfaces: Mapping[int, Mesh], names: Mapping[int, str]
) -> tuple[Piece, ...]:
    """Thicken walls, keep labels apart, cut, hollow: in this order, so that nothing is undone.

    Walls first, for a gap must be free of what they grow by; hollowing last, for pins want solid
    material around them.

    Args:
        order: what is wanted.
        surfaces: label value to closed surface.
        names: of the labels, for messages.

    Raises:
        DataError: if something cannot be done; all labels it cannot be done to are named.
        LimitError: if something is too large; the label is named.
    """
    found = {value: Altered((mesh,), ()) for value, mesh in surfaces.items()}
    if order.thinnest_mm is not None:
        thinnest_mm = order.thinnest_mm
        found = _each(found, names, lambda m: thicken_walls(m, thinnest_mm=thinnest_mm))
    if order.gap_mm is not None and len(found) > 1:
        found = _separated(found, order.gap_mm)
    if order.cuts:
        found = _cut(found, order, names)
    if order.wall_mm is not None:
        wall_mm = order.wall_mm
        found = _each(found, names, lambda m: hollow(m, wall_mm=wall_mm, drains=order.drains))
    return tuple(
        Piece(value, number, len(made.meshes), mesh, made.alterations if number == 1 else ())
        for value, made in found.items()
        for number, mesh in enumerate(made.meshes, start=1)
    )


def _each(
    found: Mapping[int, Altered], names: Mapping[int, str], work: Callable[[Mesh], Altered]
) -> dict[int, Altered]:
    """Do the same to every mesh; the problems of all labels are told together."""
    done, problems = {}, []
    for value, before in found.items():
        try:
            made = [work(mesh) for mesh in before.meshes]
        except DataError as error:
            problems += [replace(p, where=f'label "{names[value]}"') for p in error.problems]
            continue
        except LimitError as error:
            raise LimitError(f'label "{names[value]}": {error}') from error
        done[value] = Altered(
            tuple(mesh for each in made for mesh in each.meshes),
            (*before.alterations, *(a for each in made for a in each.alterations)),
        )
    if problems:
        raise DataError(problems)
    return done


def _separated(found: Mapping[int, Altered], gap_mm: float) -> dict[int, Altered]:
    apart = separate([made.mesh for made in found.values()], gap_mm=gap_mm)
    # a gap belongs to two labels, so it is told once, with the first
    told = [apart.alterations, *[()] * (len(found) - 1)]
    return {
        value: Altered((mesh,), (*made.alterations, *more))
        for (value, made), mesh, more in zip(found.items(), apart.meshes, told, strict=True)
    }


def _cut(
    found: Mapping[int, Altered], order: Order, names: Mapping[int, str]
) -> dict[int, Altered]:
    bounds = [made.mesh.bounds_mm for made in found.values()]
    low, high = np.min(bounds, axis=(0, 1)), np.max(bounds, axis=(0, 1))
    whole = np.stack([low, high])
    planes = [each.within(whole) for each in order.cuts]
    missed = [p for p in planes if not any(p.cuts(m.mesh.vertices_mm) for m in found.values())]
    if missed:
        raise DataError(_missing(missed, whole))

    def work(mesh: Mesh) -> Altered:
        chosen = [plane for plane in planes if plane.cuts(mesh.vertices_mm)]
        return cut(mesh, chosen, order.pins) if chosen else Altered((mesh,), ())

    return _each(found, names, work)


def _missing(planes: Sequence[Plane], bounds_mm: VertexArray) -> list[Problem]:
    spans = zip("xyz", *bounds_mm.tolist(), strict=True)
    extent = ", ".join(f"{axis} {low:.1f} to {high:.1f}" for axis, low, high in spans)
    return [
        Problem("cut", "a plane through the model", f"{plane}, which misses it",
                f"choose a place within {extent} mm")
        for plane in planes
    ]  # fmt: skip
