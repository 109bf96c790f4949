"""What is left of the voxels' steps on a surface."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.mesh.mesh import Mesh

__all__ = ["STEP_DEGREES", "stairs_percent"]

STEP_DEGREES = 15.0
"""A face that leans this far from the surface around it is a step. Measured on spheres of 3 to 14
voxels: raw voxel surfaces lean so over 58 to 65 % of their area, well smoothed ones over 0 to
4 %, finely triangulated true spheres nowhere."""

_REACH_VOX = 1.5
_REACH_SHARE = 0.25
_MOST_STEPS = 12


def stairs_percent(mesh: Mesh, voxel_mm: float, thickness_mm: float = np.inf) -> float:
    """Share of the surface's area, in percent, that leans away from what is around it.

    Each face's normal is compared with the mean over the faces within about one and a half
    voxels, or a quarter of the structure's thickness where that is less: farther away the
    surface turns by itself. Nearly 0 on smooth surfaces, more than half on raw voxel surfaces.
    True edges, such as those of a box, count too, but make up little area.

    Args:
        mesh: the surface.
        voxel_mm: height of the steps to look for, the largest voxel spacing as a rule.
        thickness_mm: how thick the structure typically is.
    """
    areas = np.linalg.norm(mesh.face_vectors_mm2, axis=1)
    around = _smoothed_normals(mesh, min(_REACH_VOX * voxel_mm, _REACH_SHARE * thickness_mm))
    mean = around[mesh.faces].sum(axis=1)
    cosine = (mean * mesh.face_vectors_mm2).sum(axis=1)
    lean = cosine < np.cos(np.radians(STEP_DEGREES)) * areas * np.linalg.norm(mean, axis=1)
    return float(100 * areas[lean].sum() / max(float(areas.sum()), np.finfo(float).tiny))


def _smoothed_normals(mesh: Mesh, reach_mm: float) -> npt.NDArray[np.float64]:
    """Unit normals (V, 3), each the mean over the area within about `reach_mm`."""
    neighbours = _neighbours(mesh)
    weights = 1 / np.asarray(neighbours.sum(axis=1)).reshape(-1, 1)
    edges = mesh.vertices_mm[mesh.faces] - mesh.vertices_mm[np.roll(mesh.faces, 1, axis=1)]
    edge_mm = float(np.sqrt((edges**2).sum(axis=2).mean()))
    # averaging over neighbours is a random walk: its reach grows as the root of its steps
    steps = int(np.clip(np.ceil((reach_mm / max(edge_mm, 1e-12)) ** 2), 1, _MOST_STEPS))
    corner_of = mesh.faces.ravel()
    vectors = np.stack(
        [
            np.bincount(corner_of, np.repeat(column, 3), len(mesh.vertices_mm))
            for column in mesh.face_vectors_mm2.T
        ],
        axis=1,
    )
    for _ in range(steps):
        vectors = weights * (neighbours @ vectors)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(float).tiny))


def _neighbours(mesh: Mesh) -> Any:
    """Sparse (V, V): above 0 where two vertices share an edge, and on the diagonal."""
    from scipy.sparse import coo_array

    count = len(mesh.vertices_mm)
    starts, ends = mesh.faces.ravel(), np.roll(mesh.faces, -1, axis=1).ravel()
    own = np.arange(count, dtype=np.int32)
    rows, columns = np.concatenate([starts, ends, own]), np.concatenate([ends, starts, own])
    return coo_array((np.ones(len(rows)), (rows, columns)), shape=(count, count)).tocsr()
