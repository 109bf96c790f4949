"""NIfTI-1 and NIfTI-2 in one file, plain or gzipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from voxloop.compute.atomic import atomic_path
from voxloop.errors import DataError
from voxloop.io.fault import fault, geometry_of
from voxloop.io.inflate import GZIP_MAGIC, InflatingReader
from voxloop.io.nifti_forms import find_affine, forms_agree
from voxloop.io.payload import Header, Payload
from voxloop.volume.geometry import Geometry

__all__ = ["encode", "read_header", "write"]

_SIZES = {348: (b"n+1\0", 344), 540: (b"n+2\0", 4)}
"""Size of the header, as it says itself, to its magic bytes and where they are."""

_SCANNER = 1
_RE_EXPORT = "export the scan again as a 3D NIfTI file"


@np.errstate(invalid="ignore", over="ignore")  # odd NaNs are refused below, not warned about
def read_header(path: Path) -> Header:
    """Read and check the header of a NIfTI file; no voxel is touched.

    Raises:
        DataError: if this is not a sound header of one 3D image of real numbers, its
            transforms leave the grid in doubt, or the file is too short for it.
    """
    compressed = path.name.lower().endswith(".gz")
    block = _first_bytes(path, max(_SIZES), compressed=compressed)
    header = _parse(path, block)
    shape, dtype = _shape(path, header), _dtype(path, header)
    geometry = geometry_of(path, shape, find_affine(path, header, shape))
    payload = Payload(
        path, shape, dtype, skip=_voxel_offset(path, header, len(block)), compressed=compressed
    )
    slope, intercept = _scaling(path, header)
    return Header(geometry, payload, slope, intercept)


def write(path: Path, array: npt.NDArray[Any], geometry: Geometry) -> None:
    """Write a NIfTI-1 file atomically, sform and qform alike and of code 1 (scanner).

    A sheared grid has no qform; then its code is 0.

    Raises:
        StorageError: if the disk refuses.
    """
    image = _image(array, geometry)
    with atomic_path(path) as temporary:
        image.to_filename(temporary)


def encode(array: npt.NDArray[Any], geometry: Geometry) -> bytes:
    """The bytes of the file that `write` writes, not compressed."""
    return bytes(_image(array, geometry).to_bytes())


def _image(array: npt.NDArray[Any], geometry: Geometry) -> Any:
    import nibabel as nib  # costs a tenth of a second; most commands write nothing

    image = nib.Nifti1Image(array, geometry.matrix, dtype=array.dtype)
    image.header.set_xyzt_units("mm")
    image.set_sform(geometry.matrix, code=_SCANNER)
    image.set_qform(geometry.matrix, code=_SCANNER)
    if not forms_agree(image.header, geometry.shape):
        image.set_qform(None, code=0)
    return image


def _first_bytes(path: Path, count: int, *, compressed: bool) -> bytes:
    import zlib

    with path.open("rb") as handle:
        start = handle.read(4)
        is_gzip = start[:2] == GZIP_MAGIC
        handle.seek(0)
        if compressed and not is_gzip:
            if not _sizes_in(start) & set(_SIZES):
                raise fault(path, "a gzip file with a NIfTI header", "something else", _RE_EXPORT)
            raise fault(
                path, "a gzip file", "data that are not compressed", "rename it to end in .nii"
            )
        if is_gzip and not compressed:
            raise fault(path, "an uncompressed file", "gzip data", "rename it to end in .nii.gz")
        try:
            return _inflated(handle, count) if compressed else handle.read(count)
        except (EOFError, zlib.error) as error:
            raise fault(
                path,
                "a gzip file with a NIfTI header",
                "a stream that is cut off or corrupted within the header",
                "copy or export the file again",
            ) from error


def _inflated(handle: BinaryIO, count: int) -> bytes:
    reader, block = InflatingReader(handle), b""
    while len(block) < count and (piece := reader.read(count - len(block))):
        block += piece
    return block


def _sizes_in(block: bytes) -> set[int]:
    """What a file's first number says in either byte order."""
    return {int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big")}


def _parse(path: Path, block: bytes) -> Any:
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    size = next(iter(_sizes_in(block) & set(_SIZES)), 0)
    magic, position = _SIZES.get(size, (b"?", 0))
    if len(block) < size or block[position : position + 4] != magic:
        raise fault(
            path,
            "the header of a single-file NIfTI image",
            "something else (an Analyze or .hdr/.img pair, or no NIfTI file at all)",
            "convert it to .nii.gz with the program it came from",
        )
    kind: Any = Nifti1Header if size == 348 else Nifti2Header
    return kind(binaryblock=block[:size], check=False)


def _shape(path: Path, header: Any) -> tuple[int, int, int]:
    rank, *lengths = (int(n) for n in header["dim"])
    lengths = lengths[: max(rank, 0)]
    if not 1 <= rank <= 7 or min(lengths) < 1:
        raise fault(
            path,
            "1 to 7 positive axis lengths",
            f"dim {[int(n) for n in header['dim']]}",
            "the header is damaged; export the scan again",
        )
    if rank < 3 or any(n > 1 for n in lengths[3:]):
        raise fault(
            path,
            "a 3D image",
            f"a {rank}D one, {' x '.join(map(str, lengths))}",
            "save each channel or time point as a 3D file of its own"
            if rank > 3
            else "join the slices to a 3D image first",
        )
    return lengths[0], lengths[1], lengths[2]


def _dtype(path: Path, header: Any) -> np.dtype[Any]:
    from nibabel.spatialimages import HeaderDataError

    try:
        dtype = cast("np.dtype[Any]", header.get_data_dtype())
    except (HeaderDataError, KeyError):
        dtype = np.dtype("V")
    if dtype.kind in "iuf" and dtype.itemsize <= 8:
        return dtype
    names = {"c": "complex numbers", "V": "colours (RGB) or an unknown type"}
    raise fault(
        path,
        "voxels that are real numbers of up to 64 bits",
        f"{names.get(dtype.kind, str(dtype))} (datatype {int(header['datatype'])})",
        "save one real-valued component (grey values, magnitude or labels)",
    )


def _voxel_offset(path: Path, header: Any, read: int) -> int:
    offset = float(header["vox_offset"])
    # zero is what some writers mean by "right behind the header"
    least = 352 if header.sizeof_hdr == 348 else 544
    if offset == 0:
        return least
    if not np.isfinite(offset) or offset < min(read, least) or offset != int(offset):
        raise fault(path, f"voxels from byte {least} on", f"vox_offset {offset}", _RE_EXPORT)
    return int(offset)


def _scaling(path: Path, header: Any) -> tuple[float, float]:
    from nibabel.spatialimages import HeaderDataError

    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError as error:
        raise _bad_scaling(path, header) from error
    if slope is None and not np.isinf(header["scl_slope"]):
        return 1.0, 0.0  # zero or NaN: the standard's and nibabel's ways to say "no scaling"
    if slope is None or not np.isfinite([slope, intercept]).all():
        raise _bad_scaling(path, header)
    return float(slope), float(intercept)


def _bad_scaling(path: Path, header: Any) -> DataError:
    return fault(
        path,
        "finite scl_slope and scl_inter",
        f"{float(header['scl_slope'])} and {float(header['scl_inter'])}",
        _RE_EXPORT,
    )
