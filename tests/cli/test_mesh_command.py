"""`voxloop mesh` from the command line to its files, its page and its messages."""

from __future__ import annotations

import itertools
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import trimesh

from phantoms import ellipsoid_mask, oblique_geometry
from solids import check_printable
from voxloop.cli import main
from voxloop.io.formats import write_label_map, write_volume
from voxloop.mesh.mesh import Mesh
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume

Capture = pytest.CaptureFixture[str]
GRID = oblique_geometry((30, 32, 20), (1.0, 1.0, 1.5))
LABELS = LabelTable.from_names("cyst", "bone")


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take most of the time, and are tested elsewhere."""
    monkeypatch.setattr("voxloop.report.meshes._PANEL_PX", 60)


def voxloop(*words: str | Path) -> int:
    return main.execute([str(word) for word in words])


def document(capfd: Capture) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capfd.readouterr().out)
    return found


def save(path: Path, array: npt.NDArray[Any]) -> Path:
    geometry = GRID if array.shape == GRID.shape else oblique_geometry(array.shape)
    write_label_map(path, LabelMap(array.astype(np.uint8), geometry, LABELS))
    return path


def two_labels() -> npt.NDArray[np.uint8]:
    """A body of which the half is bone, touching the cyst."""
    mask = ellipsoid_mask(GRID, (9.0, 9.0, 9.0)).astype(np.uint8)
    mask[15:] *= 2
    return np.asarray(mask)


def read_stl(path: Path) -> Mesh:
    found = trimesh.load_mesh(path)
    return Mesh(np.asarray(found.vertices) * [-1, -1, 1], np.asarray(found.faces, dtype=np.int32))


def test_every_format_certificate_sidecar_and_page_of_a_case_is_written(
    tmp_path: Path, capfd: Capture
) -> None:
    maps, out = save(tmp_path / "maps" / "one.nii.gz", two_labels()), tmp_path / "out"
    names = ("--label", "cyst", "--label", "bone")
    formats = "stl,3mf,obj,ply,glb"
    assert voxloop("mesh", maps, "--out", out, *names, "--formats", formats, "--json") == 0
    made = document(capfd)
    assert made["passed"] is True
    files = {Path(path).name for path in made["wrote"]}
    assert files == {
        "one_cyst.stl", "one_bone.stl", "one.3mf", "one.obj", "one.mtl", "one.ply", "one.glb",
        "one_certificates.json", "one_surfaces.json", "one_meshes.png", "one_meshes.html",
    }  # fmt: skip
    assert files == {path.name for path in out.iterdir()}
    sidecar = json.loads((out / "one_surfaces.json").read_text())
    assert [part["name"] for part in sidecar["parts"]] == ["cyst", "bone"]
    assert all(part["certificate"]["passed"] for part in sidecar["parts"])
    page = (out / "one_meshes.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    for wanted in ("Deviation from the label map", "not a medical device", "cyst", "passed"):
        assert wanted in page
    assert not re.search(r"https?://|<script", page)


def test_what_is_done_for_the_printer_is_done_listed_and_sound(
    tmp_path: Path, capfd: Capture
) -> None:
    array = two_labels()
    array[2, 2, 2] = 1
    maps, out = save(tmp_path / "one.nii.gz", array), tmp_path / "out"
    words: list[str | Path] = [
        "mesh", maps, "--out", out, "--label", "cyst", "--label", "bone", "--islands-ml", "0.1",
        "--gap-mm", "1.2", "--cut", "z", "--pin-mm", "2", "--plate", "{case} A-17", "--json",
    ]  # fmt: skip
    assert voxloop(*words) == 0
    made = document(capfd)
    alterations = made["alterations"]["one"]
    what = {name: [a["what"] for a in found] for name, found in alterations.items()}
    assert what["cyst 1 of 2"][:2] == ["island removed", "gap cut between parts"]
    assert "cut" in what["cyst 1 of 2"]
    assert "connector pin and hole" in what["bone 1 of 2"]
    stems = ("cyst-1-of-2", "cyst-2-of-2", "bone-1-of-2", "bone-2-of-2", "name-plate")
    for stem in stems:
        check_printable(read_stl(out / f"one_{stem}.stl"))
    sidecar = json.loads((out / "one_surfaces.json").read_text())
    assert all(found["passed"] for found in sidecar["as_altered"].values())
    page = (out / "one_meshes.html").read_text()
    assert "connector pin and hole" in page
    assert "As they were written" in page


def test_hollowing_and_thick_walls_work_on_a_label_map(tmp_path: Path, capfd: Capture) -> None:
    array = ellipsoid_mask(GRID, (11.0, 11.0, 11.0)).astype(np.uint8)
    maps, out = save(tmp_path / "one.nii.gz", array), tmp_path / "out"
    options = ("--label", "cyst", "--hollow-mm", "2.5", "--min-wall-mm", "0.8")
    assert voxloop("mesh", maps, "--out", out, *options, "--json") == 0
    (made,) = document(capfd)["alterations"]["one"].values()
    assert [a["what"] for a in made] == ["hollowed", "drain hole", "drain hole"]
    shell = read_stl(out / "one_cyst.stl")
    assert shell.volume_mm3 < 0.7 * array.sum() * GRID.voxel_volume_mm3


def test_uncertainty_is_drawn_in_millimetres_with_two_envelopes(
    tmp_path: Path, capfd: Capture
) -> None:
    mask = ellipsoid_mask(GRID, (9.0, 9.0, 9.0))
    shell = mask & ~ellipsoid_mask(GRID, (7.0, 7.0, 7.0))
    maps = save(tmp_path / "maps" / "one.nii.gz", mask.astype(np.uint8))
    entropy = np.where(shell, 240, 3).astype(np.uint8)
    write_volume(tmp_path / "doubt" / "one.nii.gz", Volume(entropy, GRID))
    out = tmp_path / "out"
    words = ("--label", "cyst", "--formats", "glb,ply", "--uncertainty", tmp_path / "doubt")
    assert voxloop("mesh", maps, "--out", out, *words, "--json") == 0
    names = {Path(path).name for path in document(capfd)["wrote"]}
    assert {"one_envelopes.glb", "one_envelopes.ply", "one.glb"} <= names
    both: Any = trimesh.load(out / "one_envelopes.glb")
    volumes = {name: found.volume for name, found in both.geometry.items()}
    assert volumes["cyst, nearly sure"] < volumes["cyst, possible"]
    assert "Uncertainty over all vertices" in (out / "one_meshes.html").read_text()
    missing = voxloop("mesh", maps, "--out", out, "--uncertainty", tmp_path / "maps" / "no")
    assert missing == 3
    assert 'case "one": expected its uncertainty' in capfd.readouterr().err


def test_doubt_or_probabilities_put_surfaces_between_voxels(tmp_path: Path, capfd: Capture) -> None:
    centre_mm = GRID.to_world([(np.array(GRID.shape) - 1) / 2 + 0.3])[0]
    points_mm = GRID.to_world(np.indices(GRID.shape).reshape(3, -1).T)
    depth_mm = 9.2 - np.linalg.norm(points_mm - centre_mm, axis=1).reshape(GRID.shape)
    inside = 1 / (1 + np.exp(-depth_mm / 0.5))
    upper = np.indices(GRID.shape)[0] >= 16
    maps, doubt, each = (tmp_path / name for name in ("maps", "doubt", "each"))
    save(maps / "one.nii.gz", (inside > 0.5) * (1 + upper))
    both = np.stack([inside, 1 - inside])
    nats = -(both * np.log(np.maximum(both, 1e-12))).sum(axis=0)
    entropy = np.rint(255 * nats / np.log(3)).astype(np.uint8)
    write_volume(doubt / "one.nii.gz", Volume(entropy, GRID))
    for name, where in (("cyst", ~upper), ("bone", upper)):
        volume = Volume(np.where(where, inside, 0).astype(np.float32), GRID)
        write_volume(each / f"one_{name}.nii.gz", volume)
    words = ("mesh", maps, "--label", "cyst", "--label", "bone", "--json", "--out")
    p95_mm = {}
    for kind, options in {
        "labels": (), "doubt": ("--uncertainty", doubt), "each": ("--uncertainty", each),
    }.items():  # fmt: skip
        assert voxloop(*words, tmp_path / kind, *options) == 0
        assert document(capfd)["passed"] is True
        mesh = read_stl(tmp_path / kind / "one_cyst.stl")
        off = mesh.vertices_mm - centre_mm
        # the other label lies beyond; what both share is not the ball's
        alone = GRID.to_voxel(mesh.vertices_mm)[:, 0] < 14.5
        p95_mm[kind] = np.percentile(np.abs(np.linalg.norm(off[alone], axis=1) - 9.2), 95)
    assert p95_mm["doubt"] < 0.6 * p95_mm["labels"]
    assert p95_mm["each"] < 0.6 * p95_mm["labels"]
    (each / "one_bone.nii.gz").unlink()
    assert voxloop(*words, tmp_path / "no", "--uncertainty", each) == 3
    assert "one_cyst.nii.gz, one_bone.nii.gz, found 1 of them" in in_one_line(capfd)
    wrong = Volume(np.full(GRID.shape, 3.0, dtype=np.float32), GRID)
    write_volume(each / "one_bone.nii.gz", wrong)
    assert voxloop(*words, tmp_path / "no", "--uncertainty", each) == 3
    assert "probabilities from 0 to 1, found 3 to 3" in in_one_line(capfd)
    write_volume(each / "one_bone.nii.gz", Volume(np.ones(GRID.shape, dtype=np.float32), GRID))
    assert voxloop(*words, tmp_path / "no", "--uncertainty", each) == 3
    assert "sum to 1 at most" in in_one_line(capfd)


def in_one_line(capfd: Capture) -> str:
    return " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--formats", "stl,step"), "formats are stl, 3mf, obj, ply, glb; found 'step'"),
        (("--tolerance-mm", "0"), "tolerance in mm must be above 0"),
        (("--triangles", "9", "--megabytes", "1"), "not both"),
        (("--hollow-mm", "-1"), "the hollow wall must be above 0 mm"),
        (("--cut", "w"), "across x, y or z"),
        (("--plate", "\U0001f9b4"), "cannot be drawn"),
        (("--plate", "x" * 200), "shorten it"),
    ],
)
def test_options_are_checked_before_anything_is_read(
    options: tuple[str, ...], message: str, tmp_path: Path, capfd: Capture
) -> None:
    bad = tmp_path / "one.nii.gz"
    bad.write_bytes(b"not read")
    assert voxloop("mesh", bad, "--out", tmp_path / "out", *options) == 2
    assert message in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_bad_cases_are_all_named_and_the_others_made(tmp_path: Path, capfd: Capture) -> None:
    maps, out = tmp_path / "maps", tmp_path / "out"
    save(maps / "good.nii.gz", two_labels())
    (maps / "text.nii.gz").write_bytes(b"no scan")
    save(maps / "nan.nii", two_labels())
    content = bytearray((maps / "nan.nii").read_bytes())
    content[252:256] = np.array([0, 1], "<i2").tobytes()  # by the affine, not the quaternion
    content[280:328] = np.full(12, np.nan, "<f4").tobytes()
    (maps / "nan.nii").write_bytes(bytes(content))
    words = ("mesh", maps, "--out", out, "--label", "cyst", "--label", "bone", "--json")
    assert voxloop(*words) == 3
    made = document(capfd)
    assert sorted(made["certificates"]) == ["good"]
    assert len(made["failed"]) == 2
    assert 'case "nan"' in made["failed"][0]
    assert 'case "text"' in made["failed"][1]
    assert made["warnings"] == made["failed"]
    assert (out / "good_cyst.stl").exists()


def test_left_stays_left_in_eight_orientations_and_every_format(
    tmp_path: Path, capfd: Capture
) -> None:
    truths = {}
    for number, (x, y, z) in enumerate(itertools.product((False, True), repeat=3)):
        geometry = oblique_geometry((22, 22, 14), (1.0, 0.9, 1.3), flips=(x, y, z))
        body = ellipsoid_mask(geometry, (3.0, 3.5, 4.0)).astype(np.uint8)
        # to the patient's left, front and top, each by another length
        body[ellipsoid_mask(geometry, (2.0, 2.0, 2.0), (-6.0, 4.5, 3.0))] = 2
        write_label_map(tmp_path / "maps" / f"{number}.nii.gz", LabelMap(body, geometry, LABELS))
        truths[str(number)] = {
            name: geometry.to_world(np.argwhere(body == value)).mean(axis=0)
            for name, value in LABELS.by_name.items()
        }
    out = tmp_path / "out"
    words = ("--label", "cyst", "--label", "bone", "--formats", "stl,3mf,obj,ply,glb", "--json")
    assert voxloop("mesh", tmp_path / "maps", "--out", out, *words) == 0
    assert document(capfd)["passed"] is True
    for case, centres_mm in truths.items():
        files = json.loads((out / f"{case}_surfaces.json").read_text())["files"]
        suffixes = {file["name"].rpartition(".")[2] for file in files}
        assert suffixes >= {"stl", "3mf", "obj", "ply", "glb"}
        for file in files:
            to_world = np.array(file["to_world_mm"])
            assert np.linalg.det(to_world[:3, :3]) > 0
            if file["name"].endswith("mtl"):
                continue
            mesh = read_any(out / file["name"])
            mesh.apply_transform(to_world)
            assert mesh.volume > 0
            names = [name for name in centres_mm if file["name"] == f"{case}_{name}.stl"]
            for name in names or list(centres_mm):
                near = nearest_piece(mesh, centres_mm[name])
                np.testing.assert_allclose(near, centres_mm[name], atol=0.25)


def read_any(path: Path) -> Any:
    """All parts of a file as one mesh, in the file's own coordinates."""
    if path.suffix != ".3mf":
        return trimesh.load_scene(path).to_mesh()
    with zipfile.ZipFile(path) as package:
        model = package.read("3D/3dmodel.model").decode()
    assert 'unit="millimeter"' in model
    meshes = []
    for found in re.findall(r"<mesh>.*?</mesh>", model, re.DOTALL):
        corners = re.findall(r'<vertex x="(\S+)" y="(\S+)" z="(\S+)"', found)
        faces = re.findall(r'<triangle v1="(\d+)" v2="(\d+)" v3="(\d+)"', found)
        meshes.append(trimesh.Trimesh(np.array(corners, float), np.array(faces, int)))
    return trimesh.util.concatenate(meshes)


