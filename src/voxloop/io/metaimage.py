"""The text header of MetaImage files, attached (.mha) or detached (.mhd)."""

from __future__ import annotations

from pathlib import Path

from voxloop.io.contained import contained_path
from voxloop.io.fault import fault
from voxloop.io.payload import Payload
from voxloop.io.text_header import FieldReader, check_spatial, dtype_by_name, header_lines

__all__ = ["read_payload_header"]

_TYPES = {
    "i1": ("MET_CHAR",),
    "u1": ("MET_UCHAR",),
    "i2": ("MET_SHORT",),
    "u2": ("MET_USHORT",),
    "i4": ("MET_INT", "MET_LONG"),
    "u4": ("MET_UINT", "MET_ULONG"),
    "i8": ("MET_LONG_LONG",),
    "u8": ("MET_ULONG_LONG",),
    "f4": ("MET_FLOAT",),
    "f8": ("MET_DOUBLE",),
}
"""A "long" has four bytes whatever the machine, as MetaIO has it."""


def read_payload_header(path: Path) -> Payload:
    """Read where and how a MetaImage holds its voxels, and check what can be seen in its text.

    Raises:
        DataError: if it is not one 3D image of real numbers with a spacing, binary, in this
            folder.
    """
    reader, offset = _fields(path)
    sizes = reader.lengths("DimSize")
    channels = reader.fields.get("ElementNumberOfChannels", "1")
    if channels != "1" or "ARRAY" in reader.fields.get("ElementType", ""):
        raise fault(
            path,
            "one real number per voxel",
            f"{channels} channels (colours, complex numbers or vectors)",
            "save one real-valued component (grey values, magnitude or labels)",
        )
    shape = check_spatial(path, sizes)
    if not _true(reader, "BinaryData", default=True):
        raise reader.bad("binary voxels", "text (BinaryData = False)")
    reader.text("ElementSpacing")
    msb = (
        "BinaryDataByteOrderMSB"
        if "BinaryDataByteOrderMSB" in reader.fields
        else ("ElementByteOrderMSB")
    )
    dtype = dtype_by_name(
        reader, "ElementType", _TYPES, big_endian=_true(reader, msb, default=False)
    )
    compressed = _true(reader, "CompressedData", default=False)
    data_file = reader.text("ElementDataFile")
    if data_file.upper() not in {"LOCAL", "(LOCAL)"}:
        path, offset = _detached(path, data_file), 0
    return Payload(path, shape, dtype, offset + _header_size(reader), compressed=compressed)


def _fields(path: Path) -> tuple[FieldReader, int]:
    fields: dict[str, str] = {}
    for line, following in header_lines(path):
        name, equals, value = line.partition("=")
        if not equals:
            raise fault(
                path, "a MetaImage header", f"{line[:20]!r}", "check what kind of file it is"
            )
        fields[name.strip()] = value.strip()
        if name.strip() == "ElementDataFile":
            return FieldReader(path, fields), following
    raise fault(path, "a MetaImage header", "no ElementDataFile", "copy the file again")


def _true(reader: FieldReader, name: str, *, default: bool) -> bool:
    return reader.fields.get(name, str(default)).lower() in {"true", "t", "1", "yes"}


def _detached(path: Path, name: str) -> Path:
    if name.upper().startswith("LIST") or "%" in name:
        raise fault(
            path,
            "one file of voxels",
            f"a series of files, {name!r}",
            "save the image as a single .mha file",
        )
    return contained_path(path, name)


def _header_size(reader: FieldReader) -> int:
    size = reader.fields.get("HeaderSize", "0")
    if not size.isdecimal():
        raise reader.bad("a header size in bytes", f"HeaderSize {size}")
    return int(size)
