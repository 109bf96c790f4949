"""Areas and directions of many triangles, and their sums at vertices."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["area_vectors", "summed_at_vertices", "unit"]

FloatArray = npt.NDArray[np.float64]


def area_vectors(vertices_mm: FloatArray, faces: npt.NDArray[np.integer[Any]]) -> FloatArray:
    """Per face (F, 3) its normal, as long as its area in square millimetres."""
    first = vertices_mm[faces[:, 0]]
    return np.asarray(
        np.cross(vertices_mm[faces[:, 1]] - first, vertices_mm[faces[:, 2]] - first) / 2
    )


def summed_at_vertices(
    values: FloatArray, faces: npt.NDArray[np.integer[Any]], count: int
) -> FloatArray:
    """Per vertex (count, 3) the sum of what its faces have (F, 3)."""
    corners = faces.ravel()
    columns = [np.bincount(corners, np.repeat(column, 3), count) for column in values.T]
    return np.stack(columns, axis=1)


def unit(vectors: FloatArray) -> FloatArray:
    """Vectors (N, 3) at length 1, zero where they were zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(float).tiny))
