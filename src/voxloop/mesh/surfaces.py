"""All labels of a map as smooth, certified surfaces."""

from __future__ import annotations

from voxloop.mesh.certify import Certificate, Tolerances, certify
from voxloop.mesh.extract import extract_surface
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.smooth import smooth_surface
from voxloop.volume.volume import LabelMap

__all__ = ["mesh_label", "mesh_labels"]


def mesh_label(
    label_map: LabelMap, value: int, tolerances: Tolerances | None = None
) -> tuple[Mesh, Certificate]:
    """Extract one label's surface, smooth it to the volume of its voxels, and certify it.

    Raises:
        DataError: if no voxel has the label.
    """
    surface = extract_surface(label_map, value)
    volume_mm3 = 1000 * label_map.volume_ml(value)
    mesh = smooth_surface(surface, label_map.geometry, volume_mm3=volume_mm3).mesh
    return mesh, certify(mesh, label_map, value, tolerances)


def mesh_labels(
    label_map: LabelMap, tolerances: Tolerances | None = None
) -> dict[int, tuple[Mesh, Certificate]]:
    """Make a surface of every label that is present; absent labels have no entry.

    Returns:
        Label value to mesh and certificate, in ascending order of value.
    """
    present = [value for value in label_map.labels if (label_map.array == value).any()]
    return {value: mesh_label(label_map, value, tolerances) for value in present}
