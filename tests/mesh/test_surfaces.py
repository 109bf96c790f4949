from __future__ import annotations

import itertools
from pathlib import Path

import manifold3d
import numpy as np
import numpy.typing as npt
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.errors import DataError
from voxloop.mesh.certify import Tolerances, certify
from voxloop.mesh.export import write_stl
from voxloop.mesh.extract import extract_surface
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.smooth import smooth_surface
from voxloop.mesh.surfaces import mesh_label, mesh_labels
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import IGNORE, LabelTable
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


def test_thick_slices_are_smoothed_across_but_not_along_them() -> None:
    geometry = oblique_geometry((64, 64, 18), (0.7, 0.7, 3.0))
    labels = label_map(ellipsoid_mask(geometry, (18.0, 18.0, 18.0)), geometry)
    surface = extract_surface(labels, 1)
    smoothed = smooth_surface(surface, geometry)
    step_vox = geometry.to_voxel(smoothed.mesh.vertices_mm) - geometry.to_voxel(surface.vertices_mm)
    assert np.linalg.norm(step_vox, axis=1).max() <= 0.5 + 1e-9
    assert smoothed.max_displacement_vox <= 0.5 + 1e-9
    assert 0.35 < smoothed.max_displacement_mm <= 1.5
    assert smoothed.mesh.volume_mm3 == pytest.approx(surface.volume_mm3, rel=1e-3)


def test_small_structures_are_smoothed_gently_instead_of_being_eaten() -> None:
    geometry = oblique_geometry((12, 12, 12), (1.0, 1.0, 1.0))
    labels = label_map(ellipsoid_mask(geometry, (2.0, 2.0, 2.0)), geometry)
    surface = extract_surface(labels, 1)
    gentle = smooth_surface(surface, geometry)
    assert gentle.passband is None or gentle.passband > 0.01
    assert abs(gentle.drift_percent) <= 3.0
    unbounded = smooth_surface(surface, geometry, max_drift_percent=100.0)
    assert unbounded.passband == 0.01
    assert unbounded.drift_percent < -15


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(bool, arrays.array_shapes(min_dims=3, max_dims=3, max_side=6)))
def test_any_arrangement_of_voxels_gives_a_closed_manifold(mask: npt.NDArray[np.bool_]) -> None:
    mask[tuple(n // 2 for n in mask.shape)] = True
    mesh = extract_surface(label_map(mask), 1)
    assert is_manifold(mesh)
    found = certify(mesh, label_map(mask), 1, Tolerances(1e9, 1e9, 1e9, 1e9))
    assert found.passed, found.reasons
    assert mesh.volume_mm3 > 0


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 0.9), st.integers(0, 2**32 - 1))
def test_noise_stays_manifold_under_smoothing(density: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random((12, 13, 14)) < density
    mask[6, 6, 6] = True
    labels = label_map(mask)
    mesh, certificate = mesh_label(labels, 1)
    assert is_manifold(mesh)
    assert not certificate.topology.defects()


@pytest.mark.parametrize("parity", [0, 1])
def test_voxels_that_touch_in_edges_only_stay_apart(parity: int) -> None:
    mask = np.indices((6, 6, 6)).sum(axis=0) % 2 == parity
    mesh = extract_surface(label_map(mask), 1)
    certificate = certify(mesh, label_map(mask), 1)
    assert is_manifold(mesh)
    assert certificate.topology.components == mask.sum() == 108
    assert certificate.topology.euler_number == 2 * 108


def test_one_voxel_has_a_surface_of_its_own_volume() -> None:
    mask = np.zeros((3, 3, 3), dtype=bool)
    mask[0, 2, 1] = True
    mesh, certificate = mesh_label(label_map(mask, oblique_geometry((3, 3, 3), (1.0, 1.0, 1.0))), 1)
    assert certificate.passed, certificate.reasons
    assert mesh.volume_mm3 == pytest.approx(1.0, rel=0.03)


def test_a_structure_cut_by_the_border_is_closed_half_a_voxel_outside() -> None:
    geometry = Geometry.from_affine((4, 5, 6), np.diag([1.0, 2.0, 3.0, 1.0]))
    mesh = extract_surface(label_map(np.ones((4, 5, 6), dtype=bool), geometry), 1)
    np.testing.assert_allclose(mesh.bounds_mm, [[-0.5, -1.0, -1.5], [3.5, 9.0, 16.5]])
    assert is_manifold(mesh)


def test_voxels_nobody_looked_at_count_as_outside() -> None:
    geometry = oblique_geometry((20, 20, 12))
    mask = ellipsoid_mask(geometry, (5.0, 5.0, 5.0))
    plain = label_map(mask, geometry)
    unseen = LabelMap(np.where(mask, 1, IGNORE).astype(np.uint8), geometry, LABELS)
    assert extract_surface(unseen, 1).volume_mm3 == extract_surface(plain, 1).volume_mm3


def test_an_absent_label_is_refused_alone_and_skipped_among_others() -> None:
    labels = label_map(np.ones((2, 2, 2), dtype=bool))
    with pytest.raises(DataError, match=r"voxels of label 2 \('screw'\), found none.*'bone'"):
        extract_surface(labels, 2)
    assert list(mesh_labels(labels)) == [1]


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


def test_an_stl_file_is_read_back_in_lps_and_still_watertight(tmp_path: Path) -> None:
    geometry = oblique_geometry((30, 30, 20), flips=(True, False, False))
    mesh, _ = mesh_label(label_map(asymmetric_mask(geometry), geometry), 1)
    path = tmp_path / "bone.stl"
    write_stl(path, mesh)
    content = path.read_bytes()
    assert content[:80].rstrip() == b"Voxloop SPACE=LPS;UNIT=mm"
    assert len(content) == 84 + 50 * len(mesh.faces)
    read = trimesh.load_mesh(path)
    assert read.is_watertight
    assert read.volume == pytest.approx(mesh.volume_mm3, rel=1e-4)
    np.testing.assert_allclose(read.center_mass, mesh.centroid_mm * [-1, -1, 1], atol=1e-3)
    np.testing.assert_allclose(read.face_normals[0], facet_normal(content), atol=1e-3)


def facet_normal(content: bytes) -> npt.NDArray[np.float32]:
    return np.frombuffer(content, dtype="<f4", count=3, offset=84)


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
        assert list(found) == [1, 2]
        for mesh, certificate in found.values():
            assert certificate.passed, certificate.reasons
            assert is_manifold(mesh)


def test_a_real_mandible_passes(shared_data: Path) -> None:
    folder = shared_data / "head_neck_readers" / "0522c0017" / "oncologist"
    array, geometry = read_mask(folder / "Mandible.nrrd")
    mesh, certificate = mesh_label(LabelMap(array, geometry, LABELS), 1)
    assert certificate.passed, certificate.reasons
    assert is_manifold(mesh)
    truth_mm = geometry.to_world(np.argwhere(array == 1)).mean(axis=0)
    np.testing.assert_allclose(mesh.centroid_mm, truth_mm, atol=0.3)
