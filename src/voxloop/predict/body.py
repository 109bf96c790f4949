"""Where in a scan the body is, so that no time is spent on the air around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.plan.intensities import scale_of
from voxloop.plan.plan import Normalisation, Plan
from voxloop.volume.boxes import Box, bounding_box
from voxloop.volume.geometry import Geometry
from voxloop.volume.volume import Volume

__all__ = ["Body", "find_body"]

Triple = tuple[int, int, int]
BoolArray = npt.NDArray[np.bool_]

_CELL_MM = 8.0
"""Large enough that even the lung's thinnest parts hold a vessel, small enough for the skin."""

_AIR_HU = -700.0
"""A cell whose brightest voxel is darker holds air and its noise, no tissue."""

_MARGIN_MM = 16.0
"""What lies nearer to the body is looked at as well."""


@dataclass(frozen=True, eq=False)
class Body:
    """Which cells of a scan's own grid hold the body or lie near it.

    Attributes:
        cells: true where they do, in the order of the scan's axes.
        size: voxels of a cell along each axis; the last cells may hold fewer.
        source: the scan's grid.
    """

    cells: BoolArray
    size: Triple
    source: Geometry

    def touches(self, box: Box, grid: Geometry) -> bool:
        """Whether any of it lies in a box of another grid whose axes run along the scan's.

        The box may reach beyond the grid; what is there does not count.
        """
        corners = grid.to_world(box.clip(grid.shape).corners())
        places = np.rint(self.source.to_voxel(corners)).astype(int)
        places = np.clip(places, 0, np.array(self.source.shape) - 1) // self.size
        low, high = places.min(axis=0), places.max(axis=0) + 1
        return bool(self.cells[low[0] : high[0], low[1] : high[1], low[2] : high[2]].any())

    def box(self, grid: Geometry) -> Box:
        """The smallest box of another grid, along whose axes the scan's run, that holds it."""
        found = bounding_box(self.cells)
        if found is None:
            return Box.whole(grid.shape)
        size = np.array(self.size)
        stop = np.minimum(np.array(found.stop) * size, self.source.shape)
        ends = np.array([np.array(found.start) * size - 0.5, stop - 0.5])
        faces = np.round(grid.to_voxel(self.source.to_world(ends)) + 0.5, 6)
        low = np.clip(np.floor(faces.min(axis=0)), 0, np.array(grid.shape) - 1).astype(int)
        high = np.clip(np.ceil(faces.max(axis=0)), low + 1, grid.shape).astype(int)
        return Box(_triple(low.tolist()), _triple(high.tolist()))


def find_body(channels: tuple[Volume, ...], plan: Plan) -> Body | None:
    """Where the body is, in doubt too much of it.

    On a CT the air is outside that is connected, within its axial slice, with the sides of the
    scan: lungs are inside even where a slice cuts the windpipe. On a scan that was masked or
    padded, what holds exactly its lowest value is outside. Nothing is known of other scans.

    Args:
        channels: of the case, on one grid.
        plan: says which channels are CT.

    Returns:
        None if no place is known to lie outside, or every place seems to.
    """
    geometry = channels[0].geometry
    size = _triple([max(1, round(_CELL_MM / s)) for s in geometry.spacing_mm])
    inside: BoolArray | None = None
    for volume, how in zip(channels, plan.normalisation, strict=True):
        found = _body_of(volume, how, size)
        if found is None:
            return None
        inside = found if inside is None else inside | found
    if inside is None or inside.all() or not inside.any():
        return None
    return Body(_grown(inside, size, geometry), size, geometry)


def _body_of(volume: Volume, how: Normalisation, size: Triple) -> BoolArray | None:
    if how.method == "fixed":
        return _tissue(_brightest(volume.array, size) < _AIR_HU, volume.geometry)
    empty = scale_of(volume.array, how).empty
    return None if empty is None else np.asarray(_brightest(volume.array, size) > empty)


def _tissue(air: BoolArray, geometry: Geometry) -> BoolArray:
    """All but the air that reaches a side of its axial slice through air."""
    from scipy.ndimage import binary_propagation

    across = [axis for axis, world in enumerate(geometry.world_axes) if world != 2]
    seeds = np.zeros_like(air)
    steps = np.zeros((3, 3, 3), dtype=bool)
    steps[1, 1, 1] = True
    for axis in across:
        for end in (0, -1):
            seeds.swapaxes(0, axis)[end] = air.swapaxes(0, axis)[end]
            steps.swapaxes(0, axis)[end, 1, 1] = True
    return ~np.asarray(binary_propagation(seeds, structure=steps, mask=air), dtype=np.bool_)


def _brightest(array: npt.NDArray[Any], size: Triple) -> npt.NDArray[Any]:
    """The highest value in each cell, found along the widest strides first."""
    for axis in sorted(range(3), key=lambda a: -abs(array.strides[a])):
        turned = array.swapaxes(0, axis)
        best = turned[:: size[axis]].copy(order="K")
        for offset in range(1, size[axis]):
            part = turned[offset :: size[axis]]
            np.maximum(best[: len(part)], part, out=best[: len(part)])
        array = best.swapaxes(0, axis)
    return array


def _grown(cells: BoolArray, size: Triple, geometry: Geometry) -> BoolArray:
    from scipy.ndimage import maximum_filter

    width_mm = np.array(size) * geometry.spacing_mm
    reach = (2 * np.ceil(_MARGIN_MM / width_mm).astype(int) + 1).tolist()
    return np.asarray(maximum_filter(cells, size=reach, mode="constant"))


def _triple(values: list[int]) -> Triple:
    i, j, k = values
    return i, j, k
