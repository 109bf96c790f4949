"""PLY: colours and values per vertex."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.compute.atomic import write_bytes
from voxloop.mesh.colour_scale import ColourScale
from voxloop.mesh.formats.written import LPS_TO_WORLD, Written, in_lps_mm
from voxloop.mesh.part import Part, checked_parts

__all__ = ["write_ply"]

_TYPES = {"<f4": "float", "|u1": "uchar", "<u2": "ushort"}
_PLAIN = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"),
          ("red", "|u1"), ("green", "|u1"), ("blue", "|u1"), ("part", "<u2")]  # fmt: skip
_FACE = np.dtype([("count", "u1"), ("corners", "<i4", 3)])


def write_ply(path: Path, parts: Sequence[Part]) -> Written:
    """Write a binary little-endian PLY in LPS millimetres, atomically.

    Vertices carry red, green, blue, the number of their part from 0 (its name stands in a
    comment), and, if any part has values, `value_mm`; NaN in parts without.

    Raises:
        UsageError: if there are no parts.
        StorageError: if the disk refuses; what was there before is unchanged.
    """
    chosen = checked_parts(parts)
    scale = ColourScale.of_parts(chosen)
    vertices = np.concatenate([_vertices(n, part, scale) for n, part in enumerate(chosen)])
    faces = np.zeros(sum(len(part.mesh.faces) for part in chosen), dtype=_FACE)
    faces["count"] = 3
    starts = np.cumsum([0, *(len(part.mesh.vertices_mm) for part in chosen)])
    faces["corners"] = np.concatenate(
        [part.mesh.faces + start for part, start in zip(chosen, starts, strict=False)]
    )
    header = _header(chosen, vertices.dtype, len(vertices), len(faces), scale)
    write_bytes(path, header + vertices.tobytes() + faces.tobytes())
    names = tuple(part.name for part in chosen)
    return Written((path,), "PLY", "mm", "LPS", LPS_TO_WORLD, names, scale)


def _vertices(number: int, part: Part, scale: ColourScale | None) -> npt.NDArray[Any]:
    fields = _PLAIN if scale is None else [*_PLAIN, ("value_mm", "<f4")]
    table = np.zeros(len(part.mesh.vertices_mm), dtype=fields)
    for axis, column in zip("xyz", in_lps_mm(part.mesh).T, strict=True):
        table[axis] = column
    colours = np.tile(np.array(part.colour, dtype=np.uint8), (len(table), 1))
    if scale is not None and part.values is not None:
        colours = scale.rgb(part.values)
    for channel, column in zip(("red", "green", "blue"), colours.T, strict=True):
        table[channel] = column
    table["part"] = number
    if scale is not None:
        table["value_mm"] = np.nan if part.values is None else part.values
    return table


def _header(
    parts: tuple[Part, ...],
    fields: np.dtype[Any],
    vertices: int,
    faces: int,
    scale: ColourScale | None,
) -> bytes:
    lines = ["ply", "format binary_little_endian 1.0", "comment Voxloop SPACE=LPS UNIT=mm"]
    lines += [f"comment part {number} {part.name}" for number, part in enumerate(parts)]
    if scale is not None:
        lines.append(f"comment colours from {scale.low_mm:.6g} to {scale.high_mm:.6g} mm")
    lines.append(f"element vertex {vertices}")
    lines += [f"property {_TYPES[fields[name].str]} {name}" for name in fields.names or ()]
    lines += [f"element face {faces}", "property list uchar int vertex_indices", "end_header\n"]
    # readers take the header for ASCII
    return "\n".join(lines).encode("ascii", "backslashreplace")
