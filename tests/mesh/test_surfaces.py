from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import manifold3d
import numpy as np
import numpy.typing as npt
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.errors import DataError
from voxloop.mesh import surfaces
from voxloop.mesh.certificate.certify import Tolerances, certify
from voxloop.mesh.certificate.topology import topology
from voxloop.mesh.extraction.extract import Extraction, extract_interfaces, extract_surface
from voxloop.mesh.fairing.budget import Budget
from voxloop.mesh.fairing.smooth import Smoothed, smooth_interfaces
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.surfaces import mesh_label, mesh_labels
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap

FLIPS = list(itertools.product((False, True), repeat=3))
LABELS = LabelTable.from_names("bone", "screw")


def label_map(mask: npt.NDArray[np.bool_], geometry: Geometry | None = None) -> LabelMap:
    grid = geometry or oblique_geometry(mask.shape, (0.8, 1.0, 1.3))
    return LabelMap(mask.astype(np.uint8), grid, LABELS)


def asymmetric_mask(geometry: Geometry) -> npt.NDArray[np.bool_]:
    body = ellipsoid_mask(geometry, (5.0, 6.5, 8.0))
    nose = ellipsoid_mask(geometry, (3.0, 2.5, 3.5), offset_mm=(6.0, 2.0, 3.0))
    return np.asarray(body | nose)


def is_manifold(mesh: Mesh) -> bool:
    """Two opinions besides our own: trimesh counts edges, Manifold pairs them."""
    outer = trimesh.Trimesh(mesh.vertices_mm, mesh.faces, process=False)
    solid = manifold3d.Manifold(
        manifold3d.Mesh64(mesh.vertices_mm.copy(), tri_verts=mesh.faces.astype(np.uint64))
    )
    # Manifold splits edges that four faces share, so that it ends with other vertices than given
    untouched = solid.num_vert() == len(mesh.vertices_mm) and solid.num_tri() == len(mesh.faces)
    return bool(
        outer.is_watertight
        and outer.is_winding_consistent
        and solid.status() == manifold3d.Error.NoError
        and untouched
    )


@pytest.mark.parametrize("flips", FLIPS)
def test_left_stays_left_and_outside_stays_outside_on_every_flipped_grid(
    flips: tuple[bool, bool, bool],
) -> None:
    geometry = oblique_geometry((30, 30, 20), (0.9, 1.1, 2.0), flips=flips)
    mask = asymmetric_mask(geometry)
    mesh, certificate = mesh_label(label_map(mask, geometry), 1)
    truth_mm = geometry.to_world(np.argwhere(mask)).mean(axis=0)
    np.testing.assert_allclose(mesh.centroid_mm, truth_mm, atol=0.1)
    assert mesh.volume_mm3 == pytest.approx(mask.sum() * geometry.voxel_volume_mm3, rel=1e-3)
    assert certificate.passed, certificate.reasons
    assert is_manifold(mesh)


def test_a_sphere_comes_out_truer_than_its_voxels() -> None:
    geometry = oblique_geometry((46, 46, 46), (1.0, 1.0, 1.0))
    labels = label_map(ellipsoid_mask(geometry, (20.0, 20.0, 20.0)), geometry)
    surface = extract_surface(labels, 1)
    mesh, certificate = mesh_label(labels, 1)
    centre_mm = geometry.to_world([[22.5, 22.5, 22.5]])[0]
    rough, fine = (
        np.percentile(np.abs(np.linalg.norm(m.vertices_mm - centre_mm, axis=1) - 20), 95)
        for m in (surface, mesh)
    )
    assert fine < 0.2
    assert rough > 0.35
    assert mesh.volume_mm3 == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.005)
    assert mesh.area_mm2 == pytest.approx(4 * np.pi * 20**2, rel=0.01)
    assert certificate.topology.euler_number == 2
    assert certificate.distance.max_mm <= 0.5 + 1e-9


