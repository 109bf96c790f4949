"""Whether what was changed on purpose can still be printed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from voxloop.mesh.certificate.coincidence import coincident_vertices
from voxloop.mesh.certificate.crossings import self_intersections
from voxloop.mesh.certificate.thickness import WallThickness, wall_thickness
from voxloop.mesh.certificate.topology import Topology, topology
from voxloop.mesh.mesh import Mesh

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
    """

    topology: Topology
    crossings: int
    coincident_vertices: int
    wall: WallThickness | None
    volume_mm3: float
    triangles: int

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
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """As a JSON-ready document, `passed` first."""
        return {"passed": not self.reasons, **asdict(self), "reasons": list(self.reasons)}


def inspect(mesh: Mesh) -> Soundness:
    """Check a solid as certificates do, but without a label map to hold it against."""
    return Soundness(
        topology(mesh),
        len(self_intersections(mesh.vertices_mm, mesh.faces)),
        coincident_vertices(mesh),
        wall_thickness(mesh),
        mesh.volume_mm3,
        len(mesh.faces),
    )
