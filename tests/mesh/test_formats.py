from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import trimesh
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkIOGeometry import vtkOBJReader, vtkSTLReader
from vtkmodules.vtkIOPLY import vtkPLYReader

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.errors import DataError, UsageError
from voxloop.mesh.colour_scale import ColourScale
from voxloop.mesh.extraction.extract import extract_surface
from voxloop.mesh.formats.glb import write_glb
from voxloop.mesh.formats.names import file_stems
from voxloop.mesh.formats.obj import write_obj
from voxloop.mesh.formats.ply import write_ply
from voxloop.mesh.formats.sidecar import sidecar_document, write_sidecar
from voxloop.mesh.formats.stl import write_stl
from voxloop.mesh.formats.threemf import write_3mf
from voxloop.mesh.formats.writers import WRITERS
from voxloop.mesh.formats.written import Written
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.part import Part
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap

FLIPS = [(x, y, z) for x in (False, True) for y in (False, True) for z in (False, True)]
LABELS = LabelTable.from_names("bone", "screw")
Corners = npt.NDArray[np.float64]
Faces = npt.NDArray[np.int64]

AWKWARD = [
    "left <orbit> & \"nerve\" 'II'",
    "Ünterkiefer 🦷",
    "n" * 200,
    "..",
    "CON",
    "a/b\\c",
    "🦴",
    "unter  kiefer",
]


def phantom(flips: tuple[bool, bool, bool] = (False, False, False)) -> LabelMap:
    """A body with a nose on its right, and a screw in front: no mirror image looks the same."""
    geometry = oblique_geometry((22, 20, 14), (0.9, 1.1, 1.6), flips=flips)
    body = ellipsoid_mask(geometry, (5.0, 6.0, 7.0))
    nose = ellipsoid_mask(geometry, (3.0, 2.5, 3.0), offset_mm=(5.0, 2.0, 3.0))
    screw = ellipsoid_mask(geometry, (1.5, 2.5, 1.5), offset_mm=(-2.0, 7.0, -1.0))
    array = np.where(screw, 2, body | nose).astype(np.uint8)
    return LabelMap(array, geometry, LABELS)


def parts_of(labels: LabelMap, *, with_values: bool = False) -> tuple[Part, ...]:
    meshes = {value: extract_surface(labels, value) for value in (1, 2)}
    values = {v: m.vertices_mm[:, 2] - m.centroid_mm[2] for v, m in meshes.items() if with_values}
    return tuple(Part.of_label(m, LABELS, v, values.get(v)) for v, m in meshes.items())


def volume_and_centroid(corners: Corners, faces: Faces) -> tuple[float, Corners]:
    """By the divergence theorem, written anew so as not to trust `Mesh`."""
    a, b, c = (corners[faces[:, i]] - corners[0] for i in range(3))
    sixth = np.einsum("ij,ij->i", a, np.cross(b, c)) / 6
    return float(sixth.sum()), corners[0] + sixth @ (a + b + c) / 4 / sixth.sum()


def by_trimesh(path: Path) -> tuple[Corners, Faces]:
    # every node of a scene brings its own transform
    mesh = trimesh.load_scene(path).to_mesh()
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


def by_vtk(path: Path) -> tuple[Corners, Faces]:
    reader = {".stl": vtkSTLReader, ".obj": vtkOBJReader, ".ply": vtkPLYReader}[path.suffix]()
    reader.SetFileName(str(path))
    reader.Update()
    points = vtk_to_numpy(reader.GetOutput().GetPoints().GetData()).astype(float)
    corners = vtk_to_numpy(reader.GetOutput().GetPolys().GetConnectivityArray())
    return points, corners.reshape(-1, 3)


def by_lib3mf(path: Path) -> tuple[Corners, Faces]:
    lib3mf = pytest.importorskip("lib3mf", reason="lib3mf, the reader of 3MF, is not installed")
    wrapper = lib3mf.get_wrapper()
    model = wrapper.CreateModel()
    reader = model.QueryReader("3mf")
    reader.SetStrictModeActive(True)  # noqa: FBT003
    reader.ReadFromFile(str(path))
    assert reader.GetWarningCount() == 0
    assert model.GetUnit() == lib3mf.ModelUnit.MilliMeter
    corners, faces, before = [], [], 0
    objects = model.GetMeshObjects()
    while objects.MoveNext():
        mesh = objects.GetCurrentMeshObject()
        assert mesh.IsManifoldAndOriented()
        corners += [list(vertex.Coordinates) for vertex in mesh.GetVertices()]
        faces += [[before + i for i in face.Indices] for face in mesh.GetTriangleIndices()]
        before = len(corners)
    return np.array(corners, dtype=float), np.array(faces)


