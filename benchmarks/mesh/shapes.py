"""How true surfaces of shapes with known equations are, against other ways of smoothing.

    python benchmarks/mesh/shapes.py
    python benchmarks/mesh/shapes.py --quick        # the small spheres only

Shapes: spheres of 2 to 40 mm radius, a cylinder and a tube of 2 mm, a torus, a thin shell, two
touching boxes and a checkerboard of corner contacts; on grids of 1 mm, of 0.7 x 0.7 x 3 mm, and
oblique. Methods: voxloop, its own extraction unsmoothed, VTK's discrete marching cubes with
windowed sinc at three strengths, SurfaceNets with its own smoothing, marching cubes with Taubin's
filter and with Laplacian smoothing (scikit-image and trimesh; left out with a word where not
installed). All work in the scan's millimetres. Two rows beside them tell what the sampling permits:
the surface of the label map itself, thick slices interpolated between, unsmoothed; and the true
signed distances at the voxels, linear between them, which no label map holds: their signs are all
that it keeps. Measured per shape: volume against the true one, the
95th percentile and the largest distance of vertices from the true surface, the root mean square
angle of faces to the true normals, whether every label is a closed 2-manifold, and pieces. The
result goes to benchmarks/results/mesh_shapes.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.compute.atomic import write_json
from voxloop.mesh.certificate.topology import topology
from voxloop.mesh.extraction.between_slices import between_slices
from voxloop.mesh.extraction.extract import extract_interfaces
from voxloop.mesh.extraction.level_surface import level_surface
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.surfaces import mesh_labels
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provenance import provenance

RESULT = Path(__file__).resolve().parent.parent / "results" / "mesh_shapes.json"

FloatArray = npt.NDArray[np.float64]
Field = Callable[[FloatArray], FloatArray]
Method = Callable[[LabelMap], dict[int, Mesh]]

GRIDS = {
    "1 mm": ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)),
    "1 mm oblique": ((1.0, 1.0, 1.0), (0.2, -0.3, 0.4)),
    "0.7 x 0.7 x 3 mm": ((0.7, 0.7, 3.0), (0.0, 0.0, 0.0)),
    "0.7 x 0.7 x 3 mm oblique": ((0.7, 0.7, 3.0), (0.2, -0.3, 0.4)),
}

CENTRE_MM = np.array([0.13, 0.21, -0.3])
"""Of every shape, off the grid's own centre, so that voxels are not met symmetrically."""


@dataclass(frozen=True, eq=False)
class Shape:
    """One or more labels with signed distances to their true surfaces.

    Attributes:
        name: the shape.
        half_mm: half the size of the box it fits in.
        fields: label value to its signed distance in millimetres, negative inside; the label
            covers what is inside and in none of the labels before.
        volumes_mm3: label value to true volume; None where only topology is looked at.
        inner_mm: only places within this distance from the middle along z are measured, where
            given: the ends of a cylinder have edges.
    """

    name: str
    half_mm: float
    fields: dict[int, Field]
    volumes_mm3: dict[int, float] | None
    inner_mm: float = np.inf


def shapes() -> Iterator[Shape]:
    """All shapes."""
    for radius in (2, 3, 5, 10, 20, 40):
        volume = 4 / 3 * np.pi * radius**3
        yield Shape(f"sphere {radius} mm", radius, {1: ball(radius)}, {1: volume})
    for name, radius, length in (("cylinder 10 mm", 10, 40), ("tube 2 mm across", 1, 40)):
        volume = np.pi * radius**2 * length
        yield Shape(name, length / 2, {1: rod(radius, length)}, {1: volume}, length / 2 - 4)
    yield Shape("torus 12 and 4 mm", 16, {1: ring(12, 4)}, {1: 2 * np.pi**2 * 12 * 4**2})
    shell = 4 / 3 * np.pi * (15**3 - 13**3)
    yield Shape("shell of 2 mm", 15, {1: hollow(15, 13)}, {1: shell})
    boxes: dict[int, Field] = {1: box((-10, -8, -8), (0, 8, 8)), 2: box((0, -8, -8), (10, 8, 8))}
    yield Shape("two touching boxes", 11, boxes, {1: 10 * 16 * 16, 2: 10 * 16 * 16})
    yield Shape("checkerboard", 5, {1: checkers}, None)


