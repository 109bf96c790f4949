"""OBJ with MTL: text that every modelling program reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from voxloop.compute.atomic import atomic_path, write_text
from voxloop.mesh.colour_scale import ColourScale
from voxloop.mesh.formats.names import file_stems
from voxloop.mesh.formats.rows import text_rows
from voxloop.mesh.formats.written import LPS_TO_WORLD, Written, in_lps_mm
from voxloop.mesh.part import Part, checked_parts

__all__ = ["write_obj"]

_HEADER = "# Voxloop surfaces: SPACE=LPS (left, posterior, superior), UNIT=mm\n"


def write_obj(path: Path, parts: Sequence[Part]) -> Written:
    """Write an OBJ in LPS millimetres and beside it the MTL with its colours, atomically each.

    Every part is an object (`o`) with its name and a material with its colour. Where a part has
    values per vertex, its vertices carry their colours behind the coordinates, as many programs
    read them.

    Raises:
        UsageError: if there are no parts.
        StorageError: if the disk refuses; what was there before is unchanged.
    """
    chosen = checked_parts(parts)
    colours = path.with_suffix(".mtl")
    scale = ColourScale.of_parts(chosen)
    materials = [f"part{n}-{stem}" for n, stem in enumerate(file_stems([p.name for p in chosen]))]
    write_text(colours, _HEADER + "".join(map(_material, materials, chosen)))
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        handle.write(f"{_HEADER}mtllib {colours.name}\n".encode())
        before = 1  # the format counts from one
        for material, part in zip(materials, chosen, strict=True):
            handle.writelines(_object(part, material, before, scale))
            before += len(part.mesh.vertices_mm)
    names = tuple(part.name for part in chosen)
    return Written((path, colours), "OBJ", "mm", "LPS", LPS_TO_WORLD, names, scale)


def _object(part: Part, material: str, before: int, scale: ColourScale | None) -> Iterator[bytes]:
    # a backslash at its end would join the next line to this one
    yield f"o {part.name.replace(chr(92), '/')}\nusemtl {material}\n".encode()
    vertices = in_lps_mm(part.mesh)
    if scale is None or part.values is None:
        yield from text_rows("v %.6f %.6f %.6f\n", vertices)
    else:
        table = np.hstack([vertices, scale.rgb(part.values) / 255])
        yield from text_rows("v %.6f %.6f %.6f %.4f %.4f %.4f\n", table)
    yield from text_rows("f %d %d %d\n", part.mesh.faces.astype(np.int64) + before)


def _material(name: str, part: Part) -> str:
    # programs that show both multiply a vertex's colour by the material's
    colour = part.colour if part.values is None else (255, 255, 255)
    levels = " ".join(f"{level / 255:.4f}" for level in colour)
    return f"newmtl {name}\nKa {levels}\nKd {levels}\nKs 0 0 0\nd 1\nillum 1\n"
