"""Small synthetic volumes with a known truth, oblique and anisotropic unless asked otherwise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from voxloop.volume.geometry import Geometry

__all__ = ["ellipsoid_mask", "oblique_geometry"]


def oblique_geometry(
    shape: tuple[int, int, int] = (20, 24, 14),
    spacing_mm: tuple[float, float, float] = (0.9, 1.1, 2.5),
    angles: tuple[float, float, float] = (0.2, -0.3, 0.4),
    flips: tuple[bool, bool, bool] = (False, False, False),
    origin_mm: tuple[float, float, float] = (-31.0, 12.5, 80.0),
) -> Geometry:
    """A grid rotated by `angles` (radians about x, y, z), its axes flipped where asked."""
    a, b, c = angles
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    signs = np.where(flips, -1.0, 1.0)
    matrix = np.eye(4)
    matrix[:3, :3] = about_z @ about_y @ about_x @ np.diag(np.array(spacing_mm) * signs)
    matrix[:3, 3] = origin_mm
    return Geometry.from_affine(shape, matrix)


def ellipsoid_mask(
    geometry: Geometry,
    radii_mm: tuple[float, float, float] = (6.0, 8.0, 10.0),
    offset_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> npt.NDArray[np.bool_]:
    """Voxels whose centre lies in a world-aligned ellipsoid about the grid's centre + offset."""
    indices = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    points_mm = geometry.to_world(indices.reshape(-1, 3))
    centre_mm = geometry.to_world([(np.array(geometry.shape) - 1) / 2])[0] + np.array(offset_mm)
    inside = (((points_mm - centre_mm) / np.array(radii_mm)) ** 2).sum(axis=1) <= 1
    return np.asarray(inside.reshape(geometry.shape))
