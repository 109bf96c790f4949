from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.errors import DataError
from voxloop.mesh.certificate.crossings import self_intersections
from voxloop.mesh.certificate.topology import topology
from voxloop.mesh.extraction.cells import case_of
from voxloop.mesh.extraction.extract import extract_interfaces, extract_surface
from voxloop.mesh.extraction.odds import ProbabilityOdds
from voxloop.mesh.fairing.network import Network
from voxloop.mesh.fairing.volumes import voxel_volumes_mm3
from voxloop.mesh.interfaces import Interfaces
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import IGNORE, LabelTable
from voxloop.volume.volume import LabelMap

LABELS = LabelTable.from_names("skin", "bone", "screw", "vein", "nerve", "tumour")
PLAIN = np.diag([1.0, 2.0, 3.0, 1.0])

Labels = npt.NDArray[np.uint8]


def some_labels(most: int, side: int) -> st.SearchStrategy[Labels]:
    """Up to `most` labels besides the outside, in a random arrangement."""
    shapes = arrays.array_shapes(min_dims=3, max_dims=3, max_side=side)
    return arrays.arrays(np.uint8, shapes, elements=st.integers(0, most), fill=st.nothing())


def labelled(array: npt.NDArray[Any], geometry: Geometry | None = None) -> LabelMap:
    grid = geometry or oblique_geometry(array.shape, (0.8, 1.0, 1.3))
    return LabelMap(array.astype(np.uint8), grid, LABELS)


def check_sound(interfaces: Interfaces) -> None:
    for value in interfaces.values:
        surface = interfaces.surface(value)
        assert topology(surface).defects() == ()
        assert surface.volume_mm3 > 0


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6).flatmap(lambda most: some_labels(most, 5)), st.integers(0, 7))
def test_every_label_of_any_arrangement_is_a_closed_manifold(array: Labels, mirrored: int) -> None:
    flips = (bool(mirrored & 1), bool(mirrored & 2), bool(mirrored & 4))
    label_map = labelled(array, oblique_geometry(array.shape, (0.8, 1.0, 1.3), flips=flips))
    extraction = extract_interfaces(label_map)
    interfaces = extraction.interfaces
    assert set(interfaces.values) == set(np.unique(array)) - {0}
    check_sound(interfaces)
    network = Network.of(interfaces)
    volumes = voxel_volumes_mm3(extraction, network)
    for value in interfaces.values:
        own = [network.pieces[interfaces.sides[:, side] == value, side] for side in (0, 1)]
        found_mm3 = volumes[np.unique(np.concatenate(own))].sum()
        assert found_mm3 == pytest.approx(1000 * label_map.volume_ml(value))


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 6).flatmap(lambda most: some_labels(most, 4)))
def test_extracted_surfaces_never_cross(array: Labels) -> None:
    interfaces = extract_interfaces(labelled(array)).interfaces
    assert len(self_intersections(interfaces.vertices_mm, interfaces.faces)) == 0


def test_no_arrangement_of_two_or_three_labels_in_a_cell_pinches_one() -> None:
    for labels in itertools.product(range(3), repeat=7):
        ranks = (0, *labels)
        if set(ranks) == set(range(max(ranks) + 1)) and len(set(ranks)) > 1:
            assert not case_of(ranks).pinched


def test_touching_labels_share_triangles_and_fill_their_union() -> None:
    geometry = oblique_geometry((24, 20, 16))
    mask = ellipsoid_mask(geometry, (9.0, 7.0, 12.0))
    array = np.where(mask, 1, 0)
    array[12:][mask[12:]] = 2
    array[:, 10:][mask[:, 10:]] += 2
    interfaces = extract_interfaces(labelled(array, geometry)).interfaces
    union = extract_surface(labelled(mask, geometry), 1)
    parts = [interfaces.surface(value) for value in (1, 2, 3, 4)]
    outer = interfaces.faces[interfaces.sides[:, 1] == 0]
    corners = interfaces.vertices_mm[outer] - interfaces.vertices_mm.mean(axis=0)
    enclosed_mm3 = np.linalg.det(corners).sum() / 6
    assert sum(part.volume_mm3 for part in parts) == pytest.approx(enclosed_mm3)
    assert enclosed_mm3 == pytest.approx(union.volume_mm3, rel=1e-2)
    triangles = [
        {tuple(sorted(map(tuple, t))) for t in p.vertices_mm[p.faces].tolist()} for p in parts
    ]
    for (i, one), (j, other) in itertools.combinations(enumerate(triangles, start=1), 2):
        between = (interfaces.sides == (j, i)).all(axis=1).sum()
        assert len(one & other) == between
        assert between or (i, j) in {(1, 4), (2, 3)}