def nearest_piece(mesh: trimesh.Trimesh, centre_mm: npt.NDArray[np.float64]) -> Any:
    """Centre of gravity of the label that is meant."""
    pieces = mesh.split(only_watertight=True) if mesh.body_count > 1 else [mesh]
    centres = np.array([piece.center_mass for piece in pieces])
    return centres[np.argmin(np.linalg.norm(centres - centre_mm, axis=1))]


def test_more_labels_than_a_file_can_hold_are_refused(tmp_path: Path, capfd: Capture) -> None:
    values = np.arange(301, dtype=np.int16).repeat(2).reshape(7, 86, 1)
    write_volume(tmp_path / "many.nii.gz", Volume(values, oblique_geometry((7, 86, 1))))
    assert voxloop("mesh", tmp_path / "many.nii.gz", "--out", tmp_path / "out") == 3
    assert "1 to 254" in capfd.readouterr().err


def test_no_voxel_one_voxel_and_all_voxels(tmp_path: Path, capfd: Capture) -> None:
    shape = (6, 7, 8)
    one = np.zeros(shape)
    one[3, 3, 3] = 1
    save(tmp_path / "maps" / "all.nii.gz", np.ones(shape))
    save(tmp_path / "maps" / "none.nii.gz", np.zeros(shape))
    save(tmp_path / "maps" / "single.nii.gz", one)
    out = tmp_path / "out"
    assert voxloop("mesh", tmp_path / "maps", "--out", out, "--label", "cyst", "--json") == 0
    made = document(capfd)
    assert made["absent"] == {"all": [], "none": ["cyst"], "single": []}
    assert made["warnings"] == ["none, no voxel is labelled 'cyst'"]
    voxel_mm3 = oblique_geometry(shape).voxel_volume_mm3
    for name, voxels in (("all", np.prod(shape)), ("single", 1)):
        surface = read_stl(out / f"{name}_cyst.stl")
        check_printable(surface)
        assert surface.volume_mm3 == pytest.approx(voxels * voxel_mm3, rel=0.05)
    assert not list(out.glob("none*.stl"))


