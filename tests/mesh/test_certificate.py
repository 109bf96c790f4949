from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.errors import UsageError
from voxloop.mesh.certificate.certify import SearchedCrossings, Tolerances, certify, judge
from voxloop.mesh.certificate.coincidence import coincident_vertices
from voxloop.mesh.certificate.distance import surface_distance
from voxloop.mesh.certificate.pieces import count_pieces
from voxloop.mesh.certificate.stairs import stairs_percent
from voxloop.mesh.certificate.thickness import wall_thickness
from voxloop.mesh.certificate.topology import topology
from voxloop.mesh.certificate.yardstick import deviation_mm, yardstick, yardsticks
from voxloop.mesh.extraction.extract import extract_surface
from voxloop.mesh.mesh import Mesh
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap

LABELS = LabelTable.from_names("bone", "screw")
SLANT = Rotation.from_euler("xyz", [0.3, -0.7, 1.1]).as_matrix()


def ball(radius_mm: float, *, fineness: int = 3) -> Mesh:
    sphere = trimesh.creation.icosphere(subdivisions=fineness, radius=radius_mm)
    return Mesh(sphere.vertices @ SLANT, sphere.faces)


def joined(*meshes: Mesh) -> Mesh:
    starts = np.cumsum([0, *(len(mesh.vertices_mm) for mesh in meshes)])
    return Mesh(
        np.concatenate([mesh.vertices_mm for mesh in meshes]),
        np.concatenate([m.faces + start for m, start in zip(meshes, starts, strict=False)]),
    )


def turned(mesh: Mesh) -> Mesh:
    return Mesh(mesh.vertices_mm, mesh.faces[:, ::-1])


def shifted(mesh: Mesh, *step_mm: float) -> Mesh:
    return mesh.moved(mesh.vertices_mm + np.array(step_mm))


def labelled(mask: npt.NDArray[np.bool_], geometry: Geometry) -> LabelMap:
    return LabelMap(mask.astype(np.uint8), geometry, LABELS)


@pytest.mark.parametrize("wall_mm", [0.4, 1.0, 3.0])
def test_the_wall_of_a_thin_shell_is_as_thick_as_it_is(wall_mm: float) -> None:
    shell = joined(ball(20.0, fineness=4), turned(ball(20.0 - wall_mm, fineness=4)))
    wall = wall_thickness(shell)
    assert wall is not None
    for found in (wall.minimum_mm, wall.p1_mm, wall.median_mm):
        assert found == pytest.approx(wall_mm, rel=0.05)


def test_the_thinnest_place_of_an_eccentric_shell_is_found() -> None:
    shell = joined(ball(20.0, fineness=4), turned(shifted(ball(18.0, fineness=4), 0, 0, 1.5)))
    wall = wall_thickness(shell)
    assert wall is not None
    assert wall.minimum_mm == pytest.approx(0.5, rel=0.05)
    assert wall.place_mm[2] > 17
    assert wall.minimum_mm < wall.p1_mm < 0.7
    assert wall.median_mm == pytest.approx(2.0, rel=0.1)


def test_edges_are_no_walls_but_plates_are() -> None:
    box = trimesh.creation.box((30, 20, 2)).subdivide_to_size(1.0)
    plate = Mesh(box.vertices @ SLANT, box.faces)
    wall = wall_thickness(plate)
    assert wall is not None
    assert wall.minimum_mm == pytest.approx(2.0, rel=1e-3)
    corners = [[x, y, z] for x, y in ((0, 0), (20, 0), (10, 17)) for z in (0, 9)]
    wedge = trimesh.convex.convex_hull(np.array(corners, dtype=float))
    wedge = wedge.subdivide_to_size(1.0)
    prism = wall_thickness(Mesh(wedge.vertices, wedge.faces))
    assert prism is not None
    assert prism.minimum_mm == pytest.approx(9.0, rel=1e-3)


def test_an_open_sheet_has_no_wall() -> None:
    assert wall_thickness(Mesh(np.eye(3), np.array([[0, 1, 2]]))) is None


