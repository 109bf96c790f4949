"""Surfaces that were made of a workspace's cases and lie in its folder for them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxloop.errors import DataError
from voxloop.mesh.formats.names import file_stems
from voxloop.workspace.documents import read_document
from voxloop.workspace.workspace import Workspace

__all__ = ["CaseMesh", "meshes_of"]


@dataclass(frozen=True)
class CaseMesh:
    """One label's surface.

    Attributes:
        label: its name.
        colour: as `#rrggbb`.
        file: STL, in world millimetres.
        passed: what its certificate says; None without one.
        volume_ml: that the surface encloses; None without a certificate.
    """

    label: str
    colour: str
    file: Path
    passed: bool | None
    volume_ml: float | None


def meshes_of(workspace: Workspace, case_id: str) -> tuple[CaseMesh, ...]:
    """The surfaces of a case, as `voxloop mesh` writes them, in the order of the label table."""
    folder, table = workspace.layout.meshes, workspace.labels
    certificates = _certificates(folder / f"{case_id}_certificates.json")
    names = [name for name in table.by_name if name in certificates] or list(table.by_name)
    found = []
    for name, stem in zip(names, file_stems(names), strict=True):
        file = folder / f"{case_id}_{stem}.stl"
        if file.is_file():
            said = certificates.get(name, {})
            colour = table.colour(table.by_name[name])
            found.append(CaseMesh(name, colour, file, said.get("passed"), said.get("volume_ml")))
    return tuple(found)


def _certificates(path: Path) -> Mapping[str, Mapping[str, Any]]:
    with contextlib.suppress(DataError, KeyError, TypeError):
        return {str(said["name"]): said for said in read_document(path)}
    return {}
