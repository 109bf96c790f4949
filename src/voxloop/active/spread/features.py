"""Regions as points that are near one another where they look alike, without any label."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.active.pool import CasePool, Pool
from voxloop.active.spread.distances import IntArray
from voxloop.errors import DataError, Problem
from voxloop.volume.geometry import Geometry
from voxloop.volume.lattice import Lattice
from voxloop.volume.volume import Volume

__all__ = ["RegionFeatures", "network_features", "scan_features"]

FloatRows = npt.NDArray[np.float32]

_PARTS = 4
"""A region is described part by part, at most so many along each axis."""

_CELLS = 16
"""A part is looked at in at most so many cells along each axis: finer texture is mostly noise."""

_MOST_CELLS = 128
"""Cells along one axis of a scan, however many regions it is cut into."""

_PERCENTILES = (1, 99)
"""What counts as black and white in a scan: scanners differ, and metal outshines all else."""

_REACH = 3.0
"""No look is further from the middle of the pool than so many mean ones: an artefact is not
to outweigh the anatomy."""

_MOST_DIMENSIONS = 32
_KEPT_VARIANCE = 0.99


@dataclass(frozen=True, eq=False)
class RegionFeatures:
    """All regions of a pool as points, in the order of its cases and their numbers.

    Attributes:
        rows: one per region, (n, d), centred.
        is_open: which of them can be asked for, (n,); the others are taken.
        source: what was looked at, as it reads in a sentence.
    """

    rows: FloatRows
    is_open: npt.NDArray[np.bool_]
    source: str

    @property
    def open_rows(self) -> IntArray:
        """Row numbers of the pool's candidates, in their order."""
        return np.flatnonzero(self.is_open)

    @property
    def taken_rows(self) -> IntArray:
        """Row numbers of the regions that are annotated or asked for."""
        return np.flatnonzero(~self.is_open)


def scan_features(pool: Pool, scans: Callable[[str], tuple[Volume, ...]]) -> RegionFeatures:
    """Describe regions by how the scan looks in them and where they lie in it.

    Each region is divided into up to four parts along each axis (within the plane for slices).
    Per part and channel three numbers count: mean intensity between the scan's own black and
    white, steepness, and unevenness; each kind weighs the same. To these come the region's place
    in the scan and, where slices run across several axes, which. Array axes are turned to the
    patient's axes first, so that files of different orientation compare. What is left out below
    one hundredth of the variance or beyond 32 directions is dropped.

    Args:
        pool: whose regions.
        scans: gives a case's channels, on the case's grid.

    Raises:
        DataError: if a scan is not on its case's grid, or cases differ in channels or in the
            kind of their regions.
    """
    looks, frames = [], []
    for case in pool.cases:
        channels = _checked(case, scans(case.case_id))
        looks.append(np.concatenate([_looks(case, channel) for channel in channels]))
        frames.append(_frame(case, channels[0].geometry))
    _check_alike([look[:, 0] for look in looks], pool, "channels and kind of regions")
    kinds = np.concatenate(looks, axis=1)
    columns = [*(_balanced(kind) for kind in kinds), np.concatenate(frames)]
    return RegionFeatures(_compressed(np.concatenate(columns, axis=1)), _open(pool), "the scan")


def network_features(
    pool: Pool, embed: Callable[[str], npt.NDArray[np.floating[Any]]]
) -> RegionFeatures:
    """Describe regions by the mean of the network's features over them.

    Args:
        pool: whose regions.
        embed: gives a case's features (F, a, b, c) in cells that span its grid evenly; between
            the middles of cells they are interpolated.

    Raises:
        DataError: if features are not finite or their number differs between cases.
    """
    found = []
    for case in pool.cases:
        maps = embed(case.case_id)
        if maps.ndim != 4 or not np.isfinite(maps).all():
            expected = "finite numbers of shape (features, a, b, c)"
            raise _bad(case.case_id, "features", expected, f"{maps.shape} or not finite")
        found.append(np.concatenate([_pooled(lattice, maps) for lattice in case.lattices]))
    _check_alike([rows[0] for rows in found], pool, "number of features")
    rows = _compressed(_balanced(np.concatenate(found)))
    return RegionFeatures(rows, _open(pool), "what the network sees")


def _looks(case: CasePool, channel: Volume) -> FloatRows:
    """Intensity, steepness and unevenness of the parts of each region, (3, n, parts)."""
    found = []
    for tiling, lattice in enumerate(case.lattices):
        thin = _thin_axis(case, tiling)
        divisions = [_divisions(edges) for edges in lattice.edges]
        fine = [_refined(e, p * c) for e, (p, c) in zip(lattice.edges, divisions, strict=True)]
        cells = _cells(Lattice((fine[0], fine[1], fine[2])), channel.array)
        steps = [axis for axis in range(3) if axis != thin and cells.shape[axis] > 1]
        steep = np.sqrt(sum((np.gradient(cells, axis=axis) ** 2 for axis in steps), 0 * cells))
        split = [n for b, (p, c) in zip(lattice.counts, divisions, strict=True) for n in (b, p, c)]
        means, squares, slopes = (
            values.reshape(split).mean(axis=(2, 5, 8)).transpose(0, 2, 4, 1, 3, 5)
            for values in (cells, cells**2, steep)
        )
        uneven = np.sqrt(np.maximum(squares - means**2, 0))
        parts = np.stack([means, slopes, uneven]).reshape(3, len(lattice), *means.shape[3:])
        found.append(_in_world_order(parts, channel.geometry, thin))
    return np.concatenate(found, axis=1)


