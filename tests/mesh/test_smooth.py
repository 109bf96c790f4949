from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.errors import UsageError
from voxloop.mesh.certificate.crossings import self_intersections
from voxloop.mesh.certificate.topology import topology
from voxloop.mesh.extraction.extract import extract_interfaces
from voxloop.mesh.fairing.budget import Budget
from voxloop.mesh.fairing.network import Network
from voxloop.mesh.fairing.smooth import Smoothed, smooth_interfaces
from voxloop.mesh.fairing.untangle import untangled
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap

LABELS = LabelTable.from_names("skin", "bone", "screw")


def labelled(
    array: npt.NDArray[np.integer] | npt.NDArray[np.bool_], geometry: Geometry
) -> LabelMap:
    return LabelMap(array.astype(np.uint8), geometry, LABELS)


def smoothed(label_map: LabelMap, budget: Budget | None = None) -> Smoothed:
    extraction = extract_interfaces(label_map)
    return smooth_interfaces(extraction, budget or Budget.voxels(label_map.geometry))


def ball(radius_mm: float) -> LabelMap:
    side = int(2 * radius_mm + 6)
    geometry = oblique_geometry((side, side, side), (1.0, 1.0, 1.0))
    return labelled(ellipsoid_mask(geometry, (radius_mm,) * 3), geometry)


def errors_mm(found: Smoothed, label_map: LabelMap, radius_mm: float) -> npt.NDArray[np.float64]:
    centre_mm = label_map.geometry.to_world([(np.array(label_map.array.shape) - 1) / 2])[0]
    return np.asarray(np.linalg.norm(found.interfaces.vertices_mm - centre_mm, axis=1) - radius_mm)


@pytest.mark.parametrize(
    ("radius_mm", "p95_mm"), [(3.0, 0.35), (5.0, 0.25), (10.0, 0.2), (16.0, 0.15)]
)
def test_spheres_come_out_truer_than_their_voxels_and_none_is_eaten(
    radius_mm: float, p95_mm: float
) -> None:
    label_map = ball(radius_mm)
    found = smoothed(label_map)
    assert np.percentile(np.abs(errors_mm(found, label_map, radius_mm)), 95) < p95_mm
    mesh = found.interfaces.surface(1)
    assert mesh.volume_mm3 == pytest.approx(label_map.mask(1).sum(), rel=1e-3)
    directions = mesh.face_vectors_mm2 / np.linalg.norm(mesh.face_vectors_mm2, axis=1)[:, None]
    middles = mesh.vertices_mm[mesh.faces].mean(axis=1)
    outwards = middles - mesh.centroid_mm
    outwards /= np.linalg.norm(outwards, axis=1)[:, None]
    lean = np.degrees(np.arccos(np.clip((directions * outwards).sum(axis=1), -1, 1)))
    # raw voxel surfaces lean by 23 degrees, root mean square
    assert np.sqrt((lean**2).mean()) < (10 if radius_mm < 10 else 4)


