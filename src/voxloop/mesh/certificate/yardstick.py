"""What a surface is held against: its label's voxels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from voxloop.mesh.certificate.distance import signed_distance_mm
from voxloop.mesh.extraction.extract import extract_surface
from voxloop.mesh.mesh import Mesh
from voxloop.volume.volume import LabelMap

__all__ = ["LABEL_SURFACE", "Yardstick", "deviation_mm", "yardstick", "yardsticks"]

LABEL_SURFACE = "the surface of the label's voxels"


@dataclass(frozen=True, eq=False)
class Yardstick:
    """One label as its voxels, or the model's probabilities, have it.

    Attributes:
        value: the label.
        name: the label's name.
        surface: halfway between the label's voxels and all others, closed, in world millimetres.
        surface_is: in words, what `surface` is.
        volume_mm3: of its voxels, or of the surface.
        centroid_mm: (3,) centre of gravity of its voxels, or of what the surface encloses where
            that is not just their outline.
        to_voxel: (3, 3) from steps in world millimetres to steps in voxels.
    """

    value: int
    name: str
    surface: Mesh
    surface_is: str
    volume_mm3: float
    centroid_mm: npt.NDArray[np.float64]
    to_voxel: npt.NDArray[np.float64]

    def centred_by_surface(self) -> Yardstick:
        """The same with the centre of the surface: between slices voxels do not tell it."""
        return replace(self, centroid_mm=self.surface.centroid_mm)

    def of_surface(self) -> Yardstick:
        """The same with volume and centre of the surface, where that is truer than voxels."""
        return replace(
            self, volume_mm3=self.surface.volume_mm3, centroid_mm=self.surface.centroid_mm
        )

    @property
    def voxel_mm(self) -> float:
        """A voxel's size: the cube root of its volume."""
        return float(abs(np.linalg.det(self.to_voxel)) ** (-1 / 3))

    @property
    def spacing_mm(self) -> npt.NDArray[np.float64]:
        """Distances (3,) between neighbouring voxels along each axis."""
        return np.asarray(np.linalg.norm(np.linalg.inv(self.to_voxel), axis=0))


def yardstick(
    label_map: LabelMap,
    value: int,
    surface: Mesh | None = None,
    *,
    surface_is: str = LABEL_SURFACE,
) -> Yardstick:
    """Measure one label.

    Args:
        label_map: any grid.
        value: the label.
        surface: as it was extracted, if it was already; it is extracted where None.
        surface_is: in words, what `surface` is, e.g. that it was interpolated between slices.

    Raises:
        DataError: if no voxel has the label.
    """
    found = extract_surface(label_map, value) if surface is None else surface
    return _measured(label_map, value, (slice(None),) * 3, found, surface_is)


def yardsticks(
    label_map: LabelMap, surfaces: Mapping[int, Mesh], *, surface_is: str = LABEL_SURFACE
) -> dict[int, Yardstick]:
    """Measure several labels, each within the box it lies in: one pass over a large map.

    Args:
        label_map: any grid.
        surfaces: label value to the surface as it was extracted.
        surface_is: in words, what they are.
    """
    from scipy.ndimage import find_objects

    # in the order of memory, which on files read by nibabel is the last axis first
    order = np.argsort(label_map.array.strides)[::-1]
    boxes = find_objects(label_map.array.transpose(order), max_label=max(surfaces, default=0))
    found = {}
    for value, surface in surfaces.items():
        slices = [slice(0, 0)] * 3
        for axis, extent in zip(order, boxes[value - 1] or slices, strict=True):
            slices[axis] = extent
        found[value] = _measured(label_map, value, tuple(slices), surface, surface_is)
    return found


def deviation_mm(mesh: Mesh, against: Yardstick) -> npt.NDArray[np.float64]:
    """How far each vertex (V,) lies outside the label's own surface; negative inside."""
    return signed_distance_mm(mesh.vertices_mm, against.surface)


def _measured(
    label_map: LabelMap, value: int, box: tuple[slice, ...], surface: Mesh, surface_is: str
) -> Yardstick:
    geometry = label_map.geometry
    mask = label_map.array[box] == value
    count = max(1, int(np.count_nonzero(mask)))
    centre_vox = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        along = np.count_nonzero(mask, axis=others)
        start = box[axis].start or 0
        centre_vox.append(start + float(along @ np.arange(len(along)) / count))
    return Yardstick(
        value=value,
        name=label_map.labels.names[value],
        surface=surface,
        surface_is=surface_is,
        volume_mm3=count * geometry.voxel_volume_mm3,
        centroid_mm=geometry.to_world([centre_vox])[0],
        to_voxel=np.asarray(np.linalg.inv(geometry.matrix[:3, :3]), dtype=np.float64),
    )