def test_thick_slices_are_interpolated_between_and_what_was_done_is_said() -> None:
    geometry = oblique_geometry((44, 44, 14), (0.7, 0.7, 3.0))
    labels = label_map(ellipsoid_mask(geometry, (12.0, 12.0, 12.0)), geometry)
    made = mesh_labels(labels)
    found = made.certificates[1]
    assert found.passed, found.reasons
    assert made.changes == found.changes
    assert "interpolated between slices, voxels of 0.7 x 0.7 x 3 mm" in made.changes[0]
    assert "between slices as well" in found.distance_to
    centre_mm = geometry.to_world([[21.5, 21.5, 6.5]])[0]
    errors_mm = np.linalg.norm(made.surfaces[1].vertices_mm - centre_mm, axis=1) - 12
    assert np.percentile(np.abs(errors_mm), 95) < 0.35
    assert made.surfaces[1].volume_mm3 == pytest.approx(1000 * labels.volume_ml(1), rel=0.005)


def test_touching_labels_share_their_triangles_without_gap_or_overlap() -> None:
    geometry = oblique_geometry((26, 24, 20), (0.8, 1.0, 1.1))
    mask = ellipsoid_mask(geometry, (8.0, 7.0, 9.0))
    array = mask.astype(np.uint8)
    array[13:][mask[13:]] = 2
    made = mesh_labels(LabelMap(array, geometry, LABELS), triangles=1200)
    assert made.passed, [c.reasons for c in made.certificates.values()]
    assert made.simplified is not None
    assert "simplified to" in made.changes[-1]
    one, other = (triangles_of(made.surfaces[value]) for value in (1, 2))
    shared = (made.interfaces.sides == (2, 1)).all(axis=1).sum()
    assert len(one & other) == shared > 50
    solids = [solid_of(made.surfaces[value]) for value in (1, 2)]
    overlap = (solids[0] ^ solids[1]).volume()
    union = (solids[0] + solids[1]).volume()
    total = sum(mesh.volume_mm3 for mesh in made.surfaces.values())
    assert overlap == pytest.approx(0, abs=1e-6 * total)
    assert union == pytest.approx(total, rel=1e-6)


def triangles_of(mesh: Mesh) -> set[tuple[tuple[float, ...], ...]]:
    corners = mesh.vertices_mm[mesh.faces].tolist()
    return {tuple(sorted(tuple(point) for point in triangle)) for triangle in corners}


def solid_of(mesh: Mesh) -> manifold3d.Manifold:
    faces = mesh.faces.astype(np.uint64)
    return manifold3d.Manifold(manifold3d.Mesh64(mesh.vertices_mm.copy(), tri_verts=faces))


def test_a_tolerance_in_millimetres_bounds_the_surface() -> None:
    labels = label_map(asymmetric_mask(oblique_geometry((30, 30, 20), (0.9, 1.1, 1.3))))
    made = mesh_labels(labels, Tolerances(tolerance_mm=0.3))
    assert made.passed, made.certificates[1].reasons
    assert made.smoothed.displacement_mm.max() <= 0.3
    assert made.certificates[1].distance.max_mm <= 0.3


def test_each_surface_is_searched_for_crossings_by_itself_unless_there_are_too_many_triangles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = label_map(asymmetric_mask(oblique_geometry((30, 30, 20), (0.9, 1.1, 1.3))))
    assert mesh_labels(labels).certificates[1].crossings.searched == "all faces of this surface"
    monkeypatch.setattr(surfaces, "_SEARCHED_ALONE", 10)
    joint = mesh_labels(labels).certificates[1]
    assert joint.crossings.searched.startswith("all labels together")
    # a search that misses everything is found out by the one surface by surface
    monkeypatch.setattr(surfaces, "_SEARCHED_ALONE", 10**9)
    monkeypatch.setattr(surfaces, "smooth_interfaces", folded)
    found = mesh_labels(labels).certificates[1]
    assert found.crossings.pairs > 0
    assert any("cross each other" in reason for reason in found.reasons)