def test_handles_cavities_and_pieces_are_counted() -> None:
    ring = trimesh.creation.torus(10, 3)
    hollow = joined(ball(9.0), turned(ball(4.0)))
    mesh = joined(Mesh(ring.vertices, ring.faces), shifted(hollow, 40, 0, 0))
    found = topology(mesh)
    assert (found.components, found.euler_number, found.genus) == (3, 4, 1)
    pieces = count_pieces(mesh)
    assert (pieces.solid, pieces.cavities) == (2, 1)
    assert pieces.smallest_mm3 == pytest.approx(ring.volume, rel=0.01)
    assert pieces.largest_percent == pytest.approx(100 * 3054 / (3054 + ring.volume), rel=0.02)
    assert count_pieces(turned(ball(3.0))).solid == 0


def test_vertices_that_files_cannot_tell_apart_are_counted() -> None:
    mesh = shifted(ball(5.0), 300.0, 0, 0)
    assert coincident_vertices(mesh) == 0
    moved = mesh.vertices_mm.copy()
    moved[7] = moved[3] + [1e-6, 0, 0]
    assert coincident_vertices(mesh.moved(moved)) == 1
    touching = joined(
        Mesh(np.eye(3), np.array([[0, 1, 2]])),
        Mesh(-np.eye(3)[[1, 0, 2]] * [-1, -1, 1], np.array([[0, 1, 2]])),
    )
    assert coincident_vertices(touching) == 2


@pytest.mark.parametrize("radius_vox", [3.0, 6.0, 12.0])
def test_steps_are_seen_on_raw_voxels_and_not_on_smooth_spheres(radius_vox: float) -> None:
    assert stairs_percent(ball(radius_vox), 1.0) < 0.1
    assert stairs_percent(ball(radius_vox, fineness=4), 1.0) < 0.1
    side = int(2 * radius_vox) + 6
    geometry = oblique_geometry((side, side, side), (1.0, 1.0, 1.0))
    raw = extract_surface(labelled(ellipsoid_mask(geometry, (radius_vox,) * 3), geometry), 1)
    assert stairs_percent(raw, 1.0) > 50


def test_distances_between_spheres_are_those_of_their_radii() -> None:
    found = surface_distance(ball(10.5, fineness=4), ball(10.0, fineness=4))
    assert found.signed_mean_mm == pytest.approx(0.5, abs=0.02)
    assert found.max_mm == pytest.approx(0.5, abs=0.03)
    assert found.exhaustive
    sampled = surface_distance(ball(9.5, fineness=4), ball(10.0, fineness=4), most_points=500)
    assert sampled.signed_mean_mm == pytest.approx(-0.5, abs=0.02)
    assert (sampled.points, sampled.exhaustive) == (1000, False)
    again = surface_distance(ball(9.5, fineness=4), ball(10.0, fineness=4), most_points=500)
    assert again == sampled


def test_yardsticks_are_the_same_for_one_and_for_many_labels() -> None:
    geometry = oblique_geometry((24, 20, 16), (0.9, 1.1, 2.0))
    bone = ellipsoid_mask(geometry, (5.0, 6.0, 7.0), offset_mm=(-3.0, 0, 0))
    screw = ellipsoid_mask(geometry, (3.0, 3.0, 3.0), offset_mm=(5.0, 2.0, 0))
    array = np.asfortranarray(np.where(bone, 1, 2 * screw).astype(np.uint8))
    labels = LabelMap(array, geometry, LABELS)
    many = yardsticks(labels, {value: extract_surface(labels, value) for value in (1, 2)})
    for value in (1, 2):
        one = yardstick(labels, value)
        assert many[value].volume_mm3 == one.volume_mm3 == 1000 * labels.volume_ml(value)
        truth_mm = geometry.to_world(np.argwhere(array == value)).mean(axis=0)
        np.testing.assert_allclose(one.centroid_mm, truth_mm, atol=1e-9)
        np.testing.assert_allclose(many[value].centroid_mm, truth_mm, atol=1e-9)
        np.testing.assert_allclose(one.spacing_mm, geometry.spacing_mm)
    grown = many[1].surface.moved(
        many[1].surface.vertices_mm + 0.1 * many[1].surface.vertex_normals
    )
    assert np.median(deviation_mm(grown, many[1])) == pytest.approx(0.1, abs=0.03)


