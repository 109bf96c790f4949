"""NRRD and MetaImage by way of ITK, whose world axes point left, posterior, superior (LPS)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.compute.atomic import atomic_path
from voxloop.errors import StorageError, UsageError
from voxloop.io import metaimage, nrrd
from voxloop.io.fault import fault, geometry_of
from voxloop.io.payload import Header, Payload
from voxloop.volume.geometry import Geometry

__all__ = ["read_metaimage_header", "read_nrrd_header", "write"]

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
_DETACHED = (".nhdr", ".mhd")


def read_nrrd_header(path: Path) -> Header:
    """Read and check the header of a NRRD file; no voxel is touched.

    Raises:
        DataError: if it is not one 3D image of real numbers with a certain place in a patient,
            or the file is too short for it.
    """
    payload = nrrd.read_payload_header(path)
    return Header(_geometry(path, "NrrdImageIO", payload), payload)


def read_metaimage_header(path: Path) -> Header:
    """Read and check the header of a MetaImage; no voxel is touched.

    Raises:
        DataError: as `read_nrrd_header`.
    """
    payload = metaimage.read_payload_header(path)
    return Header(_geometry(path, "MetaImageIO", payload), payload)


def write(path: Path, array: npt.NDArray[Any], geometry: Geometry) -> None:
    """Write a compressed .nrrd or .mha file atomically.

    Raises:
        UsageError: for a format of two files, which cannot be written at once.
        StorageError: if the disk refuses.
    """
    import SimpleITK as sitk  # a third of a second to import

    if path.suffix.lower() in _DETACHED:
        raise UsageError(f"cannot write {path}: header and voxels apart; use .nrrd or .mha")
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    directions = geometry.matrix[:3, :3] / geometry.spacing_mm
    image.SetSpacing(geometry.spacing_mm)
    image.SetDirection((_LPS_TO_RAS @ directions).ravel().tolist())
    image.SetOrigin((_LPS_TO_RAS @ geometry.matrix[:3, 3]).tolist())
    with atomic_path(path) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True)
        except RuntimeError as error:  # how ITK reports whatever the disk refuses
            raise StorageError(f"cannot write {path}: {_last_line(error)}") from error


def _geometry(path: Path, image_io: str, payload: Payload) -> Geometry:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(image_io)  # never let the content choose another reader
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise fault(
            path,
            "a header that ITK understands",
            _last_line(error),
            "export the scan again with a valid header",
        ) from error
    rank = reader.GetDimension()
    spacing = np.array(reader.GetSpacing()[:3])
    if tuple(reader.GetSize()[:3]) != payload.shape:
        raise fault(
            path,
            f"one image of shape {payload.shape}",
            f"a header that can also be read as {tuple(reader.GetSize())}",
            "export the scan again with a valid header",
        )
    if not np.isfinite(spacing).all() or spacing.min() <= 0:
        raise fault(
            path,
            "positive voxel spacings",
            f"{spacing.tolist()} mm",
            "find the true spacing and export the scan again",
        )
    directions = np.reshape(reader.GetDirection(), (rank, rank))[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = _LPS_TO_RAS @ directions * spacing
    affine[:3, 3] = _LPS_TO_RAS @ reader.GetOrigin()[:3]
    return geometry_of(path, payload.shape, affine)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
