"""3MF: what slicers read best; it knows millimetres, names, colours and several parts."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from voxloop.compute.atomic import atomic_path
from voxloop.mesh.formats.rows import text_rows
from voxloop.mesh.formats.written import LPS_TO_WORLD, Written, in_lps_mm
from voxloop.mesh.part import Part, checked_parts

__all__ = ["write_3mf"]

_CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_MODEL = "3D/3dmodel.model"
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'

_CONTENT_TYPES = (
    f'{_XML}<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="model" '
    'ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/></Types>'
)
_RELATIONSHIPS = (
    f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="model" '
    f'Target="/{_MODEL}" Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/>'
    "</Relationships>"
)

_MATERIALS_ID = 1
_NOTE = "Millimetres of the scan's space, axes towards left, posterior, superior (LPS)."


def write_3mf(path: Path, parts: Sequence[Part]) -> Written:
    """Write a 3MF package (core specification 1.4) in LPS millimetres, atomically.

    Every part is an object with its name and colour. Several parts are components of one
    object, so that a slicer keeps them where they lie to each other.

    Raises:
        UsageError: if there are no parts.
        StorageError: if the disk refuses; what was there before is unchanged.
    """
    chosen = checked_parts(parts)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as package:
        package.writestr(_entry("[Content_Types].xml"), _CONTENT_TYPES)
        package.writestr(_entry("_rels/.rels"), _RELATIONSHIPS)
        with package.open(_entry(_MODEL), "w", force_zip64=True) as model:
            for chunk in _model(chosen):
                model.write(chunk)
    return Written((path,), "3MF", "mm", "LPS", LPS_TO_WORLD, tuple(p.name for p in chosen))


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)  # of 1980: the same surfaces give the same bytes
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _model(parts: tuple[Part, ...]) -> Iterator[bytes]:
    yield (
        f'{_XML}<model unit="millimeter" xml:lang="en-US" xmlns="{_CORE}">\n'
        '<metadata name="Application">Voxloop</metadata>\n'
        f'<metadata name="Description">{escape(_NOTE)}</metadata>\n'
        f'<resources>\n<basematerials id="{_MATERIALS_ID}">\n'
    ).encode()
    for part in parts:
        colour = "#" + "".join(f"{level:02X}" for level in part.colour)
        yield f'<base name={quoteattr(part.name)} displaycolor="{colour}"/>\n'.encode()
    yield b"</basematerials>\n"
    numbers = range(_MATERIALS_ID + 1, _MATERIALS_ID + 1 + len(parts))
    for number, part in zip(numbers, parts, strict=True):
        yield from _object(number, part)
    built = numbers[0]
    if len(parts) > 1:
        built = numbers[-1] + 1
        components = "".join(f'<component objectid="{number}"/>\n' for number in numbers)
        yield (
            f'<object id="{built}" type="model" name="all parts">\n'
            f"<components>\n{components}</components>\n</object>\n"
        ).encode()
    yield f'</resources>\n<build>\n<item objectid="{built}"/>\n</build>\n</model>\n'.encode()


def _object(number: int, part: Part) -> Iterator[bytes]:
    material = number - _MATERIALS_ID - 1
    yield (
        f'<object id="{number}" type="model" name={quoteattr(part.name)} '
        f'pid="{_MATERIALS_ID}" pindex="{material}">\n<mesh>\n<vertices>\n'
    ).encode()
    yield from text_rows('<vertex x="%.6f" y="%.6f" z="%.6f"/>\n', in_lps_mm(part.mesh))
    yield b"</vertices>\n<triangles>\n"
    yield from text_rows('<triangle v1="%d" v2="%d" v3="%d"/>\n', part.mesh.faces)
    yield b"</triangles>\n</mesh>\n</object>\n"
