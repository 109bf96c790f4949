"""The grid of a scan: its shape and where its voxels lie, in RAS+ millimetres."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from voxloop.errors import DataError, Problem
from voxloop.volume.boxes import Box

__all__ = ["AFFINE_TOLERANCE_VOX", "Affine", "FloatArray", "Geometry"]

FloatArray = npt.NDArray[np.float64]
Affine = tuple[tuple[float, float, float, float], ...]

AFFINE_TOLERANCE_VOX = 0.01
"""Two grids are the same if no corner is displaced by more than this share of a voxel: far
above the rounding of single-precision headers, far below what an annotation could show."""

_MIN_SPACING_MM = 1e-3
"""Finer than any scanner by two orders: below it a header is broken, not precise."""

_AXIS_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))


@dataclass(frozen=True)
class Geometry:
    """The voxel grid of a case: shape, and the affine from voxel indices to world millimetres.

    Index (0, 0, 0) is the *centre* of the first voxel. World axes point to the patient's
    right, anterior and superior side (RAS+), as in NIfTI. Array axes are those of the file, in
    whatever direction they run.

    Attributes:
        shape: voxels along each array axis, all positive.
        affine: 4x4, rows of a homogeneous matrix, millimetres.

    Raises:
        DataError: if the shape is not three positive numbers or the affine is singular, not
            finite, or has a spacing of (nearly) zero.
    """

    shape: tuple[int, int, int]
    affine: Affine

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise _bad("three positive axis lengths", f"shape {self.shape}")
        matrix = np.asarray(self.affine, dtype=float)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise _bad("a finite 4x4 affine", f"{matrix.tolist()}")
        if not np.allclose(matrix[3], (0, 0, 0, 1)):
            raise _bad("an affine whose last row is 0 0 0 1", f"{matrix[3].tolist()}")
        lengths = np.linalg.norm(matrix[:3, :3], axis=0)
        if lengths.min() < _MIN_SPACING_MM:
            raise _bad("voxel spacings above zero", f"{lengths.tolist()} mm")
        if abs(np.linalg.det(matrix[:3, :3] / lengths)) < 1e-3:
            raise _bad("three independent voxel axes", "a singular affine (axes are parallel)")

    @classmethod
    def from_affine(cls, shape: npt.ArrayLike, affine: npt.ArrayLike) -> Geometry:
        """Build from anything array-like: three lengths and a 4x4 matrix in RAS+ millimetres."""
        lengths = [int(n) for n in np.asarray(shape)]
        matrix = np.asarray(affine, dtype=float)
        rows = tuple(tuple(float(value) for value in row) for row in np.atleast_2d(matrix))
        return cls(tuple(lengths), rows)  # type: ignore[arg-type]  # lengths are checked at birth

    @cached_property
    def matrix(self) -> FloatArray:
        """The affine as a read-only (4, 4) array."""
        matrix = np.array(self.affine, dtype=float)
        matrix.setflags(write=False)
        return matrix

    @cached_property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along each array axis."""
        i, j, k = np.linalg.norm(self.matrix[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel, also for sheared grids."""
        return float(abs(np.linalg.det(self.matrix[:3, :3])))

    @property
    def voxel_count(self) -> int:
        """Voxels in the whole grid."""
        i, j, k = self.shape
        return i * j * k

    @property
    def orientation(self) -> str:
        """Where each array axis points to, as three letters, e.g. `RAS` or `LPS`."""
        return "".join(
            _AXIS_LETTERS[world][int(self.matrix[world, axis] > 0)]
            for axis, world in enumerate(self.world_axes)
        )

    @cached_property
    def world_axes(self) -> tuple[int, int, int]:
        """For each array axis the world axis it runs along best (0 = x, 1 = y, 2 = z)."""
        cosines = np.abs(self.matrix[:3, :3]) / np.asarray(self.spacing_mm)
        best = max(
            itertools.permutations(range(3)), key=lambda p: sum(cosines[p[a], a] for a in range(3))
        )
        return best[0], best[1], best[2]

    def to_world(self, points_vox: npt.ArrayLike) -> FloatArray:
        """Map voxel indices (N, 3), fractions allowed, to world millimetres (N, 3)."""
        points = np.asarray(points_vox, dtype=float)
        return np.asarray(points @ self.matrix[:3, :3].T + self.matrix[:3, 3])

    def to_voxel(self, points_mm: npt.ArrayLike) -> FloatArray:
        """Map world millimetres (N, 3) to fractional voxel indices (N, 3)."""
        points = np.asarray(points_mm, dtype=float)
        return np.asarray((points - self.matrix[:3, 3]) @ np.linalg.inv(self.matrix[:3, :3]).T)

    def difference(self, other: Geometry) -> str | None:
        """Say in words how `other` differs from this grid, or None if they are the same grid."""
        if self.shape != other.shape:
            return f"shape {other.shape} instead of {self.shape}"
        corners = np.array(list(itertools.product(*((0, n - 1) for n in self.shape))), dtype=float)
        offset_mm = np.linalg.norm(other.to_world(corners) - self.to_world(corners), axis=1).max()
        if offset_mm <= AFFINE_TOLERANCE_VOX * min(self.spacing_mm):
            return None
        parts = [f"a corner displaced by {offset_mm:.3g} mm"]
        if self.orientation != other.orientation:
            parts.append(f"orientation {other.orientation} instead of {self.orientation}")
        if not np.allclose(self.spacing_mm, other.spacing_mm, rtol=1e-3):
            parts.append(f"spacing {_mm(other.spacing_mm)} instead of {_mm(self.spacing_mm)}")
        return ", ".join(parts)

    def canonical(self) -> Geometry:
        """The same voxels with axes reordered and reversed so as to run closest to R, A, S."""
        order = np.argsort(self.world_axes)
        matrix = np.eye(4)
        corner_vox = np.zeros(3)
        for world, axis in enumerate(order):
            column = self.matrix[:3, axis]
            reverse = column[world] < 0
            matrix[:3, world] = -column if reverse else column
            corner_vox[axis] = self.shape[axis] - 1 if reverse else 0
        matrix[:3, 3] = self.to_world([corner_vox])[0]
        return Geometry.from_affine([self.shape[axis] for axis in order], matrix)

    def part(self, box: Box) -> Geometry:
        """The grid of a box of voxels, which lie where they lay."""
        matrix = self.matrix.copy()
        matrix[:3, 3] = self.to_world([box.start])[0]
        return Geometry.from_affine(box.shape, matrix)

    def resampled(self, spacing_mm: tuple[float, float, float]) -> Geometry:
        """The grid of another spacing that covers the same space, axes and directions kept.

        The outer faces of the first voxels coincide; the far faces to within half a new voxel.
        """
        ratio = np.asarray(spacing_mm, dtype=float) / np.asarray(self.spacing_mm)
        shape = np.maximum(1, np.rint(np.asarray(self.shape) / ratio)).astype(int)
        matrix = self.matrix.copy()
        matrix[:3, :3] = self.matrix[:3, :3] * ratio
        matrix[:3, 3] = self.to_world([ratio / 2 - 0.5])[0]
        return Geometry.from_affine(shape, matrix)


def _mm(spacing: tuple[float, float, float]) -> str:
    return " x ".join(f"{value:.4g}" for value in spacing) + " mm"


def _bad(expected: str, found: str) -> DataError:
    return DataError(Problem("geometry", expected, found, "re-export the scan with a valid header"))
