"""Points spread over a surface."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from voxloop.mesh.mesh import Mesh, VertexArray

__all__ = ["spread_points"]


def spread_points(
    mesh: Mesh, spacing_mm: float, faces: npt.NDArray[np.int64] | None = None
) -> tuple[VertexArray, npt.NDArray[np.int64]]:
    """Cover faces with points, so that none of their points is farther than the spacing from one.

    Args:
        mesh: the surface.
        spacing_mm: between neighbouring points, at most.
        faces: which faces; all where None.

    Returns:
        Points (N, 3) in world millimetres, corners included, and the face (N,) of each.
    """
    chosen = np.arange(len(mesh.faces)) if faces is None else np.asarray(faces)
    corners = mesh.vertices_mm[mesh.faces[chosen]]
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1, initial=0)
    steps = np.maximum(1, np.ceil(sides / spacing_mm)).astype(np.int64)
    points, owners = [np.empty((0, 3))], [np.empty(0, dtype=np.int64)]
    for count in np.unique(steps):
        alike = np.flatnonzero(steps == count)
        weights = _lattice(int(count))
        points.append((weights @ corners[alike]).reshape(-1, 3))
        owners.append(np.repeat(chosen[alike], len(weights)))
    return np.concatenate(points), np.concatenate(owners)


@functools.cache
def _lattice(steps: int) -> npt.NDArray[np.float64]:
    """Barycentric weights (N, 3) of a triangle whose sides are divided into so many steps."""
    first, second = np.mgrid[0 : steps + 1, 0 : steps + 1]
    inside = first + second <= steps
    pairs = np.stack([first[inside], second[inside]], axis=1) / steps
    return np.column_stack([pairs, 1 - pairs.sum(axis=1)])