def test_a_thousand_islands_are_told_and_can_be_left_out(tmp_path: Path, capfd: Capture) -> None:
    array = np.zeros((40, 20, 20))
    array[1:21:2, 1:20:2, 1:20:2] = 1
    array[24:36, 4:16, 4:16] = 1
    maps = save(tmp_path / "one.nii.gz", array)
    words = ("mesh", maps, "--out", tmp_path / "out", "--label", "cyst", "--json")
    assert voxloop(*words) == 0
    made = document(capfd)
    assert made["passed"] is False
    assert "1001 separate pieces" in made["warnings"][0]
    assert voxloop(*words, "--islands-ml", "0.1") == 0
    made = document(capfd)
    assert made["passed"] is True
    assert len(made["alterations"]["one"]["cyst"]) == 1000


def test_what_cannot_be_done_to_a_label_names_case_and_label(
    tmp_path: Path, capfd: Capture
) -> None:
    maps = save(tmp_path / "one.nii.gz", two_labels())
    names = ("--label", "cyst", "--label", "bone")
    assert voxloop("mesh", maps, "--out", tmp_path / "o", *names, "--hollow-mm", "6") == 3
    told = capfd.readouterr().err
    assert 'case "one", label "cyst": expected a solid with room' in told
    assert 'case "one", label "bone": expected a solid with room' in told
    assert not (tmp_path / "o").exists()
    assert voxloop("mesh", maps, "--out", tmp_path / "o", *names, "--cut", "x=900") == 3
    assert 'case "one", cut: expected a plane through the model' in capfd.readouterr().err
