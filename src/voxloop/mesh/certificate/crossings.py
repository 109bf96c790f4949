"""Where a surface runs through itself."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from voxloop.mesh.certificate.box_pairs import overlapping_boxes

__all__ = ["self_intersections"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_TOLERANCE = 1e-9
"""Contact less deep than this share of the surface's extent is touching: ten thousand times the
rounding of double precision, a ten-thousandth of a micrometre on a hand's width."""


_LEAST_FACING = 0.05
"""Cosine between a vertex's mean normal and each of its faces' for it to be tidy."""


class _Triangles(NamedTuple):
    """All faces with their planes, about the middle of the surface."""

    corners: FloatArray  # (F, 3, 3): face, corner, axis
    normals: FloatArray  # (F, 3), unit; zero where a face has no area
    offsets: FloatArray  # (F,), of the planes along the normals
    faces: npt.NDArray[np.int32]  # (F, 3)
    tolerance_mm: float


def self_intersections(
    vertices_mm: npt.NDArray[np.float64], faces: npt.NDArray[np.integer]
) -> npt.NDArray[np.int64]:
    """Pairs of faces that cross or overlap beyond the corners and edges they share.

    Two faces cross if each has corners on both sides of the other's plane and they cut the line
    in which the planes meet in intervals that overlap (Möller 1997); in one plane they overlap
    if no side of either separates them. What faces share counts as lying in both planes, so that
    neighbours are judged by the same rule: faces at a common corner cross if they meet elsewhere
    too, faces at a common edge if one is folded onto the other. Mere contact is no crossing.

    Memory is bounded: pairs are drawn from a grid of boxes and judged a million at a time.

    Args:
        vertices_mm: (V, 3) positions.
        faces: (F, 3) indices into the vertices.

    Returns:
        (P, 2) indices of faces, the lower first, sorted.
    """
    if len(faces) == 0:
        return np.empty((0, 2), dtype=np.int64)
    triangles = _triangles(np.asarray(vertices_mm, dtype=np.float64), faces)
    tidy = _tidy_vertices(triangles, len(vertices_mm))
    low, high = triangles.corners.min(axis=1), triangles.corners.max(axis=1)
    batches = overlapping_boxes(low, high)
    found = [_judged(triangles, tidy, first, second) for first, second in batches]
    pairs = np.concatenate([np.empty((0, 2), dtype=np.int64), *found])
    pairs.sort(axis=1)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _triangles(vertices: FloatArray, faces: npt.NDArray[np.integer]) -> _Triangles:
    index = np.ascontiguousarray(faces, dtype=np.int32)
    corners = vertices[index]
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    corners -= (low + high) / 2
    tolerance_mm = _TOLERANCE * float((high - low).max())
    sides = np.roll(corners, -1, axis=1) - corners
    normals = np.cross(sides[:, 0], sides[:, 1])
    doubled = np.linalg.norm(normals, axis=1, keepdims=True)
    # a face thinner than the tolerance has no plane; what cuts it cuts its neighbours too
    plane = doubled > tolerance_mm * np.linalg.norm(sides, axis=2).max(axis=1, keepdims=True)
    normals = np.where(plane, normals / np.maximum(doubled, 1e-300), 0.0)
    offsets = (normals * corners.mean(axis=1)).sum(axis=1)
    return _Triangles(corners, normals, offsets, index, tolerance_mm)


def _tidy_vertices(triangles: _Triangles, vertices: int) -> BoolArray:
    """Vertices (V,) whose faces, seen along their mean normal, lie side by side once around.

    Such faces cannot cross one another, which settles nearly all neighbours of a smooth surface.
    """
    corner_of = triangles.faces.ravel()
    normals = np.empty((vertices, 3))
    for axis in range(3):
        weights = np.repeat(triangles.normals[:, axis], 3)
        normals[:, axis] = np.bincount(corner_of, weights, vertices)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    turned = np.zeros(vertices)
    least_facing = np.ones(vertices)
    for corner in range(3):
        vertex = triangles.faces[:, corner]
        upright = normals[vertex]
        one, other = (
            triangles.corners[:, (corner + step) % 3] - triangles.corners[:, corner]
            for step in (1, 2)
        )
        sine = _dot(np.cross(one, other), upright)
        cosine = _dot(one, other) - _dot(one, upright) * _dot(other, upright)
        turned += np.bincount(vertex, np.arctan2(sine, cosine), vertices)
        np.minimum.at(least_facing, vertex, _dot(triangles.normals, upright))
    once = np.abs(turned - 2 * np.pi) < 1e-6
    return np.asarray(once & (least_facing > _LEAST_FACING))