def folded(
    extraction: Extraction,
    budget: Budget,
    *,
    volume_factors: npt.NDArray[np.float64] | None = None,
) -> Smoothed:
    """Smoothing that pushes a vertex through the other side and says that nothing crosses."""
    smoothed = smooth_interfaces(extraction, budget, volume_factors=volume_factors)
    vertices = smoothed.interfaces.vertices_mm.copy()
    vertices[0] = 2 * vertices.mean(axis=0) - 2 * (vertices[0] - vertices.mean(axis=0))
    return replace(smoothed, interfaces=smoothed.interfaces.moved(vertices), crossings=0)


@settings(max_examples=4, deadline=None)
@given(st.floats(0.1, 0.9), st.integers(0, 2**32 - 1))
def test_noise_stays_manifold_under_smoothing(density: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random((9, 8, 10)) < density
    mask[4, 4, 4] = True
    labels = label_map(mask)
    mesh, certificate = mesh_label(labels, 1)
    assert is_manifold(mesh)
    assert not certificate.topology.defects()


def test_one_voxel_has_a_surface_of_its_own_volume() -> None:
    mask = np.zeros((3, 3, 3), dtype=bool)
    mask[0, 2, 1] = True
    mesh, certificate = mesh_label(label_map(mask, oblique_geometry((3, 3, 3), (1.0, 1.0, 1.0))), 1)
    assert certificate.passed, certificate.reasons
    assert mesh.volume_mm3 == pytest.approx(1.0, rel=0.03)


def test_a_thousand_islands_keep_their_volumes() -> None:
    mask = np.zeros((30, 30, 30), dtype=bool)
    mask[1::3, 1::3, 1::3] = True
    labels = label_map(mask)
    made = mesh_labels(labels)
    found = made.certificates[1]
    assert found.topology.components == 1000
    assert found.volume_change_percent == pytest.approx(0, abs=0.5)
    assert any("1000 separate pieces" in reason for reason in found.reasons)


def test_every_value_a_label_map_can_hold_has_its_surface() -> None:
    values = np.arange(1, 255, dtype=np.uint8)
    table = LabelTable.from_names(*map("label {}".format, values))
    array = np.zeros((7, 7, 7), dtype=np.uint8)
    array.ravel()[: len(values)] = values
    label_map = LabelMap(array, oblique_geometry((7, 7, 7), (0.8, 1.0, 1.1)), table)
    smoothed = smooth_interfaces(extract_interfaces(label_map), Budget.voxels(label_map.geometry))
    assert smoothed.interfaces.values == tuple(values.tolist())
    assert smoothed.crossings == 0
    for value in values[::10]:
        assert topology(smoothed.interfaces.surface(value)).defects() == ()


def test_a_label_that_fills_the_whole_scan_is_a_box() -> None:
    labels = label_map(np.ones((8, 9, 10), dtype=bool))
    found = mesh_labels(labels).certificates[1]
    assert found.passed, found.reasons


def test_an_empty_map_has_no_surfaces() -> None:
    made = mesh_labels(label_map(np.zeros((4, 4, 4), dtype=bool)))
    assert (made.surfaces, made.certificates, made.passed) == ({}, {}, True)


def test_an_absent_label_is_refused_alone_and_skipped_among_others() -> None:
    labels = label_map(np.ones((2, 2, 2), dtype=bool))
    with pytest.raises(DataError, match=r"voxels of label 2 \('screw'\), found none.*'bone'"):
        mesh_label(labels, 2)
    assert list(mesh_labels(labels).surfaces) == [1]


def test_a_mirrored_a_shifted_and_an_opened_surface_fail_with_a_reason() -> None:
    geometry = oblique_geometry((30, 30, 20), (0.9, 1.1, 2.0))
    labels = label_map(asymmetric_mask(geometry), geometry)
    good, _ = mesh_label(labels, 1)
    about_mm = 2 * good.bounds_mm.mean(axis=0)[0]
    mirrored = good.moved(np.stack([about_mm, 0, 0]) + good.vertices_mm * [-1, 1, 1])
    assert "faces point inwards (negative volume)" in certify(mirrored, labels, 1).reasons
    unturned = Mesh(mirrored.vertices_mm, mirrored.faces[:, ::-1])
    assert any("centroid offset" in reason for reason in certify(unturned, labels, 1).reasons)
    shifted = good.moved(good.vertices_mm + np.array([0.0, 0.0, 2.0]))
    assert any("largest surface" in reason for reason in certify(shifted, labels, 1).reasons)
    opened = certify(Mesh(good.vertices_mm, good.faces[1:]), labels, 1)
    assert not opened.topology.closed
    assert not opened.passed


def test_pinched_vertices_triple_edges_and_turned_faces_are_seen() -> None:
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=float)
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
    labels = label_map(np.ones((1, 1, 1), dtype=bool))
    solid = certify(Mesh(corners, faces), labels, 1).topology
    assert solid.defects() == ()
    assert solid.euler_number == 2
    mirror = np.where(faces == 0, 0, faces + 3)[:, ::-1]
    twins = Mesh(np.concatenate([corners, -corners[1:]]), np.concatenate([faces, mirror]))
    pinched = certify(twins, labels, 1).topology
    assert (pinched.closed, pinched.two_manifold, pinched.components) == (True, False, 1)
    shared_edge = np.where(faces <= 1, faces, faces + 2)
    fin = Mesh(np.concatenate([corners, -corners[2:]]), np.concatenate([faces, shared_edge]))
    assert not certify(fin, labels, 1).topology.two_manifold
    turned = faces.copy()
    turned[0] = turned[0, ::-1]
    assert not certify(Mesh(corners, turned), labels, 1).topology.oriented


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        (np.zeros((3, 2)), [[0, 1, 2]], r"vertices of shape \(V, 3\)"),
        (np.full((3, 3), np.nan), [[0, 1, 2]], "finite vertices"),
        (np.zeros((3, 3)), np.zeros((0, 3), dtype=int), "at least one face"),
        (np.zeros((3, 3)), [[0, 1, 3]], "indices from 0 to 2"),
    ],
)
def test_a_mesh_that_cannot_be_is_refused(
    vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int32], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Mesh(vertices, np.asarray(faces))


