"""Which writer makes which kind of file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from voxloop.mesh.formats.glb import write_glb
from voxloop.mesh.formats.obj import write_obj
from voxloop.mesh.formats.ply import write_ply
from voxloop.mesh.formats.stl import write_stl
from voxloop.mesh.formats.threemf import write_3mf
from voxloop.mesh.formats.written import Written
from voxloop.mesh.part import Part

__all__ = ["WRITERS", "Writer"]

Writer = Callable[[Path, Sequence[Part]], Written]

WRITERS: Mapping[str, Writer] = MappingProxyType(
    {"stl": write_stl, "3mf": write_3mf, "obj": write_obj, "ply": write_ply, "glb": write_glb}
)
"""File suffix without its dot to writer."""