def ball(radius: float) -> Field:
    """A sphere."""
    return lambda p: np.asarray(np.linalg.norm(p, axis=1) - radius)


def hollow(outer: float, inner: float) -> Field:
    """A shell between two spheres."""

    def field(p: FloatArray) -> FloatArray:
        r = np.linalg.norm(p, axis=1)
        return np.asarray(np.maximum(r - outer, inner - r))

    return field


def rod(radius: float, length: float) -> Field:
    """A cylinder along z."""

    def field(p: FloatArray) -> FloatArray:
        aside = np.hypot(p[:, 0], p[:, 1]) - radius
        return np.asarray(np.maximum(aside, np.abs(p[:, 2]) - length / 2))

    return field


def ring(radius: float, thickness: float) -> Field:
    """A torus about z."""
    return lambda p: np.asarray(np.hypot(np.hypot(p[:, 0], p[:, 1]) - radius, p[:, 2]) - thickness)


def box(low: tuple[float, float, float], high: tuple[float, float, float]) -> Field:
    """A block between two corners."""
    middle, half = (np.array(high) + low) / 2, (np.array(high) - low) / 2

    def field(p: FloatArray) -> FloatArray:
        q = np.abs(p - middle) - half
        outside = np.linalg.norm(np.maximum(q, 0), axis=1)
        return np.asarray(outside + np.minimum(q.max(axis=1), 0))

    return field


def checkers(p: FloatArray) -> FloatArray:
    """Cubes of 2 mm that meet in edges and corners; no distance, only a sign."""
    odd = np.floor(p / 2).sum(axis=1) % 2 == 1
    return np.where(odd & (np.abs(p) < 5).all(axis=1), -1.0, 1.0)


def voxels(shape: Shape, grid: str) -> LabelMap:
    """The shape's label map: a voxel has the label its centre lies in."""
    spacing, angles = GRIDS[grid]
    counts = [
        int(np.ceil(2 * (1.75 if any(angles) else 1) * shape.half_mm / s)) + 6 for s in spacing
    ]
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(angles) @ np.diag(spacing)
    matrix[:3, 3] = -matrix[:3, :3] @ ((np.array(counts) - 1) / 2)
    geometry = Geometry.from_affine(counts, matrix)
    array = np.zeros(geometry.shape, dtype=np.uint8)
    for index, plane in enumerate(array):
        places = np.argwhere(np.ones(plane.shape, dtype=bool))
        points = geometry.to_world(np.insert(places, 0, index, axis=1)) - CENTRE_MM
        for value, field in reversed(shape.fields.items()):
            plane.ravel()[field(points) <= 0] = value
    return LabelMap(array, geometry, LabelTable.from_names("one", "two"))


def rotation(angles: tuple[float, float, float]) -> FloatArray:
    """About x, then y, then z, in radians."""
    turned = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        one = np.eye(3)
        one[a, a] = one[b, b] = np.cos(angle)
        one[a, b], one[b, a] = -np.sin(angle), np.sin(angle)
        turned = one @ turned
    return turned


def judged(shape: Shape, meshes: dict[int, Mesh]) -> dict[str, Any]:
    """What is measured, the worst label counting."""
    rows = [measured(shape, value, mesh) for value, mesh in meshes.items()]
    worst: dict[str, Any] = {"labels": len(rows)}
    for key in rows[0] if rows else ():
        found = [row[key] for row in rows]
        worst[key] = all(found) if isinstance(found[0], bool) else max(found, key=abs)
    return worst


