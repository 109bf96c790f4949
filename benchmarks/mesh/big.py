"""Time and peak memory of the surfaces of a whole-body map: 512 x 512 x 400 voxels, 25 labels.

    python benchmarks/mesh/big.py
    python benchmarks/mesh/big.py --edge 128        # the same map, small

The map: 24 lumpy organs that overlap and so touch, and a branching tube, on a grid of 0.8 x 0.8 x
1 mm. Each method runs in a process of its own, so that its peak memory is its own: voxloop (all
labels together, smoothed, every label certified), the same without certificates, and of VTK
discrete marching cubes with windowed sinc smoothing and SurfaceNets with its own smoothing, neither
of which certifies. The result goes to benchmarks/results/mesh_big.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.compute.atomic import write_json
from voxloop.compute.memory import peak_rss_bytes
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provenance import provenance

RESULT = Path(__file__).resolve().parent.parent / "results" / "mesh_big.json"

LABELS = 25
SPACING_MM = (0.8, 0.8, 1.0)
GOAL_SECONDS, GOAL_BYTES = 60, 4 << 30


def main() -> None:
    """Run every method in a process of its own and write what they took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, default=512, help="voxels along the first two axes")
    parser.add_argument("--method", choices=METHODS, help="run this one here and print its figures")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    if given.method:
        sys.stdout.write(json.dumps(measured(METHODS[given.method], given.edge)))
        return
    rows = {}
    for method in METHODS:
        command = [sys.executable, __file__, "--edge", str(given.edge), "--method", method]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        rows[method] = json.loads(run.stdout)
        sys.stderr.write(f"{method}: {run.stdout}\n")
    goal = {"seconds": GOAL_SECONDS, "bytes": GOAL_BYTES}
    shape = shape_of(given.edge)
    write_json(
        given.out,
        {**provenance(__file__), "shape": shape, "labels": LABELS, "goal": goal, "methods": rows},
    )


def measured(method: Callable[[LabelMap], dict[str, Any]], edge: int) -> dict[str, Any]:
    """Seconds and peak memory of one method, the label map's own memory included."""
    label_map = body(edge)
    before = peak_rss_bytes()
    start = time.perf_counter()
    found = method(label_map)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "bytes": peak_rss_bytes(), "bytes_before": before, **found}


def shape_of(edge: int) -> tuple[int, int, int]:
    """The grid, in the proportions of 512 x 512 x 400."""
    return edge, edge, round(edge * 400 / 512)


def body(edge: int) -> LabelMap:
    """A label map of 24 lumpy ellipsoids and a branching tube."""
    shape = shape_of(edge)
    rng = np.random.default_rng(4)
    array = np.zeros(shape, dtype=np.uint8)
    for value in range(1, LABELS):
        radii = rng.uniform(0.06, 0.15, 3) * edge
        centre = rng.uniform(0.2, 0.8, 3) * shape
        waves = rng.uniform(0.03, 0.08, 3) * 512 / edge
        paint(array, value, centre, radii, waves)
    for branch in range(6):
        angle = np.pi * branch / 3
        for step in np.linspace(0, 1, 2 * edge):
            bend = 0.3 * edge * step * np.array([np.cos(angle), np.sin(angle)])
            centre = np.array(
                [edge / 2 + bend[0], edge / 2 + bend[1], (0.1 + 0.8 * step) * shape[2]]
            )
            paint(array, LABELS, centre, np.full(3, max(1.5, 0.012 * edge * (1 - step / 2))), None)
    table = LabelTable.from_names(*(f"organ {value}" for value in range(1, LABELS + 1)))
    return LabelMap(array, Geometry.from_affine(shape, np.diag([*SPACING_MM, 1.0])), table)


def paint(
    array: npt.NDArray[np.uint8],
    value: int,
    centre: npt.NDArray[np.float64],
    radii: npt.NDArray[np.float64],
    waves: npt.NDArray[np.float64] | None,
) -> None:
    """Write a label into an ellipsoid, dented by waves."""
    low = np.maximum(np.floor(centre - 1.3 * radii), 0).astype(int)
    high = np.minimum(np.ceil(centre + 1.3 * radii) + 1, array.shape).astype(int)
    axes = np.ogrid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    size = sum(((x - c) / r) ** 2 for x, c, r in zip(axes, centre, radii, strict=True))
    dent = sum(np.sin(w * x) for x, w in zip(axes, waves, strict=True)) if waves is not None else 0
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    array[box][size < 1 + 0.1 * dent] = value


def voxloop_certified(label_map: LabelMap) -> dict[str, Any]:
    """Surfaces of all labels with their certificates."""
    from voxloop.mesh.surfaces import mesh_labels

    made = mesh_labels(label_map)
    return {
        "triangles": len(made.interfaces.faces),
        "passed": sum(c.passed for c in made.certificates.values()),
        "reasons": {v: c.reasons for v, c in made.certificates.items() if not c.passed},
    }


def voxloop_surfaces(label_map: LabelMap) -> dict[str, Any]:
    """Extraction and smoothing, crossings undone, without certificates."""
    from voxloop.mesh.extraction.extract import extract_interfaces
    from voxloop.mesh.fairing.budget import Budget
    from voxloop.mesh.fairing.smooth import smooth_interfaces

    start = time.perf_counter()
    extraction = extract_interfaces(label_map)
    seconds = time.perf_counter() - start
    smooth_interfaces(extraction, Budget.voxels(label_map.geometry))
    return {"triangles": len(extraction.interfaces.faces), "extraction_seconds": seconds}


def vtk_image(label_map: LabelMap) -> Any:
    """The label map with a voxel of outside around it, for VTK."""
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkImageData

    padded = np.pad(label_map.array, 1)
    image = vtkImageData()
    image.SetDimensions(*padded.shape)
    image.SetSpacing(*label_map.geometry.spacing_mm)
    image.GetPointData().SetScalars(numpy_to_vtk(padded.ravel(order="F"), deep=True))
    return image


def vtk_sinc(label_map: LabelMap) -> dict[str, Any]:
    """Discrete marching cubes of all labels, then windowed sinc smoothing."""
    from vtkmodules.vtkFiltersCore import vtkWindowedSincPolyDataFilter
    from vtkmodules.vtkFiltersGeneral import vtkDiscreteMarchingCubes

    cubes = vtkDiscreteMarchingCubes()
    cubes.SetInputData(vtk_image(label_map))
    cubes.GenerateValues(LABELS, 1, LABELS)
    smoother = vtkWindowedSincPolyDataFilter()
    smoother.SetInputConnection(cubes.GetOutputPort())
    smoother.SetNumberOfIterations(20)
    smoother.SetPassBand(0.01)
    smoother.NormalizeCoordinatesOn()
    smoother.Update()
    return {"triangles": smoother.GetOutput().GetNumberOfPolys()}


def vtk_surface_nets(label_map: LabelMap) -> dict[str, Any]:
    """SurfaceNets with its own smoothing."""
    from vtkmodules.vtkFiltersCore import vtkSurfaceNets3D

    nets = vtkSurfaceNets3D()
    nets.SetInputData(vtk_image(label_map))
    nets.GenerateValues(LABELS, 1, LABELS)
    nets.SetOutputMeshTypeToTriangles()
    nets.Update()
    return {"triangles": nets.GetOutput().GetNumberOfPolys()}


METHODS = {
    "voxloop, certified": voxloop_certified,
    "voxloop, surfaces only": voxloop_surfaces,
    "VTK discrete marching cubes + windowed sinc": vtk_sinc,
    "VTK SurfaceNets": vtk_surface_nets,
}


if __name__ == "__main__":
    main()
