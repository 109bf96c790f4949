"""Bring an array from one grid to another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from voxloop.volume.geometry import Geometry

__all__ = ["resample_labels", "resample_linear"]


def resample_linear(
    array: npt.NDArray[np.float32], source: Geometry, target: Geometry
) -> npt.NDArray[np.float32]:
    """Sample an image at the voxel centres of `target` by trilinear interpolation.

    Where the target is coarser than the source the image is smoothed first, so that fine
    structure is averaged instead of being hit or missed. Outside the source its nearest voxel
    is continued.

    Args:
        array: (I, J, K) on `source`.
        source: the grid of `array`.
        target: the wanted grid; may be rotated against the source.

    Returns:
        Array of the target's shape, float32.
    """
    if source == target:
        return np.asarray(array, dtype=np.float32)
    return np.asarray(_resample(_smoothed(array, source, target), source, target, labels=False))


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
    if source == target:
        return array
    return np.asarray(_resample(array, source, target, labels=True))


def _smoothed(
    array: npt.NDArray[np.float32], source: Geometry, target: Geometry
) -> npt.NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter  # heavy, and only coarser targets need it

    step_vox = np.abs(np.linalg.inv(source.matrix[:3, :3]) @ target.matrix[:3, :3]).max(axis=1)
    # the usual choice for halving: sigma of half a new voxel less half an old one, in quadrature
    sigma = np.sqrt(np.maximum(step_vox**2 - 1, 0)) * 0.42
    if sigma.max() < 0.1:
        return np.asarray(array, dtype=np.float32)
    return np.asarray(gaussian_filter(np.asarray(array, dtype=np.float32), sigma, mode="nearest"))


def _resample(
    array: npt.NDArray[np.generic], source: Geometry, target: Geometry, *, labels: bool
) -> npt.NDArray[np.generic]:
    import SimpleITK as sitk  # a third of a second to import; resampling is rare at start-up

    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    # voxel indices of the source serve as ITK's world: no direction matrix has to be orthogonal
    to_source = np.linalg.inv(source.matrix) @ target.matrix
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