READERS: list[tuple[str, Callable[[Path], tuple[Corners, Faces]]]] = [
    ("stl", by_trimesh),
    ("stl", by_vtk),
    ("obj", by_trimesh),
    ("obj", by_vtk),
    ("ply", by_trimesh),
    ("ply", by_vtk),
    ("glb", by_trimesh),
    ("3mf", by_lib3mf),
]


@pytest.mark.parametrize(("suffix", "read"), READERS)
def test_left_stays_left_in_every_format_and_orientation(
    suffix: str, read: Callable[[Path], tuple[Corners, Faces]], tmp_path: Path
) -> None:
    for flips in FLIPS:
        labels = phantom(flips)
        parts = parts_of(labels)
        written = WRITERS[suffix](tmp_path / f"phantom.{suffix}", parts)
        corners, faces = read(written.paths[0])
        world = corners @ written.to_world[:3, :3].T + written.to_world[:3, 3]
        assert np.linalg.det(written.to_world[:3, :3]) > 0
        volume, centroid = volume_and_centroid(world, faces)
        voxels = labels.array > 0
        truth = voxels.sum() * labels.geometry.voxel_volume_mm3
        assert volume == pytest.approx(sum(part.mesh.volume_mm3 for part in parts), rel=1e-4)
        assert volume == pytest.approx(truth, rel=0.05)
        truth_mm = labels.geometry.to_world(np.argwhere(voxels)).mean(axis=0)
        np.testing.assert_allclose(centroid, truth_mm, atol=0.25)


def test_lps_files_have_x_and_y_negated_and_say_so(tmp_path: Path) -> None:
    parts = parts_of(phantom())
    for suffix in ("stl", "obj", "ply", "3mf"):
        path = tmp_path / f"case.{suffix}"
        WRITERS[suffix](path, parts)
        content = path.read_bytes()
        if suffix == "3mf":
            content = zipfile.ZipFile(path).read("3D/3dmodel.model")
        assert b"LPS" in content[:600]
    stl = (tmp_path / "case.stl").read_bytes()
    assert stl[:80].rstrip() == b"Voxloop SPACE=LPS;UNIT=mm"
    assert len(stl) == 84 + 50 * sum(len(part.mesh.faces) for part in parts)
    corners, _ = by_vtk(tmp_path / "case.stl")
    assert corners[:, 0].mean() == pytest.approx(31, abs=25)  # the grid lies at x = -31
    read = trimesh.load_mesh(tmp_path / "case.stl", process=False)
    facet = np.frombuffer(stl, dtype="<f4", count=3, offset=84)
    np.testing.assert_allclose(read.face_normals[0], facet, atol=1e-3)


