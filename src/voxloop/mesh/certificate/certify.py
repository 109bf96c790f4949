"""Whether a surface may be printed: how sound it is, and how true to its label map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.mesh.certificate.coincidence import coincident_vertices
from voxloop.mesh.certificate.crossings import self_intersections
from voxloop.mesh.certificate.distance import SurfaceDistance, surface_distance
from voxloop.mesh.certificate.pieces import Pieces, count_pieces
from voxloop.mesh.certificate.stairs import stairs_percent
from voxloop.mesh.certificate.thickness import WallThickness, wall_thickness
from voxloop.mesh.certificate.tolerances import Tolerances
from voxloop.mesh.certificate.topology import Topology, topology
from voxloop.mesh.certificate.yardstick import Yardstick, yardstick
from voxloop.mesh.mesh import Mesh
from voxloop.volume.volume import LabelMap

__all__ = ["Certificate", "Crossings", "SearchedCrossings", "Tolerances", "certify", "judge"]

IntArray = npt.NDArray[np.int64]

_PLACES = 5
_SEARCHED = "all faces of this surface"
_ISOTROPIC = 1.001
_THICK_ENOUGH = 2.0


@dataclass(frozen=True, slots=True)
class Crossings:
    """Where a surface runs through itself.

    Attributes:
        pairs: of faces that cross or overlap beyond what they share.
        places_mm: of the first few, in world millimetres.
        searched: in words, among what was searched.
    """

    pairs: int
    places_mm: tuple[tuple[float, float, float], ...]
    searched: str


@dataclass(frozen=True, slots=True, eq=False)
class SearchedCrossings:
    """Crossings of a surface, looked for by somebody else.

    Attributes:
        pairs: (P, 2) pairs of its faces.
        searched: in words, among what was searched.
    """

    pairs: IntArray
    searched: str

    @classmethod
    def none(cls, searched: str) -> SearchedCrossings:
        """None were found."""
        return cls(np.zeros((0, 2), dtype=np.int64), searched)


@dataclass(frozen=True, slots=True)
class Certificate:
    """The findings about one label's surface.

    Attributes:
        value: the label.
        name: the label's name.
        topology: closed, 2-manifold, oriented; components, Euler number.
        genus: handles of all pieces together; meaningless unless closed and oriented.
        pieces: solid pieces and cavities.
        crossings: where the surface runs through itself.
        coincident_vertices: vertices that files cannot tell from another one.
        triangles: number of faces.
        volume_mm3: enclosed volume.
        volume_change_percent: against the volume of the label's voxels.
        distance: to the surface named by `distance_to`, in millimetres.
        distance_to: in words, e.g. the surface of the label's voxels.
        p95_vox: as in `distance`, but along the grid's axes in units of its spacings.
        max_vox: the same of the largest distance.
        centroid_offset_mm: between the enclosed volume's centre of gravity and the voxels'.
        wall: how thick the walls are; None if no ray met an opposite wall.
        stairs_percent: share of the area that leans like the steps of voxels; of structures less
            than two voxels thick it says nothing, and is not judged.
        tolerances: what was allowed.
        changes: what was done to the surface besides smoothing, in words.
        reasons: why the surface failed, in words; empty if it passed.
        units: of every coordinate.
        orientation: where the world axes point to.
    """

    value: int
    name: str
    topology: Topology
    genus: int
    pieces: Pieces
    crossings: Crossings
    coincident_vertices: int
    triangles: int
    volume_mm3: float
    volume_change_percent: float
    distance: SurfaceDistance
    distance_to: str
    p95_vox: float
    max_vox: float
    centroid_offset_mm: float
    wall: WallThickness | None
    stairs_percent: float
    tolerances: Tolerances
    changes: tuple[str, ...]
    reasons: tuple[str, ...]
    units: str = "mm"
    orientation: str = "RAS"

    @property
    def passed(self) -> bool:
        """True if nothing was found against the surface."""
        return not self.reasons

    def to_json(self) -> dict[str, Any]:
        """The findings as a document, `passed` first."""
        return {"passed": self.passed, **asdict(self)}


def certify(
    mesh: Mesh, label_map: LabelMap, value: int, tolerances: Tolerances | None = None
) -> Certificate:
    """Check a surface by itself and against the voxels it stands for.

    Args:
        mesh: the surface, in world millimetres.
        label_map: where it came from.
        value: the label.
        tolerances: the defaults where None.

    Raises:
        DataError: if no voxel has the label.
    """
    return judge(mesh, yardstick(label_map, value), tolerances)


def judge(
    mesh: Mesh,
    against: Yardstick,
    tolerances: Tolerances | None = None,
    *,
    crossings: SearchedCrossings | None = None,
    changes: Sequence[str] = (),
) -> Certificate:
    """Check a surface against its label as it was measured before.

    Args:
        mesh: the surface, in world millimetres.
        against: the label's voxels.
        tolerances: the defaults where None.
        crossings: if they were looked for already; every pair of the surface's faces is looked
            at where None.
        changes: what was done to the surface besides smoothing, in words.
    """
    if crossings is None:
        pairs = self_intersections(mesh.vertices_mm, mesh.faces)
        crossings = SearchedCrossings(pairs, _SEARCHED)
    distance = surface_distance(mesh, against.surface)
    p95_vox, max_vox = _in_voxels(mesh, against, distance)
    shape, wall = topology(mesh), wall_thickness(mesh)
    step_mm = float(against.spacing_mm.max())
    found = Certificate(
        value=against.value,
        name=against.name,
        topology=shape,
        genus=shape.genus,
        pieces=count_pieces(mesh),
        crossings=_placed(mesh, crossings),
        coincident_vertices=coincident_vertices(mesh),
        triangles=len(mesh.faces),
        volume_mm3=mesh.volume_mm3,
        volume_change_percent=100 * (mesh.volume_mm3 / against.volume_mm3 - 1),
        distance=distance,
        distance_to=against.surface_is,
        p95_vox=p95_vox,
        max_vox=max_vox,
        centroid_offset_mm=float(np.linalg.norm(mesh.centroid_mm - against.centroid_mm)),
        wall=wall,
        stairs_percent=stairs_percent(mesh, step_mm, wall.median_mm if wall else np.inf),
        tolerances=tolerances or Tolerances(),
        changes=tuple(changes),
        reasons=(),
    )
    reasons = (*_unsound(found), *_untrue(found, against.voxel_mm), *_stepped(found, step_mm))
    return replace(found, reasons=reasons)


def _unsound(found: Certificate) -> Iterator[str]:
    """What keeps a surface from being printed."""
    allowed = found.tolerances
    yield from found.topology.defects()
    if not found.volume_mm3 > 0:
        yield "faces point inwards (negative volume)"
    if found.crossings.pairs:
        first = ", ".join(f"{place:.1f}" for place in found.crossings.places_mm[0])
        yield f"{found.crossings.pairs} pairs of faces cross each other, first at ({first}) mm"
    if found.coincident_vertices:
        yield (
            f"{found.coincident_vertices} vertices lie exactly upon another one; "
            "readers of STL would fuse them"
        )
    if allowed.pieces is not None and found.pieces.solid > allowed.pieces:
        yield (
            f"{found.pieces.solid} separate pieces, allowed {allowed.pieces}; the largest holds "
            f"{found.pieces.largest_percent:.3g} % of the volume: remove the small ones or allow "
            "more"
        )
    wall, thinnest_mm = found.wall, allowed.min_wall_mm
    if wall is not None and thinnest_mm is not None and not wall.p1_mm >= thinnest_mm:
        place = ", ".join(f"{where:.1f}" for where in wall.place_mm)
        yield (
            f"1 % of the surface has walls thinner than {wall.p1_mm:.3g} mm, allowed "
            f"{thinnest_mm:.3g} mm; thinnest {wall.minimum_mm:.3g} mm at ({place}) mm"
        )


def _untrue(found: Certificate, voxel_mm: float) -> Iterator[str]:
    """In what a surface differs from its label."""
    allowed = found.tolerances
    measured = [
        ("volume change", abs(found.volume_change_percent), allowed.volume_percent, "%"),
        ("centroid offset", found.centroid_offset_mm, allowed.centroid_vox * voxel_mm, "mm"),
    ]
    if allowed.tolerance_mm is None:
        measured += [
            ("surface distance p95", found.p95_vox, allowed.p95_vox, "voxels"),
            ("largest surface distance", found.max_vox, allowed.max_vox, "voxels"),
        ]
    else:
        measured.append(
            ("largest surface distance", found.distance.max_mm, allowed.tolerance_mm, "mm")
        )
    for what, size, limit, unit in measured:
        # a millionth is rounding; written so that a measure that is not a number fails
        if not size <= limit * (1 + 1e-6):
            yield f"{what} {size:.3g} {unit}, allowed {limit:.3g} {unit}"


def _stepped(found: Certificate, step_mm: float) -> Iterator[str]:
    """Whether the voxels' steps are still there, where a structure is thick enough to tell."""
    limit = found.tolerances.stairs_percent
    if limit is None or found.stairs_percent <= limit:
        return
    if found.wall is None or found.wall.median_mm >= _THICK_ENOUGH * step_mm:
        yield (
            f"steps of voxels over {found.stairs_percent:.3g} % of the area, "
            f"allowed {limit:.3g} %: smooth it, or allow more"
        )


def _in_voxels(mesh: Mesh, against: Yardstick, distance: SurfaceDistance) -> tuple[float, float]:
    """The 95th percentile and the largest distance along the grid's axes, in its spacings."""
    scales = np.linalg.svd(against.to_voxel, compute_uv=False)
    if scales.max() <= _ISOTROPIC * scales.min():
        return distance.p95_mm * float(scales.max()), distance.max_mm * float(scales.max())
    one, other = (
        each.moved(each.vertices_mm @ against.to_voxel.T) for each in (mesh, against.surface)
    )
    found = surface_distance(one, other)
    return found.p95_mm, found.max_mm


def _placed(mesh: Mesh, found: SearchedCrossings) -> Crossings:
    first = mesh.vertices_mm[mesh.faces[found.pairs[:_PLACES, 0]]].mean(axis=1)
    places = tuple((x, y, z) for x, y, z in first.tolist())
    return Crossings(len(found.pairs), places, found.searched)