def _cells(lattice: Lattice, array: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Means over the boxes of a lattice, from 0 for the scan's black to 1 for its white."""
    means = (lattice.sums(array) / lattice.voxel_counts).reshape(lattice.counts)
    black, white = np.percentile(means, _PERCENTILES)
    if not white > black:
        return np.zeros(lattice.counts)
    return np.asarray(np.clip((means - black) / (white - black), 0, 1))


def _divisions(edges: Sequence[int]) -> tuple[int, int]:
    """Parts of each box along an axis, and cells of each part."""
    shortest = int(np.diff(edges).min())
    parts = min(_PARTS, shortest)
    fitting = max(1, _MOST_CELLS // (parts * (len(edges) - 1)))
    return parts, min(_CELLS, shortest // parts, fitting)


def _refined(edges: Sequence[int], pieces: int) -> tuple[int, ...]:
    inner = [a + (b - a) * i // pieces for a, b in itertools.pairwise(edges) for i in range(pieces)]
    return (*inner, edges[-1])


def _in_world_order(
    parts: npt.NDArray[np.float64], geometry: Geometry, thin: int | None
) -> FloatRows:
    """Parts (3, n, p, q, r) towards right, front, head, as many for every case: (3, n, parts)."""
    for axis in range(3):
        place, count = axis + 2, parts.shape[axis + 2]
        if axis != thin:
            parts = parts.take(np.arange(_PARTS) * count // _PARTS, axis=place)
        if _runs_backwards(geometry, axis):
            parts = np.flip(parts, axis=place)
    order = [int(axis) + 2 for axis in np.argsort(geometry.world_axes)]
    turned = parts.transpose(0, 1, *order)
    return turned.reshape(*parts.shape[:2], -1).astype(np.float32)


def _frame(case: CasePool, geometry: Geometry) -> FloatRows:
    """Each region's place as shares of the scan's extent, and its thin axis as one of three."""
    places = (case.centres_mm / np.asarray(case.spacing_mm) + 0.5) / np.asarray(case.shape)
    for axis in range(3):
        if _runs_backwards(geometry, axis):
            places[:, axis] = 1 - places[:, axis]
    across = np.zeros((case.region_count, 3))
    for tiling in range(len(case.lattices)):
        thin = _thin_axis(case, tiling)
        if thin is not None:
            across[case.tiling == tiling, geometry.world_axes[thin]] = 1
    turned = places[:, np.argsort(geometry.world_axes)]
    return np.concatenate([turned, across], axis=1).astype(np.float32)


def _thin_axis(case: CasePool, tiling: int) -> int | None:
    """The axis along which the regions of a tiling are one voxel thick by their kind."""
    axes = case.cut.thin_axes(case.shape, case.spacing_mm, case.axis)
    return axes[tiling] if axes else None


def _runs_backwards(geometry: Geometry, axis: int) -> bool:
    return bool(geometry.matrix[geometry.world_axes[axis], axis] < 0)


def _pooled(lattice: Lattice, maps: npt.NDArray[np.floating[Any]]) -> FloatRows:
    """Mean over each box of features that are interpolated between cells, (n, F)."""
    shares = []
    for edges, cells in zip(lattice.edges, maps.shape[1:], strict=True):
        places = (np.arange(edges[-1]) + 0.5) * cells / edges[-1] - 0.5
        away = np.clip(places, 0, cells - 1)[:, None] - np.arange(cells)
        summed = np.add.reduceat(np.maximum(0, 1 - np.abs(away)), edges[:-1], axis=0)
        shares.append(summed / np.diff(edges)[:, None])
    found = np.einsum("fabc,ia,jb,kc->ijkf", maps, *shares, optimize=True)
    return np.asarray(found.reshape(len(lattice), -1), dtype=np.float32)


def _balanced(rows: FloatRows) -> FloatRows:
    """Rows about the median one, at distance 1 from it on average and none beyond the reach."""
    away = rows - np.median(rows, axis=0)
    lengths = np.linalg.norm(away, axis=1)
    typical = float(lengths.mean()) or 1.0  # the median is nil where most regions are the same
    scale = np.minimum(1 / typical, _REACH / np.maximum(lengths, np.finfo(np.float32).tiny))
    return np.asarray(away * scale[:, None], dtype=np.float32)


def _compressed(rows: FloatRows) -> FloatRows:
    """Centred rows along the directions in which they differ most (principal components)."""
    centred = rows - rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    variances, directions = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    explained = np.cumsum(np.maximum(variances[::-1], 0))
    needed = int(np.searchsorted(explained, _KEPT_VARIANCE * explained[-1])) + 1
    kept = directions[:, ::-1][:, : min(needed, _MOST_DIMENSIONS)]
    return np.ascontiguousarray(centred @ kept.astype(np.float32))


def _open(pool: Pool) -> npt.NDArray[np.bool_]:
    found = []
    for case in pool.cases:
        is_open = np.zeros(case.region_count, dtype=np.bool_)
        is_open[list(case.open_regions)] = True
        found.append(is_open)
    return np.concatenate(found)


def _checked(case: CasePool, channels: tuple[Volume, ...]) -> tuple[Volume, ...]:
    shapes = [channel.geometry.shape for channel in channels]
    if not shapes or set(shapes) != {case.shape}:
        raise _bad(case.case_id, "scan", f"channels of shape {case.shape}", f"{shapes}")
    return channels


def _check_alike(examples: Sequence[FloatRows], pool: Pool, what: str) -> None:
    for example, case in zip(examples, pool.cases, strict=True):
        if example.shape != examples[0].shape:
            other = pool.cases[0].case_id
            raise _bad(case.case_id, what, f'as in case "{other}"', "others")


def _bad(case_id: str, what: str, expected: str, found: str) -> DataError:
    remedy = "choose among cases of one data set, each with its own grid, channels and model"
    return DataError(Problem(f'{what} of case "{case_id}"', expected, found, remedy))
