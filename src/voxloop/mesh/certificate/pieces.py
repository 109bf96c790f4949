"""The separate pieces of a surface, solid ones and cavities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.mesh.mesh import Mesh

__all__ = ["Pieces", "count_pieces", "piece_volumes_mm3"]


@dataclass(frozen=True, slots=True)
class Pieces:
    """How a structure falls apart.

    Attributes:
        solid: pieces that lie outside one another and would fall apart on a table.
        cavities: closed surfaces turned inwards, i.e. hollows without an opening.
        largest_percent: share of the largest solid piece in the volume of all.
        smallest_mm3: volume of the smallest solid piece.
    """

    solid: int
    cavities: int
    largest_percent: float
    smallest_mm3: float


def count_pieces(mesh: Mesh) -> Pieces:
    """Count the pieces of a closed surface, hollows apart."""
    volumes = piece_volumes_mm3(mesh)
    solid = volumes[volumes > 0]
    if not len(solid):
        return Pieces(0, len(volumes), 0.0, 0.0)
    return Pieces(
        solid=len(solid),
        cavities=len(volumes) - len(solid),
        largest_percent=float(100 * solid.max() / solid.sum()),
        smallest_mm3=float(solid.min()),
    )


def piece_volumes_mm3(mesh: Mesh) -> npt.NDArray[np.float64]:
    """Signed volume of each piece, numbered as in `Mesh.piece_of_face`; negative for cavities."""
    # about the mesh's own middle, far from which the digits of small pieces would cancel
    corner = mesh.vertices_mm[mesh.faces[:, 0]] - mesh.bounds_mm.mean(axis=0)
    heights = (corner * mesh.face_vectors_mm2).sum(axis=1) / 3
    return np.asarray(np.bincount(mesh.piece_of_face, heights), dtype=np.float64)
