"""What a writer tells about the file it wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from voxloop.mesh.colour_scale import ColourScale
from voxloop.mesh.mesh import Mesh, VertexArray

__all__ = ["LPS_TO_WORLD", "Written", "in_lps_mm"]

LPS_TO_WORLD = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From LPS millimetres, as 3D Slicer writes them, to the scan's world; also the way back. Its
determinant is positive, so that faces keep their winding."""


@dataclass(frozen=True, eq=False)
class Written:
    """A file of surfaces and how to find its coordinates in the scan.

    Attributes:
        paths: the file, followed by those that belong to it (OBJ has its colours in another).
        format: e.g. `3MF`.
        unit: of the file's coordinates, `mm` or `m`.
        space: where the file's axes point to: `LPS`, or `Y up` in glTF's sense.
        to_world: (4, 4) from the file's coordinates to world millimetres, RAS+; read-only.
        parts: their names, in the order of the file.
        scale: the colours of values per vertex; None if the file shows none.
    """

    paths: tuple[Path, ...]
    format: str
    unit: str
    space: str
    to_world: npt.NDArray[np.float64]
    parts: tuple[str, ...]
    scale: ColourScale | None = None

    def __post_init__(self) -> None:
        to_world = np.array(self.to_world, dtype=np.float64)
        to_world.setflags(write=False)
        object.__setattr__(self, "to_world", to_world)


def in_lps_mm(mesh: Mesh) -> VertexArray:
    """Vertices (V, 3) with x and y negated."""
    return np.asarray(mesh.vertices_mm * np.diag(LPS_TO_WORLD)[:3])
