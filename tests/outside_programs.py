"""What programs nobody here wrote say about files of surfaces.

Each function raises `NotInstalledError` with the command that would install the program.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.mesh.mesh import Mesh
from voxloop.mesh.polydata import to_polydata
from voxloop.volume.geometry import Geometry

__all__ = [
    "NotInstalledError",
    "admesh_faults",
    "gltf_issues",
    "revoxelised",
    "slicer_objects",
    "slicer_warnings",
]

_TIMEOUT_S = 600

_VALIDATE = """
const validator = require('gltf-validator');
const bytes = new Uint8Array(require('fs').readFileSync(process.argv[1]));
validator.validateBytes(bytes).then(report => console.log(JSON.stringify(report.issues)));
"""

_TALK = re.compile(r"\[trace\]|^\d+ => |^Slicing result exported|^\s*$")
"""What the slicer says about its own progress."""


class NotInstalledError(Exception):
    """A program is absent; says how it is installed."""


def admesh_faults(path: Path) -> dict[str, int]:
    """What ADMesh would have to repair in an STL, by its own names; all 0 in a sound one."""
    said = _run("admesh", str(path), package="admesh")
    table, _, rest = said.partition("=== Processing Statistics")
    patterns = {
        "disconnected facets": (table, r"Total disconnected facets\s*:\s*(\d+)"),
        **{
            name.lower(): (rest, rf"{name}\s*:\s*(\d+)")
            for name in (
                "Degenerate facets", "Edges fixed", "Facets removed", "Facets added",
                "Facets reversed", "Backwards edges", "Normals fixed",
            )
        },
    }  # fmt: skip
    return {name: _number(pattern, text) for name, (text, pattern) in patterns.items()}


def slicer_objects(path: Path) -> list[dict[str, str]]:
    """What PrusaSlicer finds in a file, per object: `manifold`, `number_of_parts`, `volume` ..."""
    said = _run("prusa-slicer", "--info", str(path), package="prusa-slicer")
    objects: list[dict[str, str]] = []
    for line in said.splitlines():
        if line == f"[{path.name}]":
            objects.append({})
        elif objects and " = " in line:
            key, _, found = line.partition(" = ")
            objects[-1][key.strip()] = found.strip()
    return objects


def slicer_warnings(path: Path, gcode: Path) -> list[str]:
    """What PrusaSlicer says beside its progress when it slices a file; it must end well.

    On a raft and with supports, without which few organs could be printed as they lie.
    """
    said = _run(
        "prusa-slicer", "--support-material", "--raft-layers", "1", "--export-gcode",
        "--output", str(gcode), str(path), package="prusa-slicer",
    )  # fmt: skip
    return [line for line in said.splitlines() if not _TALK.search(line)]


def gltf_issues(path: Path) -> list[str]:
    """Errors, warnings and hints of Khronos' glTF validator, one text each."""
    install = "npm install --global gltf-validator"
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise NotInstalledError(f"{program} is not installed: apt-get install npm")
    said = _run("npm", "root", "--global", package="npm")
    folder = said.splitlines()[0].strip()  # before warnings of its own
    folders = [folder, *filter(None, [os.environ.get("NODE_PATH")])]
    environment = {**os.environ, "NODE_PATH": os.pathsep.join(folders)}
    found = subprocess.run(
        ["node", "-e", _VALIDATE, str(path)],
        capture_output=True, text=True, env=environment, timeout=_TIMEOUT_S, check=False,
    )  # fmt: skip
    if "Cannot find module" in found.stderr:
        raise NotInstalledError(f"gltf-validator is not installed: {install}")
    found.check_returncode()
    messages: list[dict[str, Any]] = json.loads(found.stdout)["messages"]
    return [f"{each['code']}: {each['message']}" for each in messages]


def revoxelised(mesh: Mesh, geometry: Geometry) -> npt.NDArray[np.bool_]:
    """Voxels whose centre lies inside a surface, by VTK's scan conversion."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkImagingStencil import vtkImageStencilToImage, vtkPolyDataToImageStencil

    i, j, k = geometry.shape
    stencil = vtkPolyDataToImageStencil()
    stencil.SetInputData(to_polydata(mesh.moved(geometry.to_voxel(mesh.vertices_mm))))
    stencil.SetOutputWholeExtent(0, i - 1, 0, j - 1, 0, k - 1)
    stencil.SetTolerance(0)
    image = vtkImageStencilToImage()
    image.SetInputConnection(stencil.GetOutputPort())
    image.SetInsideValue(1)
    image.SetOutsideValue(0)
    image.SetOutputScalarTypeToUnsignedChar()
    image.Update()
    flat = vtk_to_numpy(image.GetOutput().GetPointData().GetScalars())
    return np.asarray(flat.reshape(geometry.shape, order="F") > 0)


def _run(program: str, *arguments: str, package: str) -> str:
    if shutil.which(program) is None:
        raise NotInstalledError(f"{program} is not installed: apt-get install {package}")
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
    )
    return done.stdout + done.stderr


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"ADMesh printed no line that matches {pattern!r}")
    return int(found.group(1))