def measured(shape: Shape, value: int, mesh: Mesh) -> dict[str, Any]:
    """Volume, distances and angles of one label."""
    shape_of = topology(mesh)
    found: dict[str, Any] = {"manifold": not shape_of.defects(), "pieces": shape_of.components}
    if shape.volumes_mm3 is None:
        return found
    points = mesh.vertices_mm - CENTRE_MM
    field = shape.fields[value]
    near = np.abs(points[:, 2]) < shape.inner_mm
    distances = np.abs(field(points[near]))
    middles = points[mesh.faces].mean(axis=1)
    amid = np.abs(middles[:, 2]) < shape.inner_mm
    areas = np.linalg.norm(mesh.face_vectors_mm2, axis=1)
    cosines = (mesh.face_vectors_mm2 * slopes(field, middles)).sum(axis=1)
    angles = np.degrees(np.arccos(np.clip(cosines / np.maximum(areas, 1e-12), -1, 1)))
    mean_square = (angles[amid] ** 2 * areas[amid]).sum() / max(areas[amid].sum(), 1e-12)
    return {
        **found,
        "volume_percent": 100 * (mesh.volume_mm3 / shape.volumes_mm3[value] - 1),
        "p95_mm": float(np.percentile(distances, 95)) if len(distances) else np.inf,
        "max_mm": float(distances.max(initial=0.0)) if len(distances) else np.inf,
        "normals_degrees": float(np.sqrt(mean_square)),
    }


def slopes(field: Field, points: FloatArray) -> FloatArray:
    """Unit gradients of a distance field, by differences."""
    step = 1e-4
    found = np.stack(
        [(field(points + step * e) - field(points - step * e)) / (2 * step) for e in np.eye(3)],
        axis=1,
    )
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12))


def voxloop_smooth(label_map: LabelMap) -> dict[int, Mesh]:
    """All labels together, interpolated between thick slices, smoothed within half a voxel."""
    return mesh_labels(label_map).surfaces


def voxloop_raw(label_map: LabelMap) -> dict[int, Mesh]:
    """As the voxels have it."""
    interfaces = extract_interfaces(label_map).interfaces
    return {value: interfaces.surface(value) for value in interfaces.values}


def voxloop_between_slices(label_map: LabelMap) -> dict[int, Mesh]:
    """As the voxels have it, thick slices interpolated between."""
    return voxloop_raw(between_slices(label_map))


def linear_between_voxels(shape: Shape, label_map: LabelMap) -> dict[int, Mesh]:
    """Where the true distances, known at the voxels alone and linear between them, pass zero."""
    geometry = label_map.geometry
    points = geometry.to_world(np.indices(geometry.shape).reshape(3, -1).T) - CENTRE_MM
    found = {}
    for value, field in shape.fields.items():
        surface = level_surface(-field(points).reshape(geometry.shape), geometry.matrix)
        if surface is not None:
            found[value] = surface
    return found


def windowed_sinc(strength: float) -> Method:
    """Per label, as 3D Slicer does it: discrete marching cubes, passband 10^(-4 strength)."""

    def method(label_map: LabelMap) -> dict[int, Mesh]:
        from vtkmodules.vtkFiltersCore import vtkWindowedSincPolyDataFilter
        from vtkmodules.vtkFiltersGeneral import vtkDiscreteMarchingCubes

        found = {}
        for value in present(label_map):
            cubes = vtkDiscreteMarchingCubes()
            cubes.SetInputData(vtk_image(label_map))
            cubes.GenerateValues(1, value, value)
            smoother = vtkWindowedSincPolyDataFilter()
            smoother.SetInputConnection(cubes.GetOutputPort())
            smoother.SetNumberOfIterations(20 + int(40 * strength))
            smoother.SetPassBand(10 ** (-4 * strength))
            smoother.NonManifoldSmoothingOn()
            smoother.NormalizeCoordinatesOn()
            smoother.Update()
            found[value] = from_vtk(smoother.GetOutput(), label_map)
        return found

    return method


def surface_nets(label_map: LabelMap) -> dict[int, Mesh]:
    """All labels together, its own smoothing."""
    from vtkmodules.vtkFiltersCore import vtkSurfaceNets3D

    found = {}
    for value in present(label_map):
        nets = vtkSurfaceNets3D()
        nets.SetInputData(vtk_image(label_map))
        nets.GenerateValues(len(present(label_map)), 1, max(present(label_map)))
        nets.SetOutputMeshTypeToTriangles()
        nets.SetOutputStyleToSelected()
        nets.InitializeSelectedLabelsList()
        nets.AddSelectedLabel(value)
        nets.Update()
        found[value] = outwards(nets.GetOutput(), value, label_map)
    return found


