"""The text header of NRRD files, attached (.nrrd) or detached (.nhdr)."""

from __future__ import annotations

from pathlib import Path

from voxloop.io.contained import contained_path
from voxloop.io.fault import fault
from voxloop.io.payload import Payload
from voxloop.io.text_header import FieldReader, check_spatial, dtype_by_name, header_lines

__all__ = ["read_payload_header"]

_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long",
           "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}  # fmt: skip

_SPACES = frozenset(
    {"left-posterior-superior", "lps", "right-anterior-superior", "ras",
     "left-anterior-superior", "las"}
)  # fmt: skip
_SPATIAL_KINDS = frozenset({"domain", "space", "???", "none"})
_COLOUR_KINDS = ("color", "complex", "vector", "quaternion", "matrix")


def read_payload_header(path: Path) -> Payload:
    """Read where and how a NRRD file holds its voxels, and check what can be seen in its text.

    Raises:
        DataError: if it is not one 3D image of real numbers in a patient space, in an encoding
            that is supported, in this folder.
    """
    reader, offset = _fields(path)
    _check_space(reader)
    sizes = reader.lengths("sizes")
    _check_kinds(reader, sizes)
    shape = check_spatial(path, sizes)
    endian = reader.fields.get("endian", "")
    dtype = dtype_by_name(reader, "type", _TYPES, big_endian=endian == "big")
    if dtype.itemsize > 1 and endian not in {"little", "big"}:
        raise reader.bad("the byte order, 'endian: little' or 'endian: big'", repr(endian))
    encoding = reader.text("encoding").lower()
    if encoding not in {"raw", "gzip", "gz"}:
        raise reader.bad("the encoding 'raw' or 'gzip'", repr(encoding))
    data_file = reader.fields.get("data file", reader.fields.get("datafile"))
    if data_file is not None:
        path, offset = contained_path(path, data_file), 0
    skip = _byte_skip(reader)
    return Payload(path, shape, dtype, offset, skip, compressed=encoding != "raw")


def _fields(path: Path) -> tuple[FieldReader, int]:
    fields: dict[str, str] = {}
    end = 0
    for number, (line, following) in enumerate(header_lines(path)):
        if number == 0 and not line.startswith("NRRD000"):
            raise fault(path, "a NRRD header", f"{line[:20]!r}", "check what kind of file it is")
        end = following
        if not line:
            break
        name, colon, value = line.partition(": ")
        if colon and not line.startswith("#") and ":=" not in name:
            fields[name.lower()] = value.strip()
    return FieldReader(path, fields), end


def _check_space(reader: FieldReader) -> None:
    space = reader.fields.get("space", "none").lower()
    if space not in _SPACES:
        raise reader.bad("a space that names the patient's sides, e.g. LPS or RAS", f"{space!r}")
    for field in ("space directions", "space origin"):
        reader.text(field)
    units = set(reader.fields.get("space units", '"mm"').replace('"', " ").split())
    if units - {"mm", "millimeter", "millimeters", "millimetre"}:
        raise reader.bad("space units of mm", f"{sorted(units)}")


def _check_kinds(reader: FieldReader, sizes: tuple[int, ...]) -> None:
    kinds = reader.fields.get("kinds", "").lower().split() or ["domain"] * len(sizes)
    for kind, size in zip(kinds, sizes, strict=False):
        if size > 1 and any(word in kind for word in _COLOUR_KINDS):
            raise fault(
                reader.path,
                "one real number per voxel",
                f"an axis of kind {kind!r}",
                "save one real-valued component (grey values, magnitude or labels)",
            )
        if kind not in _SPATIAL_KINDS and len(sizes) <= 3:
            raise reader.bad("three spatial axes", f"an axis of kind {kind!r}")


def _byte_skip(reader: FieldReader) -> int:
    lines = reader.fields.get("line skip", reader.fields.get("lineskip", "0"))
    skip = reader.fields.get("byte skip", reader.fields.get("byteskip", "0"))
    if lines != "0" or not skip.isdecimal():
        raise reader.bad("voxels at a plain byte offset", f"line skip {lines}, byte skip {skip}")
    return int(skip)
