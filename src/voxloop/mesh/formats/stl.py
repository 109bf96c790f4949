"""STL: triangles and nothing else, which every printer's software reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from voxloop.compute.atomic import write_bytes
from voxloop.mesh.formats.written import LPS_TO_WORLD, Written, in_lps_mm
from voxloop.mesh.part import Part, checked_parts

__all__ = ["STL_HEADER", "write_stl"]

STL_HEADER = b"Voxloop SPACE=LPS;UNIT=mm"
"""Says what the format cannot; must not begin with `solid`, which announces the text form."""

_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def write_stl(path: Path, parts: Sequence[Part]) -> Written:
    """Write a binary STL in LPS millimetres, as 3D Slicer does, atomically.

    The format has neither names nor colours, and several parts become one heap of triangles.

    Raises:
        UsageError: if there are no parts.
        StorageError: if the disk refuses; what was there before is unchanged.
    """
    chosen = checked_parts(parts)
    facets = [_facets(part) for part in chosen]
    count = np.array(sum(map(len, facets)), dtype="<u4")
    content = [STL_HEADER.ljust(80), count.tobytes(), *(each.tobytes() for each in facets)]
    write_bytes(path, b"".join(content))
    return Written((path,), "STL", "mm", "LPS", LPS_TO_WORLD, tuple(p.name for p in chosen))


def _facets(part: Part) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    facets = np.zeros(len(part.mesh.faces), dtype=_FACET)
    facets["corners"] = in_lps_mm(part.mesh)[part.mesh.faces]
    # of the corners as the file has them: a metre from the origin their rounding turns small facets
    first, second, third = np.moveaxis(facets["corners"].astype(np.float64), 1, 0)
    normals = np.cross(second - first, third - first)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    facets["normal"] = normals / np.maximum(lengths, np.finfo(float).tiny)
    return facets
