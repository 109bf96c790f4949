"""The surface at a distance from another, outside or inside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from voxloop.errors import LimitError
from voxloop.mesh.certificate.distance import signed_distance_mm
from voxloop.mesh.extraction.level_surface import level_surface
from voxloop.mesh.mesh import Mesh, VertexArray
from voxloop.mesh.shop.sampling import spread_points

__all__ = ["Grid", "offset_surface"]

MAX_SAMPLES = 25_000_000
"""Of a grid: its distances and their search take about 30 bytes each."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A cubic lattice of points along the world axes.

    Attributes:
        origin_mm: (3,) the first point.
        spacing_mm: between neighbours.
        shape: points along each axis.
    """

    origin_mm: VertexArray
    spacing_mm: float
    shape: tuple[int, int, int]

    @classmethod
    def around(cls, bounds_mm: VertexArray, spacing_mm: float, margin_mm: float) -> Grid:
        """The lattice that covers a box (2, 3) and a margin.

        Raises:
            LimitError: if it would have more than `MAX_SAMPLES` points.
        """
        low, high = bounds_mm[0] - margin_mm, bounds_mm[1] + margin_mm
        counts = np.ceil((high - low) / spacing_mm).astype(int) + 1
        if np.prod(counts.astype(float)) > MAX_SAMPLES:
            size = " x ".join(f"{length:.0f}" for length in high - low)
            raise LimitError(
                f"{size} mm at steps of {spacing_mm:.2g} mm need more than the "
                f"{MAX_SAMPLES // 10**6} million samples that are allowed; "
                "ask for a larger size, or work on a part of the model"
            )
        return cls(low, spacing_mm, (int(counts[0]), int(counts[1]), int(counts[2])))

    @cached_property
    def affine(self) -> npt.NDArray[np.float64]:
        """(4, 4) from indices to world millimetres."""
        matrix = np.diag([self.spacing_mm, self.spacing_mm, self.spacing_mm, 1.0])
        matrix[:3, 3] = self.origin_mm
        return matrix

    def points_mm(self, indices: npt.NDArray[np.int64]) -> VertexArray:
        """World positions of indices (N, 3)."""
        return np.asarray(self.origin_mm + self.spacing_mm * indices)

    def nearest(self, points_mm: VertexArray) -> npt.NDArray[np.int64]:
        """Indices (M, 3) of the points nearest to those of the given ones that lie in the grid."""
        indices = np.rint((points_mm - self.origin_mm) / self.spacing_mm).astype(np.int64)
        return indices[((indices >= 0) & (indices < self.shape)).all(axis=1)]


def offset_surface(
    mesh: Mesh, by_mm: float, *, spacing_mm: float, box_mm: VertexArray | None = None
) -> Mesh | None:
    """The closed surface of all points deeper than -by_mm inside, or nearer than by_mm outside.

    Distances are exact at the samples of a grid and linear between them, so that edges come out
    rounded and the surface lies about spacing^2 / distance off at most.

    Args:
        mesh: a closed, outward oriented surface.
        by_mm: positive for a surface around it, negative for one inside; not zero.
        spacing_mm: of the grid; at most half of the distance.
        box_mm: (2, 3) where the result is wanted; it is closed at the border of this box.
            Everywhere if None.

    Returns:
        The surface; None if there is none, since the solid is too thin.

    Raises:
        LimitError: if the grid would be too large.
    """
    margin_mm = abs(by_mm) + 3 * spacing_mm
    wanted = mesh.bounds_mm if box_mm is None else box_mm
    inward = by_mm < 0 and box_mm is None
    grid = Grid.around(wanted, spacing_mm, 2 * spacing_mm if inward else margin_mm)
    distance_mm, inside = _roughly(mesh, grid)
    limit_mm = 2 * spacing_mm
    field = np.where(inside, limit_mm, -limit_mm).astype(np.float32)
    field[distance_mm < abs(by_mm)] = limit_mm if by_mm > 0 else -limit_mm
    # where the level may pass between a point and its neighbour, exact values are wanted
    beyond = (distance_mm - abs(by_mm)) / spacing_mm
    near = np.argwhere((beyond > -1) & (beyond < 1.7))
    exact = by_mm - signed_distance_mm(grid.points_mm(near), mesh)
    field[tuple(near.T)] = np.clip(exact, -limit_mm, limit_mm)
    if box_mm is not None:
        start = np.floor((box_mm[0] - grid.origin_mm) / spacing_mm).astype(int)
        stop = np.ceil((box_mm[1] - grid.origin_mm) / spacing_mm).astype(int) + 1
        field = field[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
        grid = Grid(grid.points_mm(start), spacing_mm, field.shape)
    return level_surface(field, grid.affine)


def _roughly(mesh: Mesh, grid: Grid) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Distance to the surface, up to 0.7 of a step too large, and whether a point is inside.

    Each point of the grid is measured to the point that stands for the surface in the nearest cell
    it passes through. These cells part the others into regions; one exact distance tells the side
    of each.
    """
    from scipy.ndimage import distance_transform_edt, label, maximum_position

    points_mm, _ = spread_points(mesh, 0.7 * grid.spacing_mm)
    places = (points_mm - grid.origin_mm) / grid.spacing_mm
    cells = np.rint(places).astype(np.int64)
    within = ((cells >= 0) & (cells < grid.shape)).all(axis=1)
    flat = np.ravel_multi_index(tuple(cells[within].T), grid.shape)
    away = np.ones(grid.shape, dtype=bool)
    away.ravel()[flat] = False
    distance_mm = np.full(grid.shape, np.inf, dtype=np.float32)
    if within.any():
        nearest = distance_transform_edt(away, return_distances=False, return_indices=True)
        squared = np.zeros(grid.shape, dtype=np.float32)
        for axis, (indices, steps) in enumerate(zip(nearest, np.ogrid[_whole(grid)], strict=True)):
            shift = np.zeros(grid.shape, dtype=np.float32)
            shift.ravel()[flat] = (places - cells)[within, axis]
            squared += (indices + shift[tuple(nearest)] - steps) ** 2
        distance_mm[:] = grid.spacing_mm * np.sqrt(squared)
    regions, count = label(away)
    deepest = maximum_position(distance_mm, regions, np.arange(1, count + 1))
    inner = np.zeros(count + 1, dtype=bool)
    if count:
        inner[1:] = signed_distance_mm(grid.points_mm(np.array(deepest)), mesh) < 0
    return distance_mm, inner[regions]


def _whole(grid: Grid) -> tuple[slice, ...]:
    return tuple(slice(0, count) for count in grid.shape)
