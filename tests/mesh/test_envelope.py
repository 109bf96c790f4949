from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from phantoms import oblique_geometry
from solids import check_printable
from voxloop.errors import DataError, UsageError
from voxloop.mesh.envelope import envelopes, surface_uncertainty
from voxloop.mesh.extraction.level_surface import level_surface
from voxloop.mesh.extraction.probability import label_probability, probability_from_entropy
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume

GRID = oblique_geometry((44, 40, 24), (0.7, 0.8, 1.4), flips=(True, False, False))
SURE = float(np.log(19))
"""Log odds of 0.95."""


def depth_mm(geometry: Geometry, radius_mm: float) -> npt.NDArray[np.float64]:
    """How deep each voxel lies within a ball about the grid's centre."""
    indices = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    centre = geometry.to_world([(np.array(geometry.shape) - 1) / 2])[0]
    points = geometry.to_world(indices.reshape(-1, 3)) - centre
    return np.asarray((radius_mm - np.linalg.norm(points, axis=1)).reshape(geometry.shape))


def ball(softness_mm: float) -> Volume:
    """A ball of 9 mm whose border is as likely outside as inside, over a width in mm."""
    return Volume((1 / (1 + np.exp(-depth_mm(GRID, 9.0) / softness_mm))).astype(np.float32), GRID)


def labels_of(probability: Volume) -> LabelMap:
    return LabelMap((probability.array > 0.5).astype(np.uint8), GRID, LabelTable.from_names("a"))


@pytest.mark.parametrize("softness_mm", [0.4, 0.8])
def test_millimetres_are_those_between_the_levels(softness_mm: float) -> None:
    probability = ball(softness_mm)
    mesh = level_surface(probability.array - np.float32(0.5), GRID.matrix)
    assert mesh is not None
    check_printable(mesh)
    found = surface_uncertainty(mesh, probability)
    expected = SURE * softness_mm
    for values in (found.inward_mm, found.outward_mm, found.values_mm):
        assert np.median(values) == pytest.approx(expected, rel=0.04)
        assert np.percentile(np.abs(values - expected), 95) < 0.12 * expected + 0.1


def test_envelopes_enclose_what_is_sure_and_what_may_be() -> None:
    both = envelopes(ball(0.8))
    assert both.inner is not None
    assert both.outer is not None
    for mesh, sign in ((both.inner, -1), (both.outer, 1)):
        check_printable(mesh)
        radius = 9.0 + sign * SURE * 0.8
        assert mesh.volume_mm3 == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.03)
    narrow = envelopes(Volume(np.full(GRID.shape, 0.6, np.float32), GRID))
    assert narrow.inner is None
    assert narrow.outer is not None


def test_a_displaced_surface_is_measured_from_the_border_not_from_itself() -> None:
    probability = ball(0.6)
    mesh = level_surface(probability.array - np.float32(0.7), GRID.matrix)
    assert mesh is not None
    found = surface_uncertainty(mesh, probability)
    assert np.median(found.outward_mm) == pytest.approx(SURE * 0.6, rel=0.05)
    assert np.median(found.inward_mm) == pytest.approx(SURE * 0.6, rel=0.05)


def test_where_nothing_is_sure_the_reach_is_given() -> None:
    faint = Volume((0.8 * ball(0.6).array).astype(np.float32), GRID)
    mesh = level_surface(faint.array - np.float32(0.5), GRID.matrix)
    assert mesh is not None
    found = surface_uncertainty(mesh, faint, reach_mm=5.0)
    assert (found.inward_mm == 5.0).all()
    assert found.outward_mm.max() < 5.0


@pytest.mark.parametrize("classes", [2, 5])
def test_entropies_as_files_hold_them_give_the_probability_back(classes: int) -> None:
    probability = ball(0.8)
    likely = np.clip(probability.array.astype(float), 1e-9, 1 - 1e-9)
    nats = -(likely * np.log(likely) + (1 - likely) * np.log(1 - likely))
    entropy = Volume(np.rint(255 * nats / np.log(classes)).astype(np.uint8), GRID)
    found = probability_from_entropy(entropy, labels_of(probability), 1, classes=classes)
    near = np.abs(depth_mm(GRID, 9.0)) < 4
    assert np.abs(found.array - probability.array)[near].max() < 0.09
    mesh = level_surface(probability.array - np.float32(0.5), GRID.matrix)
    assert mesh is not None
    exact, read = (surface_uncertainty(mesh, each) for each in (probability, found))
    assert np.median(read.values_mm) == pytest.approx(np.median(exact.values_mm), rel=0.05)


def test_doubt_about_others_far_away_is_not_the_label_s() -> None:
    labels = labels_of(ball(0.4))
    entropy = Volume(np.full(GRID.shape, 255, np.uint8), GRID)
    found = probability_from_entropy(entropy, labels, 1, classes=2)
    assert found.array[depth_mm(GRID, 9.0) < -6].max() == 0
    none = LabelMap(np.zeros(GRID.shape, np.uint8), GRID, labels.labels)
    assert probability_from_entropy(entropy, none, 1, classes=2).array.max() == 0


def test_a_file_of_another_case_or_kind_is_refused() -> None:
    labels = labels_of(ball(0.4))
    other = oblique_geometry((44, 40, 24))
    with pytest.raises(DataError, match=r"the grid of the label map, found .*displaced"):
        label_probability(Volume(np.zeros(other.shape, np.uint8), other), labels, 1, classes=2)
    with pytest.raises(DataError, match="probabilities from 0 to 1, found 0 to 40"):
        label_probability(Volume(np.linspace(0, 40, GRID.voxel_count).reshape(GRID.shape), GRID),
                          labels, 1, classes=2)  # fmt: skip
    with pytest.raises(DataError, match="entropies from 0 to 255, found 0 to 300"):
        label_probability(Volume(np.resize(np.array([0, 300]), GRID.shape), GRID), labels, 1,
                          classes=2)  # fmt: skip
    mesh = level_surface(np.ones((2, 2, 2)), np.eye(4))
    assert mesh is not None
    with pytest.raises(UsageError, match=r"between 0\.5 and 1"):
        surface_uncertainty(mesh, ball(0.4), sure=0.4)
