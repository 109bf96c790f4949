"""What an operation changed on a surface: what, where and how much."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from voxloop.errors import UsageError
from voxloop.mesh.mesh import Mesh

__all__ = ["Alteration", "Altered", "Place"]

Place = tuple[float, float, float]
"""A point in world millimetres, RAS+."""


@dataclass(frozen=True, slots=True)
class Alteration:
    """One deliberate difference between a surface and the label it stands for.

    Attributes:
        what: a clause without a number, e.g. `wall thickened`.
        where_mm: the place, in world millimetres.
        how_much: the size of the change.
        unit: of the size, e.g. `mm`.
    """

    what: str
    where_mm: Place
    how_much: float
    unit: str = "mm"

    def __str__(self) -> str:
        x, y, z = self.where_mm
        return f"{self.what}: {self.how_much:.3g} {self.unit}, at ({x:.1f}, {y:.1f}, {z:.1f}) mm"

    def to_json(self) -> dict[str, Any]:
        """As a JSON-ready document."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Altered:
    """What an operation made.

    Attributes:
        meshes: the new surfaces, in the order in which the operation names them.
        alterations: everything that was changed; empty if there was nothing to do.
    """

    meshes: tuple[Mesh, ...]
    alterations: tuple[Alteration, ...]

    @property
    def mesh(self) -> Mesh:
        """The new surface.

        Raises:
            UsageError: if there are several.
        """
        if len(self.meshes) != 1:
            raise UsageError(f"there are {len(self.meshes)} surfaces, not one")
        return self.meshes[0]