def test_each_fault_of_a_surface_is_named_in_words() -> None:
    geometry = oblique_geometry((30, 30, 20), (0.9, 1.1, 2.0))
    labels = labelled(ellipsoid_mask(geometry, (8.0, 9.0, 10.0)), geometry)
    against = yardstick(labels, 1)
    raw = against.surface
    steps = judge(raw, against).reasons
    assert len(steps) == 1
    assert steps[0].startswith("steps of voxels over")
    lenient = Tolerances(stairs_percent=None, volume_percent=5)
    good = judge(raw, against, lenient)
    assert good.passed
    assert good.distance.max_mm == pytest.approx(0, abs=1e-9)
    crumbs = joined(raw, *(shifted(ball(0.2, fineness=1), 0, 0, -i) for i in range(1, 26)))
    faults = {
        "26 separate pieces, allowed 20": joined(
            raw, *(shifted(ball(0.1, fineness=0), -200, 12, 80 + i) for i in range(25))
        ),
        "not closed": Mesh(raw.vertices_mm, raw.faces[1:]),
        "inwards": turned(raw),
        "pairs of faces cross each other, first at": joined(raw, shifted(raw, 0.5, 0, 0)),
        "lie exactly upon another one": joined(raw, raw),
        "centroid offset": shifted(raw, 0, 0, 1.5),
        "volume change": raw.moved(
            raw.vertices_mm + 0.5 * (raw.vertices_mm - raw.centroid_mm) / 10
        ),
        "largest surface distance": crumbs,
    }
    for reason, mesh in faults.items():
        found = judge(mesh, against, lenient)
        assert any(reason in each for each in found.reasons), (reason, found.reasons)
        assert not found.passed


def test_a_budget_in_millimetres_stands_in_for_voxels() -> None:
    geometry = oblique_geometry((30, 30, 12), (0.7, 0.7, 3.0))
    labels = labelled(ellipsoid_mask(geometry, (7.0, 7.0, 10.0)), geometry)
    raw = extract_surface(labels, 1)
    along = geometry.matrix[:3, 2]
    shifted_half = shifted(raw, *(0.4 * along))
    lenient = {"stairs_percent": None, "volume_percent": 5.0, "centroid_vox": 2.0}
    found = certify(shifted_half, labels, 1, Tolerances(**lenient))  # type: ignore[arg-type]
    assert found.passed, found.reasons
    assert found.max_vox <= 0.4 + 1e-6
    assert 1.0 < found.distance.max_mm <= 1.2 + 1e-6
    strict = Tolerances(tolerance_mm=0.3, **lenient)  # type: ignore[arg-type]
    reasons = certify(shifted_half, labels, 1, strict).reasons
    assert reasons == (f"largest surface distance {found.distance.max_mm:.3g} mm, allowed 0.3 mm",)


def test_thin_walls_fail_where_a_thickness_is_asked_for() -> None:
    geometry = oblique_geometry((20, 20, 5), (1.0, 1.0, 1.0))
    mask = np.zeros((20, 20, 5), dtype=bool)
    mask[2:18, 2:18, 2] = True
    found = certify(extract_surface(labelled(mask, geometry), 1), labelled(mask, geometry), 1)
    assert found.wall is not None
    assert found.wall.median_mm == pytest.approx(1.0, abs=0.02)
    asked = Tolerances(min_wall_mm=1.2)
    again = certify(
        extract_surface(labelled(mask, geometry), 1), labelled(mask, geometry), 1, asked
    )
    assert any("allowed 1.2 mm; thinnest" in reason for reason in again.reasons)


def test_a_certificate_is_a_document() -> None:
    geometry = oblique_geometry((12, 12, 12), (1.0, 1.0, 1.0))
    labels = labelled(ellipsoid_mask(geometry, (4.0, 4.0, 4.0)), geometry)
    against = yardstick(labels, 1)
    searched = SearchedCrossings(np.array([[0, 5]]), "these two faces")
    certificate = judge(against.surface, against, crossings=searched, changes=["two voxels turned"])
    document = json.loads(json.dumps(certificate.to_json(), allow_nan=False))
    assert document["passed"] is False
    assert document["crossings"]["pairs"] == 1
    assert document["crossings"]["searched"] == "these two faces"
    assert document["changes"] == ["two voxels turned"]
    assert document["distance_to"] == "the surface of the label's voxels"
    assert document["orientation"] == "RAS"


def test_a_tolerance_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="tolerance_mm must be above 0, found 0"):
        Tolerances(tolerance_mm=0.0)
    with pytest.raises(UsageError, match="min_wall_mm must be above 0"):
        Tolerances(min_wall_mm=float("nan"))
