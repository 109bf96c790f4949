"""Walls thinner than a printer can make, thickened and marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.errors import UsageError
from voxloop.mesh.certificate.distance import signed_distance_mm
from voxloop.mesh.certificate.interior import Interior
from voxloop.mesh.certificate.thickness import wall_thickness
from voxloop.mesh.extraction.level_surface import level_surface
from voxloop.mesh.mesh import Mesh, VertexArray
from voxloop.mesh.shop.alteration import Alteration, Altered
from voxloop.mesh.shop.offset import MAX_SAMPLES, Grid
from voxloop.mesh.shop.sampling import spread_points
from voxloop.mesh.shop.solid import coarser, kernel, place, sound, to_solid

__all__ = ["THICK_ENOUGH", "thicken_walls"]

_COARSER = 0.005
"""Share of the thickness by which the surface around thin walls may be simplified."""

THICK_ENOUGH = 0.9
"""Share of the thickness that the thinnest wall must have in the end: rims are rounded, rays meet
them slantwise, and whoever chases the rest heaps facets upon rims."""

_MORE_ROUNDS = 2
"""Where a wall tapers, thickening tilts its sides: across it is then thinner than along the old
normals."""


@dataclass(frozen=True, eq=False)
class _Thin:
    """Points amid walls that are too thin.

    Attributes:
        middle_mm: (N, 3), halfway through the wall.
        lacking_mm: (N,) how much thicker the wall should be.
    """

    middle_mm: VertexArray
    lacking_mm: VertexArray

    def chosen(self, which: npt.NDArray[np.bool_]) -> _Thin:
        return _Thin(self.middle_mm[which], self.lacking_mm[which])


def thicken_walls(mesh: Mesh, *, thinnest_mm: float) -> Altered:
    """Make walls as thick as a printer needs them, half of what is missing on either side.

    The thickness at a point is how far a ray against the normal goes until it leaves the solid
    through a side that looks the other way, as certificates measure it. Around the middle of walls
    that are too thin, a solid is built that reaches beyond the surface by half of what is missing
    there, and joined to the model: the surface stays a closed 2-manifold, walls close by grow
    together instead of through each other, and farther than `thinnest_mm` from thin walls every
    vertex stays where it is. What is still less than nine tenths as thick is thickened again, up
    to twice, as long as that helps; `inspect` says what is left.

    Args:
        mesh: a closed, outward oriented surface.
        thinnest_mm: thickness to reach.

    Returns:
        The surface and one alteration for each stretch of wall and round: its thinnest place and
        how much thicker it is there.

    Raises:
        UsageError: if the thickness is not positive.
        LimitError: if the walls extend too far for a thickness as small as that.
    """
    if not thinnest_mm > 0:
        raise UsageError(f"walls need a thickness above 0 mm, found {thinnest_mm:g}")
    done = _thickened(mesh, thinnest_mm, 0.99 * thinnest_mm)
    for _ in range(_MORE_ROUNDS if done.alterations else 0):
        thickness_mm = _minimum_mm(done.mesh)
        if thickness_mm >= THICK_ENOUGH * thinnest_mm:
            break
        more = _thickened(done.mesh, thinnest_mm, THICK_ENOUGH * thinnest_mm)
        if _minimum_mm(more.mesh) <= thickness_mm:
            break
        done = Altered(more.meshes, (*done.alterations, *more.alterations))
    return done


def _minimum_mm(mesh: Mesh) -> float:
    wall = wall_thickness(mesh)
    return np.inf if wall is None else wall.minimum_mm


def _thickened(mesh: Mesh, thinnest_mm: float, below_mm: float) -> Altered:
    thin = _thin_places(mesh, thinnest_mm, below_mm)
    if not len(thin.middle_mm):
        return Altered((mesh,), ())
    whole, patches, alterations = to_solid(mesh), [], []
    for stretch in _stretches(thin, thinnest_mm):
        patch = _patch(mesh, stretch, thinnest_mm)
        if patch is None:
            continue
        patches.append(patch)
        worst = int(np.argmax(stretch.lacking_mm))
        alterations.append(
            Alteration(
                "wall thickened", place(stretch.middle_mm[worst]), float(stretch.lacking_mm[worst])
            )
        )

    def joined(share: float) -> Any:
        tools = [coarser(patch, share * _COARSER * thinnest_mm) for patch in patches]
        library = kernel()
        return library.Manifold.batch_boolean([whole, *tools], library.OpType.Add)

    return Altered((sound(joined),), tuple(alterations))


def _thin_places(mesh: Mesh, thinnest_mm: float, below_mm: float) -> _Thin:
    interior = Interior(mesh)
    coarse, owners = spread_points(mesh, thinnest_mm / 2)
    reached = _through_mm(interior, coarse, owners, 1.3 * thinnest_mm)
    suspects = np.unique(owners[np.isfinite(reached)])
    points, owners = spread_points(mesh, thinnest_mm / 4, suspects)
    through = _through_mm(interior, points, owners, thinnest_mm)
    thin = through < below_mm
    points, through = points[thin], through[thin]
    normals = interior.normals(owners[thin])
    return _Thin(points - through[:, None] / 2 * normals, thinnest_mm - through)


def _through_mm(
    interior: Interior, points: VertexArray, owners: npt.NDArray[np.int64], longest_mm: float
) -> VertexArray:
    """Thickness (N,) of the wall behind points on faces; infinite where above `longest_mm`."""
    # drawn in a little, for along an edge a ray runs within the neighbouring face
    inward = 0.02 * (interior.centres_mm[owners] - points)
    starts = points + inward - 1e-4 * longest_mm * interior.normals(owners)
    return interior.through_mm(starts, owners, longest_mm)


def _stretches(thin: _Thin, thinnest_mm: float) -> list[_Thin]:
    """Thin places that hang together, the largest stretch first."""
    from scipy.ndimage import label

    low, high = thin.middle_mm.min(axis=0), thin.middle_mm.max(axis=0)
    size_mm = max(thinnest_mm, float(np.prod(high - low + thinnest_mm) / MAX_SAMPLES) ** (1 / 3))
    cells = np.floor((thin.middle_mm - low) / size_mm).astype(np.int64)
    taken = np.zeros(cells.max(axis=0) + 1, dtype=bool)
    taken[tuple(cells.T)] = True
    numbers, count = label(taken, structure=np.ones((3, 3, 3)))
    of_point = numbers[tuple(cells.T)]
    order = np.argsort(-np.bincount(of_point, minlength=count + 1)[1:], kind="stable") + 1
    return [thin.chosen(of_point == number) for number in order]


def _patch(mesh: Mesh, stretch: _Thin, thinnest_mm: float) -> Mesh | None:
    """A closed surface around thin walls, at half of what is missing outside them."""
    from scipy.ndimage import distance_transform_edt
    from scipy.spatial import cKDTree

    middle_mm = stretch.middle_mm
    bounds = np.stack([middle_mm.min(axis=0), middle_mm.max(axis=0)])
    # farther than half the thickness, so that the points' spacing does not show on the surface
    reach_mm = 0.75 * thinnest_mm
    affordable = float(np.prod(bounds[1] - bounds[0] + 2 * thinnest_mm) / (0.7 * MAX_SAMPLES))
    spacing_mm = min(max(thinnest_mm / 6, affordable ** (1 / 3)), thinnest_mm / 3)
    grid = Grid.around(bounds, spacing_mm, reach_mm + 2 * spacing_mm)
    seeds = np.zeros(grid.shape, dtype=bool)
    seeds[tuple(grid.nearest(middle_mm).T)] = True
    away_mm: npt.NDArray[Any] = distance_transform_edt(~seeds) * spacing_mm
    near = np.argwhere(away_mm < reach_mm + 2 * spacing_mm)
    points = grid.points_mm(near)
    nearby = np.arange(1, min(4, len(middle_mm)) + 1)
    apart, nearest = map(np.asarray, cKDTree(middle_mm).query(points, k=nearby))
    weights = 1 / np.maximum(apart, 1e-3 * thinnest_mm) ** 2
    grown_mm = (weights * stretch.lacking_mm[nearest]).sum(axis=1) / weights.sum(axis=1) / 2
    beyond = grown_mm - signed_distance_mm(points, mesh)
    field = np.full(grid.shape, -2 * spacing_mm, dtype=np.float32)
    values = np.minimum(reach_mm - apart[:, 0], beyond)
    field[tuple(near.T)] = np.clip(values, -2 * spacing_mm, 2 * spacing_mm)
    return level_surface(field, grid.affine)
