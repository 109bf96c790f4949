"""Which triangles lie near each other, and near which of them surfaces could cross at all."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.mesh.fairing.facets import area_vectors, unit
from voxloop.mesh.mesh import FaceArray

__all__ = ["Neighbourhoods"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_WIDEST_CONE = np.radians(75.0)
"""Normals within this angle of a common direction: the surface is a graph over a plane there."""

_STEPS = np.array(list(itertools.product((-1, 0, 1), repeat=3)))


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """Cubes so large that triangles which touch lie in the same one or in two that touch.

    Attributes:
        cells: (C,) codes of the cubes that hold a triangle, ascending.
        cell_of: (F,) per triangle the row of its cube.
        strides: (3,) steps in the codes along each axis.
    """

    cells: IntArray
    cell_of: IntArray
    strides: IntArray

    @classmethod
    def of(cls, vertices_mm: FloatArray, faces: FaceArray) -> Neighbourhoods:
        """Sort triangles by where their middles lie."""
        middles = np.zeros((len(faces), 3))
        for corner in range(3):
            middles += vertices_mm[faces[:, corner]] / 3
        reach = max(
            float(((vertices_mm[faces[:, corner]] - middles) ** 2).sum(axis=1).max())
            for corner in range(3)
        )
        places = (middles - middles.min(axis=0)) / max(2 * np.sqrt(reach), np.finfo(float).tiny)
        indices = places.astype(np.int64) + 1
        strides = np.array([1, 1 << 20, 1 << 40])
        cells, cell_of = np.unique(indices @ strides, return_inverse=True)
        return cls(cells, cell_of, strides)

    def around(self, chosen: npt.NDArray[np.bool_]) -> IntArray:
        """All triangles in the cubes of the chosen ones (F,) and in the cubes beside."""
        own = np.zeros(len(self.cells), dtype=bool)
        own[self.cell_of[chosen]] = True
        near = np.zeros(len(self.cells), dtype=bool)
        for step in _STEPS:
            beside = self._beside(np.flatnonzero(own), step)
            near[beside[beside >= 0]] = True
        return np.flatnonzero(near[self.cell_of])

    def risky(self, vertices_mm: FloatArray, faces: FaceArray, pair_codes: IntArray) -> IntArray:
        """Triangles (N,) that might cross others; those left out cannot.

        They can not where all triangles in the cubes around separate the same two labels and face
        roughly the same way: of two sheets above each other, with one more between them that goes
        back from the one label to the other, one would face away.
        """
        areas = area_vectors(vertices_mm, faces)
        normals = unit(areas)
        count = len(self.cells)
        axes = unit(self._sums(areas))
        cosines = np.full(count, 1.0)
        np.minimum.at(cosines, self.cell_of, (normals * axes[self.cell_of]).sum(axis=1))
        spread = np.arccos(np.clip(cosines, -1, 1))
        lowest = np.full(count, np.iinfo(np.int64).max)
        np.minimum.at(lowest, self.cell_of, pair_codes)
        highest = np.zeros(count, dtype=np.int64)
        np.maximum.at(highest, self.cell_of, pair_codes)
        mixed = lowest != highest
        everywhere = np.arange(count)
        beside = [self._beside(everywhere, step) for step in _STEPS]
        common = np.zeros((count, 3))
        for rows in beside:
            common += np.where((rows >= 0)[:, None], axes[rows], 0)
        common = unit(common)
        for rows in beside:
            there = rows >= 0
            lean = np.arccos(np.clip((axes[rows] * common).sum(axis=1), -1, 1)) + spread[rows]
            apart = (lean > _WIDEST_CONE) | (lowest[rows] != lowest) | (highest[rows] != highest)
            mixed |= there & apart
        return np.flatnonzero(mixed[self.cell_of])

    def _beside(self, rows: IntArray, step: npt.NDArray[np.integer]) -> IntArray:
        """Row of the cube a step away from each given one; -1 where it holds nothing."""
        wanted = self.cells[rows] + step @ self.strides
        found = np.minimum(np.searchsorted(self.cells, wanted), len(self.cells) - 1)
        return np.where(self.cells[found] == wanted, found, -1)

    def _sums(self, vectors: FloatArray) -> FloatArray:
        columns = [np.bincount(self.cell_of, column, len(self.cells)) for column in vectors.T]
        return np.stack(columns, axis=1)
