"""Whether a surface may be printed: its topology, and how true it is to its label map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.mesh.distance import SurfaceDistance, surface_distance
from voxloop.mesh.extract import extract_surface
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.topology import Topology, topology
from voxloop.volume.volume import LabelMap

__all__ = ["Certificate", "Tolerances", "certify"]


@dataclass(frozen=True, slots=True)
class Tolerances:
    """What a surface may differ by from the label map it stands for.

    Distances are in voxels, a voxel's size being the cube root of its volume: no surface can be
    truer than the grid it comes from.

    Attributes:
        volume_percent: change of volume against the label's voxels.
        p95_vox: 95th percentile of the surface distance.
        max_vox: largest surface distance.
        centroid_vox: distance between the centres of gravity; a mirrored or shifted surface fails.
    """

    volume_percent: float = 3.0
    p95_vox: float = 0.5
    max_vox: float = 1.0
    centroid_vox: float = 0.5


@dataclass(frozen=True, slots=True)
class Certificate:
    """The findings about one label's surface. Self-intersection and wall thickness are not checked.

    Attributes:
        value: the label.
        name: the label's name.
        topology: closed, 2-manifold, oriented; components, Euler number.
        triangles: number of faces.
        volume_mm3: enclosed volume.
        volume_change_percent: against the volume of the label's voxels.
        distance: to the surface of the label map before smoothing.
        centroid_offset_mm: between the enclosed volume's centre of gravity and the voxels'.
        tolerances: what was allowed.
        reasons: why the surface failed, in words; empty if it passed.
        units: of every coordinate.
        orientation: where the world axes point to.
    """

    value: int
    name: str
    topology: Topology
    triangles: int
    volume_mm3: float
    volume_change_percent: float
    distance: SurfaceDistance
    centroid_offset_mm: float
    tolerances: Tolerances
    reasons: tuple[str, ...]
    units: str = "mm"
    orientation: str = "RAS"

    @property
    def passed(self) -> bool:
        """True if nothing was found against the surface."""
        return not self.reasons


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
    allowed = tolerances or Tolerances()
    found = topology(mesh)
    distance = surface_distance(mesh, extract_surface(label_map, value))
    change = 100 * (mesh.volume_mm3 / (1000 * label_map.volume_ml(value)) - 1)
    offset_mm = float(np.linalg.norm(mesh.centroid_mm - _centroid_mm(label_map, value)))
    size_mm = label_map.geometry.voxel_volume_mm3 ** (1 / 3)
    measured = (
        ("volume change", abs(change), allowed.volume_percent, "%"),
        ("surface distance p95", distance.p95_mm, allowed.p95_vox * size_mm, "mm"),
        ("largest surface distance", distance.max_mm, allowed.max_vox * size_mm, "mm"),
        ("centroid offset", offset_mm, allowed.centroid_vox * size_mm, "mm"),
    )
    # written so that a measure that is not a number fails
    excess = [
        f"{what} {size:.3g} {unit}, allowed {limit:.3g} {unit}"
        for what, size, limit, unit in measured
        if not size <= limit
    ]
    return Certificate(
        value=value,
        name=label_map.labels.names[value],
        topology=found,
        triangles=len(mesh.faces),
        volume_mm3=mesh.volume_mm3,
        volume_change_percent=change,
        distance=distance,
        centroid_offset_mm=offset_mm,
        tolerances=allowed,
        reasons=(*found.defects(), *_inside_out(mesh), *excess),
    )


def _centroid_mm(label_map: LabelMap, value: int) -> npt.NDArray[np.float64]:
    mask = label_map.mask(value)
    centre_vox = []
    for axis in range(3):
        counts = mask.sum(axis=tuple(other for other in range(3) if other != axis))
        centre_vox.append(float(counts @ np.arange(len(counts)) / counts.sum()))
    return np.asarray(label_map.geometry.to_world([centre_vox])[0])


def _inside_out(mesh: Mesh) -> tuple[str, ...]:
    return () if mesh.volume_mm3 > 0 else ("faces point inwards (negative volume)",)
