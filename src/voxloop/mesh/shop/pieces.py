"""The pieces of a surface that do not hang together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from voxloop.mesh.mesh import Mesh

__all__ = ["joined", "pieces"]


def pieces(mesh: Mesh) -> tuple[Mesh, ...]:
    """Take a surface apart; the largest piece by enclosed volume comes first.

    The wall of a cavity is a piece of its own, with a negative volume.
    """
    of_face = mesh.piece_of_face
    order = np.argsort(of_face, kind="stable")
    cuts = np.flatnonzero(np.diff(of_face[order])) + 1
    found = [_part(mesh, faces) for faces in np.split(order, cuts)]
    return tuple(sorted(found, key=lambda piece: -abs(piece.volume_mm3)))


def joined(parts: tuple[Mesh, ...]) -> Mesh:
    """Several surfaces that do not touch as one."""
    starts = np.cumsum([0, *(len(part.vertices_mm) for part in parts[:-1])])
    faces = [part.faces + start for part, start in zip(parts, starts, strict=True)]
    return Mesh(np.concatenate([part.vertices_mm for part in parts]), np.concatenate(faces))


def _part(mesh: Mesh, faces: npt.NDArray[np.int64]) -> Mesh:
    used, renumbered = np.unique(mesh.faces[faces], return_inverse=True)
    return Mesh(mesh.vertices_mm[used], renumbered.reshape(-1, 3).astype(np.int32))
