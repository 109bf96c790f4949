"""Have surfaces of a label map checked by programs nobody here wrote.

    python benchmarks/mesh/outside.py LABELMAP [LABELMAP ...] > benchmarks/results/mesh_outside.json

Without arguments it takes two touching ellipsoids. ADMesh reads every label's STL; PrusaSlicer
reads and slices every STL and a 3MF of all labels, on a raft and with supports; Khronos' glTF
validator reads a GLB; VTK turns every surface back into voxels, whose Dice against the label map is
given. Programs that are absent are named with the command that installs them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import outside_programs as outside
from phantoms import ellipsoid_mask, oblique_geometry
from provenance import provenance
from voxloop.dataset.tables import label_table_for
from voxloop.io.formats import read_label_map
from voxloop.mesh.formats.names import file_stems
from voxloop.mesh.formats.writers import WRITERS
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.part import Part
from voxloop.mesh.surfaces import mesh_labels
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap


def main() -> None:
    """Check every label map and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("label_map", type=Path, nargs="*")
    paths: list[Path] = parser.parse_args().label_map
    with tempfile.TemporaryDirectory() as folder:
        cases = {path.name: read(path) for path in paths} or {"two ellipsoids": ellipsoids()}
        found = {name: check(labels, Path(folder)) for name, labels in cases.items()}
    print(json.dumps({**provenance(__file__), "label_maps": found}, indent=2, ensure_ascii=False))


def read(path: Path) -> LabelMap:
    """A label map from a file, its labels numbered where no table lies beside it."""
    table, ignore_value = label_table_for([path], None)
    return read_label_map(path, table, ignore_value=ignore_value)


def ellipsoids() -> LabelMap:
    """Two structures that touch, on an oblique grid."""
    geometry = oblique_geometry((40, 36, 24), (0.9, 1.1, 1.6))
    one = ellipsoid_mask(geometry, (10.0, 12.0, 13.0))
    other = ellipsoid_mask(geometry, (5.0, 5.0, 5.0), offset_mm=(9.0, 3.0, 0.0))
    array = np.where(other, 2, one).astype(np.uint8)
    return LabelMap(array, geometry, LabelTable.from_names("one", "other"))


def check(labels: LabelMap, folder: Path) -> dict[str, Any]:
    """Everything that is said about one label map's surfaces."""
    made = mesh_labels(labels)
    parts = [Part.of_label(mesh, labels.labels, value) for value, mesh in made.surfaces.items()]
    said: dict[str, Any] = {}
    stems = file_stems([part.name for part in parts])
    for part, stem, value in zip(parts, stems, made.surfaces, strict=True):
        path = WRITERS["stl"](folder / f"{stem}.stl", [part]).paths[0]
        said[part.name] = {
            "triangles": len(part.mesh.faces),
            "certificate": list(made.certificates[value].reasons) or "passed",
            "dice_revoxelised": dice(labels, part.mesh, value),
            "admesh": asked(outside.admesh_faults, path),
            **sliced(path, folder),
        }
    path = WRITERS["3mf"](folder / "all.3mf", parts).paths[0]
    said["all.3mf"] = sliced(path, folder)
    path = WRITERS["glb"](folder / "all.glb", parts).paths[0]
    said["all.glb"] = {"gltf_validator": asked(outside.gltf_issues, path)}
    return said


def sliced(path: Path, folder: Path) -> dict[str, Any]:
    """What a slicer says about a file."""
    gcode = folder / "model.gcode"
    return {
        "slicer_objects": asked(outside.slicer_objects, path),
        "slicer_warnings": asked(lambda p: outside.slicer_warnings(p, gcode), path),
    }


def dice(labels: LabelMap, mesh: Mesh, value: int) -> float:
    """Overlap of a label with its surface turned back into voxels."""
    mask = labels.mask(value)
    again = outside.revoxelised(mesh, labels.geometry)
    return float(2 * np.count_nonzero(again & mask) / (again.sum() + mask.sum()))


def asked(program: Callable[[Path], Any], path: Path) -> Any:
    """A program's answer, or how to install it."""
    try:
        return program(path)
    except outside.NotInstalledError as absent:
        return str(absent)


if __name__ == "__main__":
    main()
