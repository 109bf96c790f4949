"""Slices of a volume as a reader expects to see them: radiological convention, true aspect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.volume.geometry import Geometry

__all__ = ["AXIAL", "CORONAL", "PLANES", "SAGITTAL", "Plane"]


@dataclass(frozen=True, slots=True)
class Plane:
    """A viewing plane: the grid's slices that come nearest to it, and how they are turned.

    Attributes:
        name: axial, coronal or sagittal.
        normal: world axis it looks along (0 = x, 1 = y, 2 = z).
        across: world axis and direction (+1, -1) that point to the right of the picture.
        upward: world axis and direction that point to the top of the picture.
        letters: patient sides at the left, right, top and bottom of the picture.
    """

    name: str
    normal: int
    across: tuple[int, int]
    upward: tuple[int, int]
    letters: tuple[str, str, str, str]

    def array_axis(self, geometry: Geometry) -> int:
        """The array axis that the plane's slices are stacked along."""
        return geometry.world_axes.index(self.normal)

    def shown(self, array: npt.NDArray[Any], geometry: Geometry, index: int) -> npt.NDArray[Any]:
        """Slice `index` of an array (I, J, K) as a picture, first row on top."""
        rows, columns = self._picture_axes(geometry)
        picture = np.take(array, index, axis=self.array_axis(geometry))
        if rows > columns:
            picture = picture.T
        if geometry.matrix[self.across[0], columns] * self.across[1] < 0:
            picture = picture[:, ::-1]
        if geometry.matrix[self.upward[0], rows] * self.upward[1] > 0:
            picture = picture[::-1]
        return np.asarray(picture)

    def pixel_mm(self, geometry: Geometry) -> tuple[float, float]:
        """Height and width of the picture's pixels."""
        rows, columns = self._picture_axes(geometry)
        return geometry.spacing_mm[rows], geometry.spacing_mm[columns]

    def _picture_axes(self, geometry: Geometry) -> tuple[int, int]:
        axes = geometry.world_axes
        return axes.index(self.upward[0]), axes.index(self.across[0])


AXIAL = Plane("axial", 2, (0, -1), (1, 1), ("R", "L", "A", "P"))
CORONAL = Plane("coronal", 1, (0, -1), (2, 1), ("R", "L", "S", "I"))
SAGITTAL = Plane("sagittal", 0, (1, -1), (2, 1), ("A", "P", "S", "I"))
PLANES = (AXIAL, CORONAL, SAGITTAL)
