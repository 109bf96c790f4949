"""The surfaces between all labels of a map together: one set of vertices and triangles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.errors import DataError, Problem
from voxloop.mesh.mesh import FaceArray, Mesh, VertexArray

__all__ = ["Interfaces", "SideArray"]

SideArray = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Interfaces:
    """Triangles that each separate two labels, so that touching labels share them exactly.

    The arrays are taken as they are, without a copy, and made read-only: a whole-body map has
    millions of triangles.

    Attributes:
        vertices_mm: (V, 3) finite positions in world millimetres, RAS+.
        faces: (F, 3) int32 indices into the vertices, F may be 0.
        sides: (F, 2) labels behind the face (against its normal) and in front of it, the higher
            value behind; 0 is outside of all labels.

    Raises:
        DataError: if shapes disagree, a position is not finite, an index points nowhere, or a
            face has not the higher label behind it.
    """

    vertices_mm: VertexArray
    faces: FaceArray
    sides: SideArray

    def __post_init__(self) -> None:
        vertices = np.asarray(self.vertices_mm, dtype=np.float64)
        faces = np.asarray(self.faces, dtype=np.int32)
        sides = np.asarray(self.sides, dtype=np.uint8)
        if vertices.ndim != 2 or vertices.shape[1] != 3 or not np.isfinite(vertices).all():
            raise _bad("finite vertices of shape (V, 3)", f"shape {vertices.shape}")
        if faces.ndim != 2 or faces.shape[1] != 3 or sides.shape != (len(faces), 2):
            raise _bad("faces (F, 3) and sides (F, 2)", f"shapes {faces.shape}, {sides.shape}")
        if faces.size and not 0 <= faces.min() <= faces.max() < len(vertices):
            raise _bad(f"indices below {len(vertices)}", f"{faces.min()} to {faces.max()}")
        if (sides[:, 0] <= sides[:, 1]).any():
            raise _bad("the higher label behind each face", "a face with the lower one behind")
        for name, array in (("vertices_mm", vertices), ("faces", faces), ("sides", sides)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def values(self) -> tuple[int, ...]:
        """Labels that have a surface, ascending, without the outside."""
        found = np.flatnonzero(np.bincount(self.sides.ravel(), minlength=256))
        return tuple(int(value) for value in found if value)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Labels that touch, as (behind, in front), ascending; 0 is the outside."""
        codes = np.flatnonzero(np.bincount(self.pair_codes, minlength=1))
        return tuple((int(code) >> 8, int(code) & 255) for code in codes)

    @property
    def pair_codes(self) -> npt.NDArray[np.int64]:
        """Per face (F,) one number for its two labels, 256 behind + in front."""
        return self.sides[:, 0].astype(np.int64) << 8 | self.sides[:, 1]

    def moved(self, vertices_mm: VertexArray) -> Interfaces:
        """The same triangles with their vertices at other positions (V, 3)."""
        return Interfaces(vertices_mm, self.faces, self.sides)

    def surface(self, value: int) -> Mesh:
        """One label's closed surface; faces that have it in front are turned.

        Raises:
            DataError: if no face has the label.
        """
        behind, before = self.sides[:, 0] == value, self.sides[:, 1] == value
        faces = np.concatenate([self.faces[behind], self.faces[before][:, ::-1]])
        if not len(faces):
            raise DataError(
                Problem(
                    "interfaces",
                    f"faces of label {value}",
                    f"none; present are {', '.join(map(str, self.values)) or 'no labels at all'}",
                    "choose a label that is present",
                )
            )
        used = np.zeros(len(self.vertices_mm), dtype=bool)
        used[faces] = True
        number = np.cumsum(used, dtype=np.int32) - 1
        return Mesh(self.vertices_mm[used], number[faces])


def _bad(expected: str, found: str) -> DataError:
    return DataError(Problem("interfaces", expected, found, "extract the surfaces again"))
