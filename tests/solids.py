"""Exact solids in world millimetres, and what holds of every surface that can be printed."""

from __future__ import annotations

from typing import Any

import manifold3d
import numpy as np
import trimesh

from voxloop.mesh.certificate.topology import topology
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.shop.solid import from_solid

__all__ = ["AWAY", "ball", "block", "check_printable", "mesh_of", "solid_block", "vertex_set"]

AWAY = (-140.3, 87.1, 412.9)
"""Where scans lie: not at the world's origin."""


def solid_block(
    size_mm: tuple[float, float, float],
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    turned: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Any:
    """A box about a centre, turned by degrees about x, y and z."""
    cube = manifold3d.Manifold.cube(size_mm, center=True)
    return cube.rotate(turned).translate(centre_mm)


def mesh_of(solid: Any) -> Mesh:
    return from_solid(solid)


def block(
    size_mm: tuple[float, float, float],
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    turned: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Mesh:
    return mesh_of(solid_block(size_mm, centre_mm, turned))


def ball(
    radius_mm: float, centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0), segments: int = 64
) -> Mesh:
    return mesh_of(manifold3d.Manifold.sphere(radius_mm, segments).translate(centre_mm))


def check_printable(mesh: Mesh) -> None:
    """Two opinions: ours by counting, and trimesh's."""
    found = topology(mesh)
    assert found.defects() == ()
    assert mesh.volume_mm3 > 0
    outer = trimesh.Trimesh(mesh.vertices_mm, mesh.faces, process=False)
    assert outer.is_watertight
    assert outer.is_winding_consistent


def vertex_set(mesh: Mesh) -> set[tuple[float, ...]]:
    return {tuple(row) for row in np.asarray(mesh.vertices_mm, dtype=np.float64).tolist()}