@pytest.mark.parametrize("parity", [0, 1])
def test_voxels_that_touch_in_edges_hang_together(parity: int) -> None:
    mask = np.indices((6, 6, 6)).sum(axis=0) % 2 == parity
    found = topology(extract_surface(labelled(mask), 1))
    assert found.defects() == ()
    # one outer surface, and one around each of the 32 enclosed voxels of the outside
    assert found.components == 33


def test_voxels_that_touch_in_a_corner_stay_apart() -> None:
    mask = np.zeros((4, 4, 4), dtype=bool)
    mask[range(4), range(4), range(4)] = True
    found = topology(extract_surface(labelled(mask), 1))
    assert (found.components, found.euler_number) == (4, 8)


def test_a_structure_cut_by_the_border_is_closed_half_a_voxel_outside() -> None:
    geometry = Geometry.from_affine((4, 5, 6), PLAIN)
    mesh = extract_surface(labelled(np.ones((4, 5, 6), dtype=bool), geometry), 1)
    np.testing.assert_allclose(mesh.bounds_mm, [[-0.5, -1.0, -1.5], [3.5, 9.0, 16.5]])
    assert topology(mesh).defects() == ()


def test_voxels_nobody_looked_at_count_as_outside() -> None:
    geometry = oblique_geometry((20, 20, 12))
    mask = ellipsoid_mask(geometry, (5.0, 5.0, 5.0))
    unseen = labelled(np.where(mask, 1, IGNORE), geometry)
    seen = extract_surface(labelled(mask, geometry), 1)
    assert extract_surface(unseen, 1).volume_mm3 == seen.volume_mm3


def test_labels_that_were_not_asked_for_count_as_outside() -> None:
    array = np.full((3, 3, 3), 2)
    array[1, 1, 1] = 1
    assert extract_interfaces(labelled(array), values=(1,)).interfaces.pairs == ((1, 0),)
    assert extract_interfaces(labelled(array)).interfaces.pairs == ((2, 0), (2, 1))


def test_probabilities_put_the_surface_between_voxels() -> None:
    geometry = Geometry.from_affine((20, 20, 20), np.diag([1.0, 1.0, 1.0, 1.0]))
    distance_mm = np.linalg.norm(np.indices((20, 20, 20)).T - 9.6, axis=-1) - 6.3
    inside = np.clip(0.5 - distance_mm / 4, 0, 1)
    label_map = labelled(inside > 0.5, geometry)
    label_map = LabelMap(label_map.array, geometry, LabelTable.from_names("skin"))
    odds = ProbabilityOdds.of(np.stack([1 - inside, inside]), label_map)
    found = extract_interfaces(label_map, odds=odds)
    radii_mm = np.linalg.norm(found.interfaces.vertices_mm - 9.6, axis=1)
    np.testing.assert_allclose(radii_mm, 6.3, atol=0.06)
    check_sound(found.interfaces)
    with pytest.raises(DataError, match=r"shape \(2, 20, 20, 20\)"):
        ProbabilityOdds.of(np.zeros((1, 20, 20, 20)), label_map)


def test_a_map_without_labels_has_no_surface_and_an_absent_label_is_refused() -> None:
    empty = labelled(np.zeros((3, 3, 3)))
    assert extract_interfaces(empty).interfaces.values == ()
    with pytest.raises(DataError, match=r"voxels of label 2 \('bone'\), found none.*no labels"):
        extract_surface(empty, 2)


@pytest.mark.parametrize(
    ("faces", "sides", "message"),
    [
        ([[0, 1, 2]], [[1, 0], [1, 0]], r"faces \(F, 3\) and sides \(F, 2\)"),
        ([[0, 1, 3]], [[1, 0]], "indices below 3"),
        ([[0, 1, 2]], [[0, 1]], "higher label behind"),
    ],
)
def test_interfaces_that_cannot_be_are_refused(
    faces: list[list[int]], sides: list[list[int]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Interfaces(
            np.zeros((3, 3)), np.array(faces, dtype=np.int32), np.array(sides, dtype=np.uint8)
        )