def outwards(polydata: Any, value: int, label_map: LabelMap) -> Mesh:
    """Its triangles, those turned that have the label in front: it orients them by label pairs."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    from voxloop.mesh.polydata import from_polydata

    vertices, faces = from_polydata(polydata)
    behind = vtk_to_numpy(polydata.GetCellData().GetArray("BoundaryLabels"))[:, 0] == value
    return in_world(vertices, np.where(behind[:, None], faces, faces[:, ::-1]), label_map)


def trimesh_filter(name: str) -> Method:
    """Marching cubes of scikit-image, then a filter of trimesh with its defaults, in voxels."""

    def method(label_map: LabelMap) -> dict[int, Mesh]:
        import trimesh
        from skimage.measure import marching_cubes

        found = {}
        for value in present(label_map):
            padded = np.pad(label_map.array == value, 1).astype(np.float32)
            vertices, faces, _, _ = marching_cubes(padded, 0.5)  # type: ignore[no-untyped-call]
            surface = trimesh.Trimesh(vertices, faces, process=False)
            getattr(trimesh.smoothing, name)(surface)
            found[value] = in_world(np.asarray(surface.vertices) - 1, surface.faces, label_map)
        return found

    return method


METHODS: dict[str, Method] = {
    "voxloop": voxloop_smooth,
    "voxloop, unsmoothed": voxloop_raw,
    "voxloop, between slices": voxloop_between_slices,
    "VTK windowed sinc 0.25": windowed_sinc(0.25),
    "VTK windowed sinc 0.5": windowed_sinc(0.5),
    "VTK windowed sinc 0.75": windowed_sinc(0.75),
    "VTK SurfaceNets": surface_nets,
    "marching cubes + Taubin": trimesh_filter("filter_taubin"),
    "marching cubes + Laplacian": trimesh_filter("filter_laplacian"),
}

LINEAR = "true distances, linear"


def present(label_map: LabelMap) -> list[int]:
    """Labels with a voxel."""
    return [int(value) for value in np.unique(label_map.array) if value]


def vtk_image(label_map: LabelMap) -> Any:
    """In voxels, a voxel of outside around."""
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkImageData

    padded = np.pad(label_map.array, 1)
    image = vtkImageData()
    image.SetDimensions(*padded.shape)
    image.SetOrigin(-1, -1, -1)
    image.SetSpacing(1, 1, 1)
    image.GetPointData().SetScalars(numpy_to_vtk(padded.ravel(order="F"), deep=True))
    return image


def from_vtk(polydata: Any, label_map: LabelMap) -> Mesh:
    """VTK's triangles as a mesh."""
    from voxloop.mesh.polydata import from_polydata

    vertices, faces = from_polydata(polydata)
    return in_world(vertices, faces, label_map)


def in_world(vertices: Any, faces: Any, label_map: LabelMap) -> Mesh:
    """In millimetres, faces turned outwards."""
    mesh = Mesh(label_map.geometry.to_world(np.asarray(vertices, dtype=float)), np.asarray(faces))
    return mesh if mesh.volume_mm3 > 0 else Mesh(mesh.vertices_mm, mesh.faces[:, ::-1])


def main() -> None:
    """Measure every method on every shape and grid, print a table and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the small spheres only")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for shape in shapes():
        if given.quick and shape.half_mm > 5:
            continue
        for grid in GRIDS:
            label_map = voxels(shape, grid)
            methods: dict[str, Method] = {**METHODS, LINEAR: partial(linear_between_voxels, shape)}
            for name, method in methods.items():
                try:
                    found = judged(shape, method(label_map))
                except ImportError as error:
                    found = {"left_out": f"not installed: {error.name}"}
                rows.append({"shape": shape.name, "grid": grid, "method": name, **found})
                sys.stdout.write(line(rows[-1]) + "\n")
    write_json(given.out, {**provenance(__file__), "rows": rows})


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    figures = (
        f"{row['volume_percent']:+7.1f} % p95 {row['p95_mm']:.3f} max {row['max_mm']:.3f} mm "
        f"normals {row['normals_degrees']:4.1f}"
        if "p95_mm" in row
        else row.get("left_out", "")
    )
    state = "manifold" if row.get("manifold") else "NOT MANIFOLD"
    return (
        f"{row['shape']:20} {row['grid']:25} {row['method']:27} {figures} "
        f"{state if 'manifold' in row else ''} {row.get('pieces', '')}"
    )


if __name__ == "__main__":
    main()
