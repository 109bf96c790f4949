"""Resampling between grids whose axes run along each other, one axis at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from voxloop.volume.geometry import AFFINE_TOLERANCE_VOX, FloatArray, Geometry

__all__ = ["AxisMap", "axis_maps", "resample_along_axes", "smoothing_sigma"]

_ANTI_ALIAS = 0.42
"""Standard deviation of the smoothing, in new voxels: full width at half maximum of one voxel."""

_LEAST_SIGMA_VOX = 0.1
_CHUNK_VOX = 1 << 22
_WHOLE = 6
"""Decimals of a voxel kept of a place: rounding in an affine must not blur a shared axis."""

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class AxisMap:
    """How the values along one axis of a new grid are made of those along one of an old grid.

    Attributes:
        axis: the old grid's axis that the new one runs along.
        weights: (new, old) float32, none negative, each row summing to 1: every new value is a
            weighted mean of old ones.
    """

    axis: int
    weights: Float32Array

    @cached_property
    def is_identity(self) -> bool:
        """Whether values stay as and where they are."""
        new, old = self.weights.shape
        return new == old and bool((self.weights == np.eye(new, dtype=np.float32)).all())

    @cached_property
    def support(self) -> npt.NDArray[np.int64]:
        """(new, 2): first old value that counts for each new one, and one past the last."""
        counts = self.weights > 0
        first = counts.argmax(axis=1)
        last = counts.shape[1] - counts[:, ::-1].argmax(axis=1)
        return np.stack([first, last], axis=1)


def axis_maps(source: Geometry, target: Geometry) -> tuple[AxisMap, AxisMap, AxisMap] | None:
    """One map per axis of `target` that together bring an array there from `source`.

    Values are interpolated linearly between voxel centres; where the target is coarser, the
    source is smoothed first; outside it, its border is continued.

    Returns:
        The maps, in the order of the target's axes; None if the grids are turned against each
        other.
    """
    to_source = np.linalg.inv(source.matrix) @ target.matrix
    steps = to_source[:3, :3]
    axes = np.abs(steps).argmax(axis=0)
    if sorted(axes) != [0, 1, 2]:
        return None
    along = np.zeros((3, 3))
    along[axes, [0, 1, 2]] = steps[axes, [0, 1, 2]]
    if (np.abs(steps - along) @ np.array(target.shape)).max() > AFFINE_TOLERANCE_VOX:
        return None
    sigmas = smoothing_sigma(along)
    i, j, k = (
        _axis_map(
            int(axis),
            (float(to_source[axis, 3]), float(along[axis, new])),
            (target.shape[new], source.shape[axis]),
            float(sigmas[axis]),
        )
        for new, axis in enumerate(axes)
    )
    return i, j, k


def smoothing_sigma(steps: FloatArray) -> FloatArray:
    """Standard deviations along the old axes that keep a coarser grid from aliasing.

    Args:
        steps: (3, 3), the new axes' steps in old voxels, one per column.

    Returns:
        Three numbers in old voxels; all zero if the new grid is hardly coarser.
    """
    step_vox = np.abs(steps).max(axis=1)
    sigma_vox = np.sqrt(np.maximum(step_vox**2 - 1, 0)) * _ANTI_ALIAS
    return np.asarray(sigma_vox * (sigma_vox.max() >= _LEAST_SIGMA_VOX))


def resample_along_axes(
    array: npt.NDArray[np.generic],
    maps: tuple[AxisMap, AxisMap, AxisMap],
    change: Callable[[Float32Array], Float32Array] | None = None,
) -> Float32Array:
    """Bring an array to another grid in one pass over its voxels.

    Slab by slab along the axis that lies widest apart in memory, so that little more than the
    result is held.

    Args:
        array: (I, J, K) of any real type.
        maps: one per axis of the result.
        change: applied to the values before they are mixed; may write into what it gets.

    Returns:
        (I', J', K') float32.
    """
    turned = array.transpose([m.axis for m in maps])
    order = sorted(range(3), key=lambda a: -abs(turned.strides[a]))
    slow, middle, fast = (maps[a] for a in order)
    layers = turned.transpose(order)
    held = np.empty((layers.shape[0], len(middle.weights), len(fast.weights)), dtype=np.float32)
    step = max(1, _CHUNK_VOX // max(1, layers[0].size))
    for start in range(0, len(layers), step):
        slab = np.array(layers[start : start + step], dtype=np.float32, order="C")
        slab = slab if change is None else change(slab)
        held[start : start + step] = _mixed(_mixed(slab, fast, 2), middle, 1)
    mixed = _mixed(held, slow, 0)
    return np.ascontiguousarray(mixed.transpose(np.argsort(order)))


def _mixed(array: Float32Array, along: AxisMap, axis: int) -> Float32Array:
    if along.is_identity:
        return array
    if axis == 2:
        found = array.reshape(-1, array.shape[2]) @ along.weights.T
    elif axis == 1:
        found = np.matmul(along.weights, array)
    else:
        found = along.weights @ array.reshape(len(array), -1)
    shape = list(array.shape)
    shape[axis] = len(along.weights)
    return np.asarray(found.reshape(shape))


def _axis_map(
    axis: int, line: tuple[float, float], lengths: tuple[int, int], sigma_vox: float
) -> AxisMap:
    """Values at `start + step * n` for a `line` of (start, step), smoothed by `sigma_vox`."""
    start, step = line
    new, old = lengths
    places = np.round(start + step * np.arange(new), _WHOLE).clip(0, old - 1)
    before = np.minimum(places.astype(int), max(old - 2, 0))
    share = places - before
    weights = np.zeros((new, old))
    weights[np.arange(new), before] = 1 - share
    weights[np.arange(new), np.minimum(before + 1, old - 1)] += share
    if sigma_vox:
        from scipy.ndimage import gaussian_filter1d

        weights = weights @ gaussian_filter1d(np.eye(old), sigma_vox, axis=0, mode="nearest")
    return AxisMap(axis, weights.astype(np.float32))