def test_normals_are_those_of_the_corners_as_the_file_rounds_them(tmp_path: Path) -> None:
    tiny = np.array([[0, 0, 0], [0.05, 0, 0], [0, 0.05, 0], [0.01, 0.01, 0.05]]) + 997.0123
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])
    write_stl(tmp_path / "tiny.stl", [Part("tiny", Mesh(tiny, faces), (0, 0, 0))])
    fields = [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")]
    facets = (tmp_path / "tiny.stl").read_bytes()[84:]
    for normal, corners, _ in np.frombuffer(facets, dtype=fields):
        along = np.cross(*(corners[1:].astype(np.float64) - corners[0]))
        np.testing.assert_allclose(normal, along / np.linalg.norm(along), atol=1e-6)


def test_a_glb_stands_on_the_ground_in_metres_with_the_head_up(tmp_path: Path) -> None:
    labels = phantom()
    written = write_glb(tmp_path / "case.glb", parts_of(labels))
    corners, _ = by_trimesh(tmp_path / "case.glb")
    np.testing.assert_allclose(corners[:, 1].min(), 0, atol=1e-7)
    np.testing.assert_allclose(corners[:, 0].min() + corners[:, 0].max(), 0, atol=1e-7)
    np.testing.assert_allclose(np.ptp(corners[:, 1]), 0.014, atol=0.004)
    from_world = np.linalg.inv(written.to_world[:3, :3])
    left_up_front = np.array([[-1, 0, 0], [0, 0, 1], [0, 1, 0]]).T
    np.testing.assert_allclose(1000 * from_world @ left_up_front, np.eye(3), atol=1e-9)


def test_a_glb_has_a_node_with_name_and_linear_colour_per_label(tmp_path: Path) -> None:
    parts = parts_of(phantom())
    write_glb(tmp_path / "case.glb", parts)
    document = gltf_document(tmp_path / "case.glb")
    assert [node["name"] for node in document["nodes"]] == ["bone", "screw"]
    colour = document["materials"][0]["pbrMetallicRoughness"]["baseColorFactor"]
    # #0072b2: the green level 0x72 is 44.7 % in sRGB but 16.8 % of the light
    np.testing.assert_allclose(colour, [0, 0.168, 0.445, 1], atol=0.001)
    scene = trimesh.load_scene(tmp_path / "case.glb")
    assert set(scene.graph.nodes_geometry) == {"bone", "screw"}
    for mesh in scene.geometry.values():
        assert mesh.is_watertight
        assert mesh.is_winding_consistent


def gltf_document(path: Path) -> Any:
    content = path.read_bytes()
    length = int.from_bytes(content[12:16], "little")
    assert int.from_bytes(content[8:12], "little") == len(content)
    return json.loads(content[20 : 20 + length])


def test_values_become_colours_and_stay_numbers(tmp_path: Path) -> None:
    plain, coloured = parts_of(phantom())[0], parts_of(phantom(), with_values=True)[1]
    values = coloured.values
    assert values is not None
    written = write_ply(tmp_path / "case.ply", [plain, coloured])
    assert written.scale is not None
    assert written.scale.two_sided
    table = trimesh.load_mesh(tmp_path / "case.ply", process=False)
    fields = table.metadata["_ply_raw"]["vertex"]["data"]
    n = len(plain.mesh.vertices_mm)
    assert np.isnan(fields["value_mm"][:n]).all()
    np.testing.assert_allclose(fields["value_mm"][n:].ravel(), values, rtol=1e-6)
    np.testing.assert_array_equal(fields["part"].ravel(), np.repeat([0, 1], [n, len(values)]))
    visual: Any = table.visual
    shades = visual.vertex_colors[:, :3]
    np.testing.assert_array_equal(shades[:n], np.tile(plain.colour, (n, 1)))
    high, low = shades[n:][np.argmax(values)], shades[n:][np.argmin(values)]
    assert high[0] > high[2]
    assert low[0] < low[2]
    write_obj(tmp_path / "case.obj", [coloured])
    lines = (tmp_path / "case.obj").read_text().splitlines()
    seen = [[float(x) for x in line.split()[4:]] for line in lines if line.startswith("v ")]
    np.testing.assert_allclose(np.array(seen) * 255, shades[n:], atol=0.1)
    assert "Kd 1.0000 1.0000 1.0000" in (tmp_path / "case.mtl").read_text()
    write_glb(tmp_path / "case.glb", [coloured])
    document = gltf_document(tmp_path / "case.glb")
    assert "COLOR_0" in document["meshes"][0]["primitives"][0]["attributes"]


def test_colours_of_an_obj_stand_in_the_file_it_names(tmp_path: Path) -> None:
    parts = parts_of(phantom())
    written = write_obj(tmp_path / "a case.obj", parts)
    assert [path.name for path in written.paths] == ["a case.obj", "a case.mtl"]
    scene = trimesh.load_scene(tmp_path / "a case.obj", split_objects=True, group_material=False)
    found = {tuple(g.visual.material.diffuse[:3].tolist()) for g in scene.geometry.values()}
    assert found == {part.colour for part in parts}


def test_awkward_names_are_kept_in_the_file_and_made_safe_for_the_disk(tmp_path: Path) -> None:
    mesh = extract_surface(phantom(), 2)
    parts = [Part(name, mesh, (1, 2, 255)) for name in AWKWARD]
    write_3mf(tmp_path / "a.3mf", parts)
    write_glb(tmp_path / "a.glb", parts)
    assert [node["name"] for node in gltf_document(tmp_path / "a.glb")["nodes"]] == AWKWARD
    stems = file_stems(AWKWARD)
    assert stems == (
        "left-orbit-nerve-II", "Unterkiefer", "n" * 60, "part", "part-CON", "a-b-c", "part-2",
        "unter-kiefer",
    )  # fmt: skip
    assert file_stems(["Lens", "lens", "lens-2"]) == ("Lens", "lens-2", "lens-2-2")
    lib3mf = pytest.importorskip("lib3mf", reason="lib3mf, the reader of 3MF, is not installed")
    model = lib3mf.get_wrapper().CreateModel()
    model.QueryReader("3mf").ReadFromFile(str(tmp_path / "a.3mf"))
    objects, names = model.GetMeshObjects(), []
    while objects.MoveNext():
        names.append(objects.GetCurrentMeshObject().GetName())
    assert names == AWKWARD
    materials = model.GetBaseMaterialGroups()
    assert materials.MoveNext()
    colour = materials.GetCurrentBaseMaterialGroup().GetDisplayColor(1)
    assert (colour.Red, colour.Green, colour.Blue) == (1, 2, 255)


def test_the_same_parts_give_the_same_bytes(tmp_path: Path) -> None:
    parts = parts_of(phantom(), with_values=True)
    for suffix, write in WRITERS.items():
        first, second = tmp_path / "one" / f"a.{suffix}", tmp_path / "two" / f"a.{suffix}"
        write(first, parts)
        write(second, parts)
        assert first.read_bytes() == second.read_bytes()


def test_the_sidecar_leads_every_file_back_to_the_scan(tmp_path: Path) -> None:
    labels = phantom((True, False, True))
    parts = parts_of(labels)
    written = [write_stl(tmp_path / "a.stl", parts), write_glb(tmp_path / "a.glb", parts)]
    document = sidecar_document(
        "case 7", labels.geometry, parts, written, alterations={"screw": ["thickened"]}
    )
    write_sidecar(tmp_path / "a.json", document)
    read = json.loads((tmp_path / "a.json").read_text())
    assert read["scan"]["affine"] == [list(row) for row in labels.geometry.affine]
    assert [part["alterations"] for part in read["parts"]] == [[], ["thickened"]]
    for file in read["files"]:
        corners, _ = by_trimesh(tmp_path / file["name"])
        to_world = np.array(file["to_world_mm"])
        world = corners @ to_world[:3, :3].T + to_world[:3, 3]
        bounds = [part.mesh.bounds_mm for part in parts]
        np.testing.assert_allclose(world.min(axis=0), np.min([b[0] for b in bounds], 0), atol=1e-4)
        np.testing.assert_allclose(world.max(axis=0), np.max([b[1] for b in bounds], 0), atol=1e-4)
        assert len(file["sha256"]) == 64


def test_a_colour_scale_has_its_middle_at_zero() -> None:
    scale = ColourScale.of_values(np.array([-0.2, 0.0, 0.4]))
    assert scale.low_mm == -scale.high_mm == pytest.approx(-0.4, rel=0.02)
    assert min(ColourScale(-0.1, 0.9).rgb([0.0])[0]) > 230
    assert ColourScale.of_values([0.0, 0.0]).low_mm == 0
    np.testing.assert_array_equal(scale.rgb([9.0]), scale.rgb([scale.high_mm]))
    with pytest.raises(UsageError, match="from 1 to 1 mm"):
        ColourScale(1, 1)


@pytest.mark.parametrize("write", WRITERS.values())
def test_a_file_without_parts_is_refused(
    write: Callable[[Path, list[Part]], Written], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="at least one part"):
        write(tmp_path / "none", [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "colour", "values", "message"),
    [
        (" ", (0, 0, 0), None, "a name without control"),
        ("a\nb", (0, 0, 0), None, "a name without control"),
        ("a", (0, 0, 256), None, "from 0 to 255"),
        ("a", (0, 0, 0), np.zeros(2), r"3 finite values.*shape \(2,\)"),
        ("a", (0, 0, 0), np.array([0, np.nan, 0]), "1 not finite"),
    ],
)
def test_a_part_that_cannot_be_is_refused(
    name: str, colour: tuple[int, int, int], values: Corners | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Part(name, Mesh(np.eye(3), np.array([[0, 1, 2]])), colour, values)
