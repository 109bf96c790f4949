"""Surfaces as files for printers and viewers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from voxloop.compute.atomic import write_bytes
from voxloop.mesh.mesh import Mesh

__all__ = ["STL_HEADER", "stl_bytes", "write_stl"]

STL_HEADER = b"Voxloop SPACE=LPS;UNIT=mm"
"""Says what the format cannot; must not begin with `solid`, which announces the text form."""

_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def write_stl(path: Path, mesh: Mesh) -> None:
    """Write a binary STL in LPS millimetres, as 3D Slicer does, atomically.

    Raises:
        StorageError: if the disk refuses; what was there before is unchanged.
    """
    write_bytes(path, stl_bytes(mesh))


def stl_bytes(mesh: Mesh) -> bytes:
    """The content of a binary STL file: x and y negated (RAS to LPS), which keeps the winding."""
    lps = np.array([-1.0, -1.0, 1.0])
    areas = mesh.face_vectors_mm2 * lps
    lengths = np.linalg.norm(areas, axis=1, keepdims=True)
    facets = np.zeros(len(mesh.faces), dtype=_FACET)
    facets["normal"] = areas / np.maximum(lengths, np.finfo(float).tiny)
    facets["corners"] = (mesh.vertices_mm * lps)[mesh.faces]
    count = np.array(len(facets), dtype="<u4")
    return STL_HEADER.ljust(80) + count.tobytes() + facets.tobytes()
