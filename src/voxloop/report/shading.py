"""Surfaces drawn by numpy alone: a depth buffer that needs no graphics driver or display."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.mesh.mesh import Mesh

__all__ = ["ANTERIOR", "LEFT", "SUPERIOR", "VIEWS", "Camera", "View", "shade"]

FloatArray = npt.NDArray[np.float64]

_OVERSAMPLING = 2
_CHUNK = 1 << 20
_LIGHT = np.array([-0.4, 0.55, 0.75])


@dataclass(frozen=True, slots=True)
class View:
    """Where a viewer stands; world axes are RAS+.

    Attributes:
        name: the side of the patient that is looked at.
        right: world direction that points to the right of the picture.
        upward: world direction that points to its top.
        sides: letters at the left and right of the picture.
    """

    name: str
    right: tuple[float, float, float]
    upward: tuple[float, float, float]
    sides: tuple[str, str]

    @property
    def axes(self) -> FloatArray:
        """Rows: to the right, upward, towards the viewer; (3, 3)."""
        return np.array([self.right, self.upward, np.cross(self.right, self.upward)])


ANTERIOR = View("anterior", (-1, 0, 0), (0, 0, 1), ("R", "L"))
LEFT = View("left", (0, -1, 0), (0, 0, 1), ("A", "P"))
SUPERIOR = View("superior", (1, 0, 0), (0, 1, 0), ("L", "R"))
VIEWS = (ANTERIOR, LEFT, SUPERIOR)


@dataclass(frozen=True, slots=True)
class Camera:
    """A parallel projection onto a square picture.

    Attributes:
        view: the direction.
        centre_mm: world point in the middle of the picture.
        pixel_mm: size of a pixel.
        size_px: height and width of the picture.
    """

    view: View
    centre_mm: tuple[float, float, float]
    pixel_mm: float
    size_px: int


def shade(meshes: Sequence[Mesh], colours: Sequence[FloatArray], camera: Camera) -> FloatArray:
    """Draw closed surfaces, lit from the upper left, on white.

    Args:
        meshes: outward oriented surfaces; what faces away is not drawn.
        colours: for each mesh red, green, blue from 0 to 1: (3,) for all of it, or (V, 3), one
            per vertex, which run into each other between them.
        camera: direction, place and scale.

    Returns:
        (size_px, size_px, 3) from 0 to 1.
    """
    size = camera.size_px * _OVERSAMPLING
    depth = np.full(size * size, -np.inf)
    normal = np.zeros((size * size, 3))
    colour = np.ones((size * size, 3))
    for mesh, tint in zip(meshes, colours, strict=True):
        corners, traits = _projected(mesh, tint, camera)
        for place, z, found in _fragments(corners, traits, size):
            nearer = z > depth[place]
            hit = place[nearer]
            depth[hit], normal[hit], colour[hit] = z[nearer], found[nearer, :3], found[nearer, 3:]
    lit = _lit(colour, normal, np.isfinite(depth))
    lit *= _depth_shadow(depth.reshape(size, size)).reshape(-1, 1)
    tiles = lit.reshape(camera.size_px, _OVERSAMPLING, camera.size_px, _OVERSAMPLING, 3)
    return np.asarray(tiles.mean(axis=(1, 3)))


def _projected(mesh: Mesh, tint: FloatArray, camera: Camera) -> tuple[FloatArray, FloatArray]:
    """Corners (F, 3, 3) as column, row, depth in fine pixels; normals, colours (F, 3, 6)."""
    scale = _OVERSAMPLING / camera.pixel_mm
    axes = camera.view.axes
    points = (mesh.vertices_mm - np.array(camera.centre_mm)) @ axes.T * scale
    points[:, 1] *= -1  # rows count downwards
    points[:, :2] += camera.size_px * _OVERSAMPLING / 2 - 0.5
    towards = mesh.face_vectors_mm2 @ axes[2] > 0
    faces = mesh.faces[towards]
    tints = np.broadcast_to(tint, points.shape)
    return points[faces], np.concatenate([mesh.vertex_normals @ axes.T, tints], axis=1)[faces]


def _fragments(
    corners: FloatArray, traits: FloatArray, size: int
) -> Iterator[tuple[npt.NDArray[np.int64], FloatArray, FloatArray]]:
    """The pixels that triangles cover, a chunk at a time: flat index, depth, traits.

    Within a chunk every pixel comes once, with the nearest triangle.
    """
    low = np.clip(np.floor(corners[:, :, :2].min(axis=1)).astype(int), 0, size)
    high = np.clip(np.ceil(corners[:, :, :2].max(axis=1)).astype(int) + 1, 0, size)
    extent = np.maximum(high - low, 0)
    count = extent.prod(axis=1)
    ends = np.cumsum(count)
    planes = _barycentric(corners[:, :, :2])
    start = 0
    while start < len(corners):
        before = ends[start] - count[start]
        stop = max(start + 1, int(np.searchsorted(ends, before + _CHUNK, side="right")))
        chosen = np.repeat(np.arange(start, stop), count[start:stop])
        rank = np.arange(len(chosen)) - (ends - count)[chosen] + before
        column = low[chosen, 0] + rank % np.maximum(extent[chosen, 0], 1)
        row = low[chosen, 1] + rank // np.maximum(extent[chosen, 0], 1)
        terms = planes[chosen]
        weights = terms[:, 0] * column[:, None] + terms[:, 1] * row[:, None] + terms[:, 2]
        inside = (weights >= -1e-9).all(axis=1)
        chosen, weights = chosen[inside], weights[inside]
        place = (row * size + column)[inside]
        z = (weights * corners[chosen, :, 2]).sum(axis=1)
        order = np.lexsort((-z, place))
        place, first = np.unique(place[order], return_index=True)
        nearest = order[first]
        found = (weights[nearest, :, None] * traits[chosen[nearest]]).sum(axis=1)
        yield place, z[nearest], found
        start = stop


def _barycentric(corners: FloatArray) -> FloatArray:
    """How the weights of a triangle's corners run over the picture: (F, 3, 3).

    Rows are to be multiplied with column, row and one; columns are the corners' weights. All of a
    triangle without area lies outside.
    """
    a, b, c = (corners[:, corner] for corner in range(3))
    area = _cross(b - a, c - a)
    flat = np.abs(area) < 1e-12
    area = np.where(flat, np.inf, area)
    second, third = (
        np.stack([edge[:, 1], -edge[:, 0], _cross(edge, a)], axis=1) * (sign / area)[:, None]
        for edge, sign in ((c - a, 1.0), (b - a, -1.0))
    )
    first = np.where(flat, -1.0, 1.0)[:, None] * [0.0, 0.0, 1.0] - second - third
    return np.stack([first, second, third], axis=2)


def _cross(u: FloatArray, v: FloatArray) -> FloatArray:
    return np.asarray(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])


def _lit(colour: FloatArray, normal: FloatArray, covered: npt.NDArray[np.bool_]) -> FloatArray:
    lengths = np.linalg.norm(normal, axis=1, keepdims=True)
    unit = normal / np.maximum(lengths, np.finfo(float).tiny)
    light = _LIGHT / np.linalg.norm(_LIGHT)
    diffuse = np.clip(unit @ light, 0, 1)
    halfway = light + np.array([0, 0, 1.0])
    shine = np.clip(unit @ (halfway / np.linalg.norm(halfway)), 0, 1) ** 28
    facing = np.clip(unit[:, 2], 0, 1)
    strength = (0.30 + 0.22 * facing + 0.55 * diffuse)[:, None]
    lit = np.clip(colour * strength + 0.16 * shine[:, None], 0, 1)
    return np.where(covered[:, None], lit, 1.0)


def _depth_shadow(depth: FloatArray) -> FloatArray:
    """Darken what lies behind something near (Luft et al. 2006), so that depth can be read."""
    from scipy.ndimage import gaussian_filter

    covered = np.isfinite(depth)
    if not covered.any():
        return np.ones_like(depth)
    near, far = depth[covered].max(), depth[covered].min()
    level = np.where(covered, (depth - far) / max(near - far, 1.0), 0.0)
    weight = gaussian_filter(covered.astype(float), depth.shape[0] / 90)
    around = gaussian_filter(level, depth.shape[0] / 90) / np.maximum(weight, 1e-6)
    return np.where(covered, 1 - np.clip(1.6 * (around - level), 0, 0.45), 1.0)