def read_mask(path: Path) -> tuple[npt.NDArray[np.uint8], Geometry]:
    import SimpleITK as sitk

    image = sitk.ReadImage(path)
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    array = np.asarray(sitk.GetArrayFromImage(image).transpose(2, 1, 0), dtype=np.uint8)
    return array, Geometry.from_affine(array.shape, np.diag([-1, -1, 1, 1]) @ matrix)


def test_real_hippocampi_pass(shared_data: Path) -> None:
    for path in sorted((shared_data / "hippocampus" / "labelsTr").glob("*.nii.gz"))[:3]:
        found = mesh_labels(LabelMap(*read_mask(path), LABELS))
        assert list(found.surfaces) == [1, 2]
        for value, mesh in found.surfaces.items():
            assert found.certificates[value].passed, found.certificates[value].reasons
            assert is_manifold(mesh)


def test_a_real_mandible_passes(shared_data: Path) -> None:
    folder = shared_data / "head_neck_readers" / "0522c0017" / "oncologist"
    array, geometry = read_mask(folder / "Mandible.nrrd")
    mesh, certificate = mesh_label(LabelMap(array, geometry, LABELS), 1)
    assert certificate.passed, certificate.reasons
    assert is_manifold(mesh)
    truth_mm = geometry.to_world(np.argwhere(array == 1)).mean(axis=0)
    np.testing.assert_allclose(mesh.centroid_mm, truth_mm, atol=0.3)
