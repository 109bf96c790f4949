"""Bring an array from one grid to another."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.volume.geometry import AFFINE_TOLERANCE_VOX, FloatArray, Geometry
from voxloop.volume.separable import axis_maps, resample_along_axes, smoothing_sigma

__all__ = ["resample_labels", "resample_linear"]


def resample_linear(
    array: npt.NDArray[np.float32], source: Geometry, target: Geometry
) -> npt.NDArray[np.float32]:
    """Sample an image at the voxel centres of `target` by trilinear interpolation.

    Where the target is coarser than the source the image is smoothed first, so that fine
    structure is averaged instead of being hit or missed. Outside the source its nearest voxel
    is continued. Grids that differ by the order and direction of their axes only exchange
    values exactly.

    Args:
        array: (I, J, K) on `source`.
        source: the grid of `array`.
        target: the wanted grid; may be rotated against the source.

    Returns:
        Array of the target's shape, float32.
    """
    array = np.asarray(array, dtype=np.float32)
    to_source = _target_to_source(source, target)
    reordered = _reordered(array, to_source, target.shape)
    if reordered is not None:
        return reordered
    maps = axis_maps(source, target)
    if maps is not None:
        return resample_along_axes(array, maps)
    return np.asarray(_resample(_smoothed(array, to_source), to_source, target, labels=False))


def resample_labels(
    array: npt.NDArray[np.uint8], source: Geometry, target: Geometry
) -> npt.NDArray[np.uint8]:
    """Sample a label map at the voxel centres of `target`, taking the nearest voxel's label.

    Args:
        array: (I, J, K) on `source`.
        source: the grid of `array`.
        target: the wanted grid.

    Returns:
        Array of the target's shape, uint8.
    """
    to_source = _target_to_source(source, target)
    reordered = _reordered(array, to_source, target.shape)
    if reordered is not None:
        return reordered
    return np.asarray(_resample(array, to_source, target, labels=True))


def _target_to_source(source: Geometry, target: Geometry) -> FloatArray:
    return np.asarray(np.linalg.inv(source.matrix) @ target.matrix)


def _reordered(
    array: npt.NDArray[Any], to_source: FloatArray, shape: tuple[int, int, int]
) -> npt.NDArray[Any] | None:
    """The array with axes reordered and reversed, if that alone leads to the target grid."""
    exact = np.rint(to_source)
    axes = np.abs(exact[:3, :3]).argmax(axis=0)
    is_permutation = sorted(axes) == [0, 1, 2] and np.abs(exact[:3, :3]).sum() == 3
    reach = np.abs(to_source - exact)[:3] @ np.array([*shape, 1.0])
    if not is_permutation or reach.max() > AFFINE_TOLERANCE_VOX:
        return None
    steps = exact[axes, [0, 1, 2]]
    starts = exact[axes, 3]
    expected = np.where(steps > 0, 0, np.array(array.shape)[axes] - 1)
    if tuple(np.array(array.shape)[axes]) != tuple(shape) or (starts != expected).any():
        return None
    turned = array.transpose(axes.tolist())
    directions = tuple(slice(None, None, int(step)) for step in steps)
    return np.ascontiguousarray(turned[directions])


def _smoothed(array: npt.NDArray[np.float32], to_source: FloatArray) -> npt.NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    sigma_vox = smoothing_sigma(to_source[:3, :3])
    if not sigma_vox.any():
        return array
    return np.asarray(gaussian_filter(array, sigma_vox, mode="nearest"))


def _resample(
    array: npt.NDArray[Any], to_source: FloatArray, target: Geometry, *, labels: bool
) -> npt.NDArray[Any]:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    # voxel indices of the source serve as ITK's world, so sheared grids need no exception
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(to_source[:3, :3].ravel().tolist())
    transform.SetTranslation(to_source[:3, 3].tolist())
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize(list(target.shape))
    resampler.SetTransform(transform)
    resampler.SetInterpolator(sitk.sitkNearestNeighbor if labels else sitk.sitkLinear)
    resampler.UseNearestNeighborExtrapolatorOn()
    resampled = sitk.GetArrayFromImage(resampler.Execute(image))
    return np.ascontiguousarray(resampled.transpose(2, 1, 0))
