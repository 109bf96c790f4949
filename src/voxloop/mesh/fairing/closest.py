"""The nearest point of a triangle."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["closest_points"]

FloatArray = npt.NDArray[np.float64]


def closest_points(points: FloatArray, triangles: FloatArray) -> FloatArray:
    """Per row the point (N, 3) of its triangle (N, 3, 3) nearest to its point (N, 3).

    The foot on the triangle's plane where it lies inside, else the nearest point of its sides.
    """
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    normals = np.cross(b - a, c - a)
    squares = np.maximum((normals**2).sum(axis=1), np.finfo(float).tiny)
    heights = ((points - a) * normals).sum(axis=1) / squares
    best = points - heights[:, None] * normals
    least = heights**2 * squares
    for start, end in ((a, b), (b, c), (c, a)):
        side = end - start
        outside = (np.cross(side, points - start) * normals).sum(axis=1) < 0
        least[outside] = np.inf
    for start, end in ((a, b), (b, c), (c, a)):
        side, step = end - start, points - start
        length = np.maximum((side**2).sum(axis=1), np.finfo(float).tiny)
        share = np.clip((side * step).sum(axis=1) / length, 0, 1)
        foot = start + share[:, None] * side
        distances = ((points - foot) ** 2).sum(axis=1)
        better = distances < least
        best[better], least[better] = foot[better], distances[better]
    return np.asarray(best)
