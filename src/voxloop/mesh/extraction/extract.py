"""From a label map to the surfaces between its labels, halfway between voxels."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.errors import DataError, Problem
from voxloop.mesh.extraction.cells import CORNERS, EDGES, FIRST_POINT, case_of
from voxloop.mesh.extraction.odds import Odds
from voxloop.mesh.interfaces import Interfaces
from voxloop.mesh.mesh import Mesh
from voxloop.volume.boxes import bounding_box
from voxloop.volume.labels import IGNORE
from voxloop.volume.volume import LabelArray, LabelMap

__all__ = [
    "Extraction",
    "absent",
    "extract_interfaces",
    "extract_surface",
]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

_SLAB_VOXELS = 1 << 22
"""Cells looked at together: enough to be fast, few enough to stay within the cache and memory."""

_KINDS = 16
"""A vertex has the key 16 n + kind: n the lowest voxel of its edge, face or cell; kinds 0 to 2
are edges along an axis, 3 to 5 faces across an axis, from 6 on points inside the cell."""

_NEAREST_SHARE = 0.05
"""Closest that odds bring a vertex to a voxel centre, in edge lengths; at 0 triangles
would shrink to nothing."""


@dataclass(frozen=True, eq=False)
class Extraction:
    """Surfaces as they come out of the voxels, and the volumes of the voxels behind them.

    Attributes:
        interfaces: the surfaces.
        voxel_share_mm3: (V,) summed over the vertices of a closed piece of surface, positive where
            its label is behind, negative where in front, this is the volume of the voxels within:
            the divergence theorem on voxel faces, each of which is pierced by one vertex.
    """

    interfaces: Interfaces
    voxel_share_mm3: FloatArray


def extract_surface(label_map: LabelMap, value: int) -> Mesh:
    """The surface of one label against all others, in world millimetres, outward faces.

    Raises:
        DataError: if no voxel has the label.
    """
    interfaces = extract_interfaces(label_map, values=(value,)).interfaces
    if value not in interfaces.values:
        raise DataError(absent(label_map, value))
    return interfaces.surface(value)


def extract_interfaces(
    label_map: LabelMap,
    *,
    values: Collection[int] | None = None,
    odds: Odds | None = None,
) -> Extraction:
    """The surfaces between labels, every label's part of them a closed 2-manifold.

    Each cell between eight voxel centres is filled by the rules of `cells`; voxels of one label
    that touch in an edge hang together (of two labels crossing there, the one with the higher
    value), those that touch in a corner do not. Structures cut by the border of the scan are
    closed there, half a voxel outside it. `IGNORE` counts as outside.

    Args:
        label_map: any grid; on a left-handed one faces are turned, so that volumes stay positive.
        values: labels to take; all others count as outside. All where None.
        odds: how likely labels are. Surfaces then run where two of them are equally likely along
            the line between two voxels, instead of halfway; halfway all the same where the label
            map has another opinion of which is the likelier one.
    """
    array, start = _padded(label_map, values)
    slabs = list(_slabs(array))
    keys = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *(s.keys for s in slabs)]))
    faces = [np.searchsorted(keys, s.keys).astype(np.int32)[s.faces] for s in slabs]
    grid = _Grid(array, keys, start, odds)
    positions = grid.positions([means for s in slabs for means in s.means]) + start
    geometry = label_map.geometry
    triangles = np.concatenate([np.zeros((0, 3), dtype=np.int32), *faces])
    if np.linalg.det(geometry.matrix[:3, :3]) < 0:
        triangles = triangles[:, ::-1]
    sides = np.concatenate([np.zeros((0, 2), dtype=np.uint8), *(s.sides for s in slabs)])
    interfaces = Interfaces(geometry.to_world(positions), triangles, sides)
    return Extraction(interfaces, grid.shares() * geometry.voxel_volume_mm3)


def _padded(
    label_map: LabelMap, values: Collection[int] | None
) -> tuple[LabelArray, npt.NDArray[np.int64]]:
    """The labels in their bounding box and a voxel of outside around, and its first index."""
    keep = np.arange(256, dtype=np.uint8)
    keep[IGNORE] = 0
    if values is not None:
        keep[~np.isin(np.arange(256), list(values))] = 0
    kept_mask = keep.astype(bool)[label_map.array]
    box = bounding_box(kept_mask)
    if box is None:
        return np.zeros((2, 2, 2), dtype=np.uint8), np.zeros(3, dtype=np.int64)
    inner = keep[label_map.array[box.slices]]
    padded = np.zeros([n + 2 for n in inner.shape], dtype=np.uint8)
    padded[1:-1, 1:-1, 1:-1] = inner
    return padded, np.array(box.start) - 1


@dataclass(frozen=True, slots=True, eq=False)
class _Slab:
    """Triangles of some layers of cells; `faces` index into `keys`.

    `means` lists keys of points (N,) inside cells and the keys (N, M) of what they lie amid.
    """

    keys: IntArray
    faces: IntArray
    sides: npt.NDArray[np.uint8]
    means: list[tuple[IntArray, IntArray]]


def _slabs(array: LabelArray) -> Iterator[_Slab]:
    layer = array.shape[1] * array.shape[2]
    layers = max(1, _SLAB_VOXELS // layer)
    for first in range(0, array.shape[0] - 1, layers):
        cells = _border_cells(array[first : first + layers + 1]) + first * layer
        if len(cells):
            yield _slab(array, cells)


def _border_cells(part: LabelArray) -> IntArray:
    """Flat indices of the lowest voxel of each cell whose corners differ."""
    low = high = part
    for axis in range(3):
        n = part.shape[axis] - 1
        head, tail = ((slice(None),) * axis + (slice(a, a + n),) for a in (0, 1))
        low = np.minimum(low[head], low[tail])
        high = np.maximum(high[head], high[tail])
    places = np.nonzero(low != high)
    return np.asarray(np.ravel_multi_index(places, part.shape), dtype=np.int64)


def _slab(array: LabelArray, cells: IntArray) -> _Slab:
    strides = _strides(array)
    corners = array.ravel()[cells[:, None] + np.array(CORNERS) @ strides]
    offsets = _local_keys(strides)
    keys, sides, means = [], [], []
    for ranks, rows in _grouped(corners):
        case = case_of(ranks)
        base = _KINDS * cells[rows]
        keys.append((base[:, None, None] + offsets[case.triangles]).reshape(-1, 3))
        both = np.stack([case.behind, case.before], axis=1)
        sides.append(corners[rows][:, both].reshape(-1, 2))
        for number, members in enumerate(case.points):
            point = base + offsets[FIRST_POINT + number]
            means.append((point, base[:, None] + offsets[list(members)]))
    found, faces = np.unique(np.concatenate(keys), return_inverse=True)
    return _Slab(found, faces.reshape(-1, 3), np.concatenate(sides), means)


def _local_keys(strides: IntArray) -> IntArray:
    """Per local vertex of a cell its key, relative to that of the cell's lowest voxel."""
    steps = np.array(CORNERS) @ strides
    edges = [_KINDS * steps[low] + number // 4 for number, (low, _) in enumerate(EDGES)]
    faces = [_KINDS * side * strides[axis] + 3 + axis for axis in range(3) for side in (0, 1)]
    return np.array([*edges, *faces, *range(6, _KINDS)], dtype=np.int64)


def _grouped(corners: LabelArray) -> Iterator[tuple[tuple[int, ...], IntArray]]:
    """Rows that have the same order of labels at their corners, and that order as ranks."""
    low, high = corners.min(axis=1, keepdims=True), corners.max(axis=1, keepdims=True)
    upper = corners == high
    plain = (upper | (corners == low)).all(axis=1)
    weights = 8 ** np.arange(8)
    ranks = upper.astype(np.int64)
    several = np.flatnonzero(~plain)
    ranks[several] = _ranks(corners[several])
    codes = ranks @ weights
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    for rows in np.split(order, starts[1:]):
        yield tuple(int(rank) for rank in ranks[rows[0]]), rows


def _ranks(corners: LabelArray) -> IntArray:
    ordered = np.sort(corners, axis=1)
    ranks = np.zeros(corners.shape, dtype=np.int64)
    for place in range(1, 8):
        new = ordered[:, place] != ordered[:, place - 1]
        ranks += new[:, None] & (ordered[:, place, None] <= corners)
    return ranks


class _Grid:
    """Where the vertices with given keys lie, in voxels of the padded array."""

    def __init__(
        self, array: LabelArray, keys: IntArray, start: IntArray, odds: Odds | None
    ) -> None:
        self._array, self._keys, self._start, self._odds = array, keys, start, odds
        self._kinds = keys % _KINDS
        self._voxels = np.stack(np.unravel_index(keys // _KINDS, array.shape), axis=1)

    def positions(self, means: list[tuple[IntArray, IntArray]]) -> FloatArray:
        """Positions (V, 3): on edges first, then amid those around each face, then inside."""
        found = self._voxels.astype(np.float64)
        for axis in range(3):
            rows = np.flatnonzero(self._kinds == axis)
            if self._odds is None:
                found[rows, axis] += 0.5
            else:
                found[rows, axis] += self._crossings(self._odds, rows, axis)
        for axis in range(3):
            rows = np.flatnonzero(self._kinds == 3 + axis)
            found[rows] = self._amid_edges(rows, axis, found)
        for points, members in means:
            rows = np.searchsorted(self._keys, points)
            found[rows] = found[np.searchsorted(self._keys, members)].mean(axis=1)
        return found

    def shares(self) -> FloatArray:
        """Per vertex (V,) its term of the volume of voxels behind, in voxels."""
        shares = np.zeros(len(self._keys))
        # the sum over faces across one axis is the whole volume already
        rows = np.flatnonzero(self._kinds == 0)
        here, there = self._labels(rows, 0)
        shares[rows] = np.where(here > there, 1, -1) * (self._voxels[rows, 0] + 0.5)
        return shares

    def _labels(self, rows: IntArray, axis: int) -> tuple[LabelArray, LabelArray]:
        """Labels at both ends of edges along an axis."""
        ends = (self._voxels[rows], self._voxels[rows] + np.eye(3, dtype=np.int64)[axis])
        here, there = (self._array[tuple(end.T)] for end in ends)
        return here, there

    def _amid_edges(self, rows: IntArray, axis: int, found: FloatArray) -> FloatArray:
        total, count = np.zeros((len(rows), 3)), np.zeros((len(rows), 1))
        b, c = (axis + 1) % 3, (axis + 2) % 3
        strides = _strides(self._array)
        base = _KINDS * (self._keys[rows] // _KINDS)
        for along, across in ((b, c), (c, b)):
            for step in (0, 1):
                wanted = base + _KINDS * step * strides[across] + along
                place = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
                there = (self._keys[place] == wanted)[:, None]
                total += np.where(there, found[place], 0)
                count += there
        return np.asarray(total / count)

    def _crossings(self, odds: Odds, rows: IntArray, axis: int) -> FloatArray:
        """Where along an edge the labels of its two voxels are equally likely."""
        here, there = self._labels(rows, axis)
        ends = self._start + self._voxels[rows]
        first = odds.lead(ends, here, there)
        last = odds.lead(ends + np.eye(3, dtype=np.int64)[axis], here, there)
        agreed = (first >= 0) & (last <= 0) & (first > last)
        halfway = np.full(len(rows), 0.5)
        shares = np.divide(first, first - last, out=halfway, where=agreed)
        return np.asarray(np.clip(shares, _NEAREST_SHARE, 1 - _NEAREST_SHARE))


def _strides(array: LabelArray) -> IntArray:
    return np.array([array.shape[1] * array.shape[2], array.shape[2], 1], dtype=np.int64)


def absent(label_map: LabelMap, value: int) -> Problem:
    """The message that no voxel has a label."""
    names = label_map.labels.names
    present = [names[v] for v in names if (label_map.array == v).any()]
    wanted = f"label {value} ({names[value]!r})" if value in names else f"label {value}"
    return Problem(
        "label map",
        f"voxels of {wanted}",
        f"none; present are {', '.join(map(repr, present)) or 'no labels at all'}",
        "choose a label that is present, or segment the case first",
    )
