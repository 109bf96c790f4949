"""Vertices that files cannot tell apart."""

from __future__ import annotations

import numpy as np

from voxloop.mesh.mesh import Mesh

__all__ = ["coincident_vertices"]


def coincident_vertices(mesh: Mesh) -> int:
    """How many vertices have the place of another one, in the single precision of files.

    STL has no vertices of its own: its readers fuse corners of equal coordinates, so that
    sheets which merely touch there become a non-manifold, and triangles lines.
    """
    places = mesh.vertices_mm[mesh.used_vertices].astype(np.float32) + np.float32(0)
    bits = places.view(np.uint32).astype(np.uint64)
    # one number per place is sorted faster than three; equal numbers are looked at again
    factors = np.array(
        [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64
    )
    code = (bits * factors).sum(axis=1, dtype=np.uint64)
    order = np.argsort(code)
    same = code[order][1:] == code[order][:-1]
    alike = (places[order[1:][same]] == places[order[:-1][same]]).all(axis=1)
    return int(np.count_nonzero(alike))
