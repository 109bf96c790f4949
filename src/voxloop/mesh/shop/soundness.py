"""Whether what was changed on purpose can still be printed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from voxloop.mesh.certificate.coincidence import coincident_vertices
from voxloop.mesh.certificate.crossings import self_intersections
from voxloop.mesh.certificate.thickness import WallThickness, wall_thickness
from voxloop.mesh.certificate.topology import Topology, topology
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.shop.walls import THICK_ENOUGH

__all__ = ["Soundness", "inspect"]


@dataclass(frozen=True, slots=True)
class Soundness:
    """The findings about a solid by itself, whatever label map it once stood for.

    Attributes:
        topology: closed, 2-manifold, oriented; components, Euler number.
        crossings: pairs of faces that cross.
        coincident_vertices: vertices that files cannot tell from another one.
        wall: how thick the walls are; None if no ray met an opposite wall.
        volume_mm3: enclosed volume.
        triangles: number of faces.
        thinnest_mm: how thick walls were asked to be; None where that was not asked.
    """

    topology: Topology
    crossings: int
    coincident_vertices: int
    wall: WallThickness | None
    volume_mm3: float
    triangles: int
    thinnest_mm: float | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """What keeps the solid from being printed, in words; empty if nothing does."""
        found = [*self.topology.defects()]
        if self.crossings:
            found.append(f"{self.crossings} pairs of faces cross each other")
        if self.coincident_vertices:
            found.append(f"{self.coincident_vertices} vertices lie exactly upon another one")
        if not self.volume_mm3 > 0:
            found.append("faces point inwards (negative volume)")
        found += self._too_thin()
        return tuple(found)

    def _too_thin(self) -> list[str]:
        wall, wanted_mm = self.wall, self.thinnest_mm
        if wall is None or wanted_mm is None or wall.minimum_mm >= THICK_ENOUGH * wanted_mm:
            return []
        where = ", ".join(f"{number:.1f}" for number in wall.place_mm)
        found_mm = f"thinnest wall {wall.minimum_mm:.3g} mm at ({where}) mm"
        return [f"{found_mm}, though {wanted_mm:.3g} mm were asked for"]

    def to_json(self) -> dict[str, Any]:
        """As a JSON-ready document, `passed` first."""
        return {"passed": not self.reasons, **asdict(self), "reasons": list(self.reasons)}


def inspect(mesh: Mesh, *, thinnest_mm: float | None = None) -> Soundness:
    """Check a solid as certificates do, but without a label map to hold it against.

    Args:
        mesh: its surface.
        thinnest_mm: how thick walls were asked to be; not judged where None.
    """
    return Soundness(
        topology(mesh),
        len(self_intersections(mesh.vertices_mm, mesh.faces)),
        coincident_vertices(mesh),
        wall_thickness(mesh),
        mesh.volume_mm3,
        len(mesh.faces),
        thinnest_mm,
    )