def _judged(triangles: _Triangles, tidy: BoolArray, first: IntArray, second: IntArray) -> IntArray:
    """Those pairs (P, 2) of the faces `first` and `second` (N,) that cross or overlap."""
    doubtful = np.ones(len(first), dtype=bool)
    for corner in range(3):
        vertex = triangles.faces[first, corner]
        for other in range(3):
            doubtful &= (vertex != triangles.faces[second, other]) | ~tidy[vertex]
    first, second = first[doubtful], second[doubtful]
    of_second = _heights(triangles, first, second)
    straddled = _straddled(of_second)
    first, second, of_second = first[straddled], second[straddled], of_second[straddled]
    of_first = _heights(triangles, second, first)
    straddled = _straddled(of_first)
    first, second = first[straddled], second[straddled]
    of_first, of_second = of_first[straddled], of_second[straddled]
    flat = ~(of_first.any(axis=1) & of_second.any(axis=1))
    crosses = np.empty(len(first), dtype=bool)
    crosses[flat] = _overlap_in_plane(triangles, first[flat], second[flat])
    rest = ~flat
    crosses[rest] = _cut_each_other(
        triangles, (first[rest], of_first[rest]), (second[rest], of_second[rest])
    )
    return np.stack([first[crosses], second[crosses]], axis=1)


def _heights(triangles: _Triangles, plane: IntArray, face: IntArray) -> FloatArray:
    """Of the corners of `face` above the plane of the face `plane`, (N, 3); 0 where shared."""
    normal, offset = triangles.normals[plane], triangles.offsets[plane]
    heights = np.empty((len(plane), 3))
    for corner in range(3):
        height = _dot(triangles.corners[face, corner], normal) - offset
        heights[:, corner] = np.where(np.abs(height) <= triangles.tolerance_mm, 0.0, height)
        vertex = triangles.faces[face, corner]
        for other in range(3):
            heights[vertex == triangles.faces[plane, other], corner] = 0.0
    return heights


def _straddled(heights: FloatArray) -> BoolArray:
    """Whether corners lie on both sides of a plane, or all in it."""
    low, high = heights.min(axis=1), heights.max(axis=1)
    return np.asarray(((low < 0) & (high > 0)) | ((low == 0) & (high == 0)))


def _cut_each_other(
    triangles: _Triangles,
    one: tuple[IntArray, FloatArray],
    other: tuple[IntArray, FloatArray],
) -> BoolArray:
    """For faces and their corners' heights above each other's planes: whether they cross (N,)."""
    line = np.cross(triangles.normals[one[0]], triangles.normals[other[0]])
    line /= np.maximum(np.linalg.norm(line, axis=1, keepdims=True), 1e-300)
    starts, ends = zip(*(_interval(triangles, line, *each) for each in (one, other)), strict=True)
    overlap = np.minimum(*ends) - np.maximum(*starts)
    return np.asarray(overlap > triangles.tolerance_mm)


def _interval(
    triangles: _Triangles, line: FloatArray, face: IntArray, heights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Where along a line a face meets the plane that it straddles: from, to (N,)."""
    along = np.stack([_dot(triangles.corners[face, c], line) for c in range(3)], axis=1)
    low, high = np.full(len(face), np.inf), np.full(len(face), -np.inf)
    for corner in range(3):
        after = (corner + 1) % 3
        here, there = heights[:, corner], heights[:, after]
        cut = here * there < 0
        share = np.where(cut, here, 0.0) / np.where(cut, here - there, 1.0)
        place = along[:, corner] + share * (along[:, after] - along[:, corner])
        met = cut | (here == 0)
        low = np.where(met, np.minimum(low, place), low)
        high = np.where(met, np.maximum(high, place), high)
    return low, high


def _overlap_in_plane(triangles: _Triangles, first: IntArray, second: IntArray) -> BoolArray:
    """Whether faces (N,) of one plane overlap: no side of either separates them (N,)."""
    one, other = triangles.corners[first], triangles.corners[second]
    larger = np.abs(triangles.normals[first]).sum(axis=1, keepdims=True) > 0
    normal = np.where(larger, triangles.normals[first], triangles.normals[second])
    apart = (normal == 0).all(axis=1)
    for corners in (one, other):
        sides = np.roll(corners, -1, axis=1) - corners
        for side in range(3):
            across = np.cross(sides[:, side], normal)
            across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-300)
            reach_one, reach_other = (
                np.stack([_dot(c[:, corner], across) for corner in range(3)]) for c in (one, other)
            )
            gap = np.maximum(
                reach_one.min(axis=0) - reach_other.max(axis=0),
                reach_other.min(axis=0) - reach_one.max(axis=0),
            )
            apart |= gap >= -triangles.tolerance_mm
    return np.asarray(~apart)


def _dot(one: FloatArray, other: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("ij,ij->i", one, other))