def test_a_thin_tube_across_the_grid_keeps_its_radius() -> None:
    geometry = oblique_geometry((16, 16, 30), (1.0, 1.0, 1.0), angles=(0.3, 0.2, 0.0))
    indices = np.argwhere(np.ones((16, 16, 30), dtype=bool))
    along = geometry.to_world(indices) - geometry.to_world([[7.6, 7.3, 14.5]])[0]
    mask = (np.hypot(along[:, 0], along[:, 1]) <= 1.0).reshape(16, 16, 30)
    found = smoothed(labelled(mask, geometry))
    mesh = found.interfaces.surface(1)
    assert topology(mesh).components == 1
    assert mesh.volume_mm3 == pytest.approx(mask.sum(), rel=0.02)
    amid = mesh.vertices_mm - geometry.to_world([[7.6, 7.3, 14.5]])[0]
    radii_mm = np.hypot(amid[:, 0], amid[:, 1])[np.abs(amid[:, 2]) < 9]
    assert 0.6 < radii_mm.min() <= radii_mm.max() < 1.5


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.9), st.booleans())
def test_no_vertex_leaves_its_budget_and_nothing_crosses(
    seed: int,
    density: float,
    metric: bool,  # noqa: FBT001
) -> None:
    rng = np.random.default_rng(seed)
    array = rng.integers(1, 4, (6, 7, 5)) * (rng.random((6, 7, 5)) < density)
    array[3, 3, 3] = 1
    label_map = labelled(array, oblique_geometry(array.shape, (0.8, 1.0, 1.6)))
    start_mm = extract_interfaces(label_map).interfaces.vertices_mm
    found = smoothed(label_map, Budget.millimetres(0.3) if metric else None)
    step_mm = found.interfaces.vertices_mm - start_mm
    if metric:
        assert np.linalg.norm(step_mm, axis=1).max() <= 0.3
    else:
        step_vox = label_map.geometry.to_voxel(found.interfaces.vertices_mm)
        step_vox -= label_map.geometry.to_voxel(start_mm)
        assert np.linalg.norm(step_vox, axis=1).max() <= 0.5 + 1e-9
    assert found.budget_spent.max() <= 1
    assert found.crossings == 0
    pairs = self_intersections(found.interfaces.vertices_mm, found.interfaces.faces)
    assert len(pairs) == 0
    for value in found.interfaces.values:
        assert topology(found.interfaces.surface(value)).defects() == ()


def test_every_piece_of_touching_labels_gets_the_volume_of_its_voxels() -> None:
    geometry = oblique_geometry((40, 30, 20), (0.9, 1.1, 1.2))
    mask = ellipsoid_mask(geometry, (9.0, 8.0, 7.0))
    array = mask.astype(int)
    array[20:][mask[20:]] = 2
    array[2:4, 2:4, 2:4] = 2
    label_map = labelled(array, geometry)
    found = smoothed(label_map).interfaces
    pieces = Network.of(found).pieces
    for value, counts in ((1, [(array == 1).sum()]), (2, [8, (array == 2).sum() - 8])):
        at = found.sides == value
        numbers = np.unique(pieces[at])
        assert len(numbers) == len(counts)
        volumes = []
        for number in numbers:
            corners = found.vertices_mm[found.faces] - found.vertices_mm.mean(axis=0)
            sign = (pieces[:, 0] == number).astype(int) - (pieces[:, 1] == number)
            volumes.append(float((sign * np.linalg.det(corners)).sum() / 6))
        voxel_mm3 = geometry.voxel_volume_mm3
        assert sorted(volumes) == pytest.approx([c * voxel_mm3 for c in counts], rel=0.01)


def test_surfaces_that_would_cross_are_taken_back_there_and_only_there() -> None:
    label_map = ball(6.0)
    interfaces = extract_interfaces(label_map).interfaces
    start_mm = interfaces.vertices_mm
    middle_mm = start_mm.mean(axis=0)
    wanted_mm = start_mm + 0.01 * (start_mm - middle_mm)
    wanted_mm[10] = middle_mm - 2 * (start_mm[10] - middle_mm)
    assert len(self_intersections(wanted_mm, interfaces.faces)) > 0
    positions, brought_back, crossings = untangled(
        start_mm, wanted_mm, interfaces.faces, interfaces.pair_codes
    )
    assert crossings == 0
    assert len(self_intersections(positions, interfaces.faces)) == 0
    assert 0 < brought_back < len(start_mm) / 2
    assert (positions == wanted_mm).all(axis=1).sum() == len(start_mm) - brought_back


def test_a_budget_keeps_what_lies_along_the_normal_first() -> None:
    steps = np.array([[3.0, 4.0, 0.0], [0.3, 0.0, 0.4], [3.0, 0.0, 0.5]])
    normals = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    kept = Budget.millimetres(1.0).within(steps, normals)
    np.testing.assert_allclose(
        kept, [[1.0, 0.0, 0.0], [0.3, 0.0, 0.4], [np.sqrt(0.75), 0.0, 0.5]], atol=1e-6
    )
    with pytest.raises(UsageError, match="above 0 mm, found -1 mm"):
        Budget.millimetres(-1.0)
