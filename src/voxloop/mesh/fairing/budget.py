"""How far a vertex may lie from where the voxels, or the probabilities, put it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from voxloop.errors import UsageError
from voxloop.volume.geometry import Geometry

__all__ = ["Budget"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Budget:
    """An ellipsoid around each vertex that it may not leave, a ball where stated in millimetres.

    Attributes:
        axes_mm: (3, 3), its half axes as columns, in world millimetres.
    """

    axes_mm: FloatArray

    @classmethod
    def millimetres(cls, tolerance_mm: float) -> Budget:
        """A ball.

        Raises:
            UsageError: if the radius is not above 0.
        """
        if not 0 < tolerance_mm < np.inf:
            raise UsageError(f"a tolerance must be above 0 mm, found {tolerance_mm:g} mm")
        return cls(np.eye(3) * tolerance_mm)

    @classmethod
    def voxels(cls, geometry: Geometry, share: float = 0.5) -> Budget:
        """A share of a voxel along each axis of a grid: on thick slices more across them."""
        return cls(geometry.matrix[:3, :3] * share)

    def scaled(self, share: float) -> Budget:
        """The same ellipsoid, larger or smaller."""
        return Budget(self.axes_mm * share)

    def spent(self, steps_mm: FloatArray) -> FloatArray:
        """Per displacement (N, 3) the share of the budget (N,) that it takes; 1 is the limit."""
        return np.asarray(np.linalg.norm(self.to_ball(steps_mm), axis=1))

    def within(self, steps_mm: FloatArray, normals: FloatArray) -> FloatArray:
        """Displacements (N, 3), those beyond the limit shortened to it.

        What lies along the normals (N, 3) is kept first: it takes voxel steps off, while what lies
        across them only slides a vertex along the surface. Where a normal is zero, the whole
        displacement is shortened.
        """
        kept = np.array(steps_mm, dtype=np.float64)
        far = np.flatnonzero(self.spent(kept) > 1)
        along = (kept[far] * normals[far]).sum(axis=1, keepdims=True) * normals[far]
        along /= np.maximum(self.spent(along), 1)[:, None]
        across = kept[far] - along
        # the share of `across` at which the sum reaches the limit: a quadratic equation
        p, q = self.to_ball(along), self.to_ball(across)
        a, b, c = ((x * y).sum(axis=1) for x, y in ((q, q), (p, q), (p, p)))
        root = np.sqrt(np.maximum(b**2 - a * (c - 1), 0))
        share = np.clip((root - b) / np.maximum(a, np.finfo(float).tiny), 0, 1)
        # a hair below the limit, so that rounding never passes it
        kept[far] = (along + share[:, None] * across) * (1 - 1e-9)
        return kept

    def to_ball(self, positions_mm: FloatArray) -> FloatArray:
        """Positions (N, 3) where the ellipsoid is a ball of radius 1."""
        return np.asarray(positions_mm @ self._inverse.T)

    @cached_property
    def _inverse(self) -> FloatArray:
        return np.asarray(np.linalg.inv(self.axes_mm))
