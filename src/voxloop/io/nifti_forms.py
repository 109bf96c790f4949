"""Which of a NIfTI header's three ways to place its voxels holds, and whether they agree."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from voxloop.errors import DataError
from voxloop.io.fault import fault
from voxloop.volume.geometry import FloatArray

__all__ = ["find_affine", "forms_agree"]

_FORM_TOLERANCE_VOX = 0.25
"""A quaternion in single precision may displace the corner of a 500-voxel grid that is turned
by nearly 180 degrees by a tenth of a voxel; anything an annotation could show is more."""

_SPACING_TOLERANCE = 0.01
_MILLIMETRES_OR_UNSAID = (0, 2)
_SPATIAL_UNIT = 0b111


def find_affine(path: Path, header: Any, shape: tuple[int, int, int]) -> FloatArray:
    """Find the affine to RAS+ millimetres, if the header leaves no doubt about it.

    The sform holds where its code is set, else the qform. With neither code set the voxels lie
    at `pixdim` times the index, axes to the right, anterior and superior (method 1 of the
    NIfTI-1 standard); this is accepted only where the header holds no other transform.

    Args:
        path: for messages.
        header: nibabel's header, unchecked.
        shape: of the image.

    Raises:
        DataError: if spacings are not positive, units are not millimetres, a transform that
            counts is not valid, or two sources disagree.
    """
    _check_pixdim(path, header)
    if int(header["sform_code"]) <= 0 and int(header["qform_code"]) <= 0:
        return _by_pixdim(path, header)
    if int(header["sform_code"]) <= 0:
        return _qform(path, header)
    sform = np.asarray(header.get_sform(), dtype=float)
    if not np.isfinite(sform).all() or abs(np.linalg.det(sform[:3, :3])) < 1e-9:
        raise _bad_transform(path, "sform", sform)
    if int(header["qform_code"]) > 0:
        _check_agreement(path, header, sform, shape)
    _check_spacing(path, header, sform)
    return sform


def forms_agree(header: Any, shape: tuple[int, int, int]) -> bool:
    """Tell whether sform and qform place all corners alike, to a quarter of a voxel."""
    sform = np.asarray(header.get_sform(), dtype=float)
    qform = np.asarray(header.get_qform(), dtype=float)
    return bool(_corner_offset_mm(sform, qform, shape) <= _tolerance_mm(sform))


def _check_pixdim(path: Path, header: Any) -> None:
    spacing = np.asarray(header["pixdim"][1:4], dtype=float)
    if not np.isfinite(spacing).all() or spacing.min() <= 0:
        raise fault(
            path,
            "positive voxel spacings",
            f"pixdim {spacing.tolist()} mm",
            "find the true spacing and export the scan again",
        )
    if int(header["xyzt_units"]) & _SPATIAL_UNIT not in _MILLIMETRES_OR_UNSAID:
        raise fault(
            path,
            "spacings in millimetres",
            f"another unit (xyzt_units {int(header['xyzt_units'])})",
            "convert spacing and transforms to millimetres",
        )
    if abs(header["pixdim"][0]) != 1:
        header["pixdim"][0] = 1  # the standard reads any other handedness, 0 mostly, as 1


def _by_pixdim(path: Path, header: Any) -> FloatArray:
    affine = np.diag([*(float(mm) for mm in header["pixdim"][1:4]), 1.0])
    rows = np.array([header[f"srow_{axis}"] for axis in "xyz"], dtype=float)
    turns = [float(header[f"{name}"]) for name in ("quatern_b", "quatern_c", "quatern_d")]
    origin = [float(header[f"qoffset_{axis}"]) for axis in "xyz"]
    if np.any(turns) or np.any(origin) or (rows.any() and not np.allclose(rows, affine[:3])):
        raise fault(
            path,
            "a transform with its code set",
            "sform_code 0 and qform_code 0 beside a transform that is not plain scaling",
            "set sform_code to 1 if that transform is right, or clear it if it is not",
        )
    return affine


def _qform(path: Path, header: Any) -> FloatArray:
    from nibabel.spatialimages import HeaderDataError

    quaternion = [float(header[f"quatern_{letter}"]) for letter in "bcd"]
    try:
        qform = np.asarray(header.get_qform(), dtype=float)
    except (HeaderDataError, ValueError) as error:
        raise _bad_transform(path, "qform", quaternion) from error
    if not np.isfinite(qform).all():
        raise _bad_transform(path, "qform", quaternion)
    return qform


def _check_agreement(
    path: Path, header: Any, sform: FloatArray, shape: tuple[int, int, int]
) -> None:
    qform = _qform(path, header)
    offset_mm = _corner_offset_mm(sform, qform, shape)
    if offset_mm > _tolerance_mm(sform):
        raise fault(
            path,
            "sform and qform that place the voxels alike",
            f"sform (code {int(header['sform_code'])}) and qform (code "
            f"{int(header['qform_code'])}) whose corners lie {offset_mm:.3g} mm apart",
            "decide which is right and set the other one's code to 0, or export the scan again",
        )


def _check_spacing(path: Path, header: Any, sform: FloatArray) -> None:
    lengths = np.linalg.norm(sform[:3, :3], axis=0)
    spacing = np.asarray(header["pixdim"][1:4], dtype=float)
    if not np.allclose(lengths, spacing, rtol=_SPACING_TOLERANCE, atol=0):
        raise fault(
            path,
            f"an sform with the spacing that pixdim says, {spacing.round(4).tolist()} mm",
            f"one with {lengths.round(4).tolist()} mm",
            "find the true spacing and export the scan again",
        )


def _corner_offset_mm(a: FloatArray, b: FloatArray, shape: tuple[int, int, int]) -> float:
    corners = np.array(list(itertools.product(*((0, n - 1) for n in shape), (1,))), dtype=float)
    return float(np.linalg.norm((corners @ (a - b).T)[:, :3], axis=1).max())


def _tolerance_mm(affine: FloatArray) -> float:
    return _FORM_TOLERANCE_VOX * float(np.linalg.norm(affine[:3, :3], axis=0).min())


def _bad_transform(path: Path, name: str, values: Any) -> DataError:
    return fault(
        path,
        f"a finite, invertible {name}",
        f"{np.asarray(values).tolist()}",
        "export the scan again with a valid header",
    )
