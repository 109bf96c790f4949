"""To the network's grid and back: nothing shifted, nothing turned, no annotation lost."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantoms import ellipsoid_mask, oblique_geometry
from plans import argmax_on_grid, small_plan
from voxloop.dataset.annotation import Annotation, merge
from voxloop.errors import DataError
from voxloop.plan.plan import Normalisation
from voxloop.plan.preprocess import plan_grid, prepare_image, prepare_target
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import IGNORE, LabelTable
from voxloop.volume.resample import resample_linear
from voxloop.volume.volume import LabelArray, LabelMap, Volume

LABELS = LabelTable({1: "body", 4: "core"})
CLASSES = np.array([0, 1, 4])

Flips = tuple[bool, bool, bool]
any_flips = st.tuples(*[st.booleans()] * 3)


def _turned(geometry: Geometry, order: list[int]) -> Geometry:
    matrix = geometry.matrix.copy()
    matrix[:3, :3] = matrix[:3, order]
    return Geometry.from_affine([geometry.shape[a] for a in order], matrix)


def _dice(a: LabelArray, b: LabelArray, value: int) -> float:
    one, other = a == value, b == value
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@settings(max_examples=30)
@given(st.permutations([0, 1, 2]), any_flips)
def test_labels_come_back_exactly_where_the_spacing_is_kept(order: list[int], flips: Flips) -> None:
    source = _turned(oblique_geometry((7, 6, 5), flips=flips), order)
    plan = small_plan(spacing_mm=source.canonical().spacing_mm)
    labels = np.random.default_rng(0).choice(CLASSES, source.shape).astype(np.uint8)
    # the labels as an image take the way there, one-hot probabilities the way back
    prepared = prepare_image((Volume(labels, source),), plan)
    seen = np.digitize(prepared.array[0], [-0.5, 0.5])  # standardised: three distinct values
    assert set(np.unique(seen)) <= {0, 1, 2}
    levels = np.unique(prepared.array[0])
    one_hot = ((prepared.array[0] == level).astype(np.float32) for level in levels)
    np.testing.assert_array_equal(argmax_on_grid(one_hot, LABELS.values, prepared), labels)


@settings(max_examples=10)
@given(
    any_flips,
    st.permutations([0, 1, 2]),
    st.sampled_from([(1.6, 1.6, 1.6), (0.7, 0.7, 0.7), (1.4, 0.8, 2.0)]),
)
def test_an_ellipsoid_survives_the_way_through_another_spacing(
    flips: Flips, order: list[int], spacing: tuple[float, float, float]
) -> None:
    source = _turned(oblique_geometry((30, 28, 16), (1.0, 1.1, 2.2), flips=flips), order)
    plan = small_plan(spacing_mm=spacing)
    body = ellipsoid_mask(source, (12, 9, 14), (1, 2, -1))
    labels = np.where(body, 1, 0).astype(np.uint8)
    labels[ellipsoid_mask(source, (6, 5, 7), (4, 3, -1)) & body] = 4
    target = merge([Annotation.of_whole(LabelMap(labels, source, LABELS))], source.shape, LABELS)
    there = prepare_target(target, source, plan).values
    prepared = prepare_image((Volume(labels, source),), plan)
    assert prepared.array.shape[1:] == there.shape == prepared.grid.shape
    assert prepared.grid.spacing_mm == pytest.approx(spacing)
    one_hot = ((there == value).astype(np.float32) for value in CLASSES)
    back = argmax_on_grid(one_hot, LABELS.values, prepared)
    assert _dice(back, labels, 1) > 0.9
    assert _dice((back > 0).astype(np.uint8), (labels > 0).astype(np.uint8), 1) > 0.95


@settings(max_examples=30)
@given(
    any_flips,
    st.integers(0, 2),
    st.integers(0, 11),
    st.sampled_from([(3.0, 3.3, 4.0), (1.0, 4.0, 1.0), (2.5, 1.1, 0.3)]),
)
def test_a_single_annotated_slice_survives_a_coarser_grid(
    flips: Flips, axis: int, index: int, spacing: tuple[float, float, float]
) -> None:
    source = oblique_geometry((14, 13, 12), (1.0, 1.1, 1.3), flips=flips)
    labels = np.full(source.shape, IGNORE, dtype=np.uint8)
    across = [slice(None)] * 3
    across[axis] = slice(index, index + 1)
    labels[tuple(across)] = np.where(ellipsoid_mask(source, (99, 99, 99))[tuple(across)], 1, 0)
    asked = Annotation(LabelMap(labels, source, LABELS), frozenset({1}))
    target = merge([asked], source.shape, LABELS)
    there = prepare_target(target, source, small_plan(spacing_mm=spacing))
    looked = there.looked_at
    assert set(np.unique(there.values[looked])) == {1}
    assert {there.asked_sets[n] for n in np.unique(there.asked[looked])} == {frozenset({1})}
    # the whole slice is there: no new voxel that it passes through is missing
    grid = plan_grid(source, small_plan(spacing_mm=spacing))
    points = np.argwhere(target.looked_at)
    places = np.rint(grid.to_voxel(source.to_world(points))).astype(int)
    places = np.clip(places, 0, np.array(grid.shape) - 1)
    assert looked[tuple(places.T)].all()


def test_a_spacing_that_hardly_differs_keeps_the_voxels() -> None:
    source = oblique_geometry((9, 8, 7), (1.0, 1.02, 2.0), flips=(True, False, True))
    assert plan_grid(source, small_plan(spacing_mm=(1.02, 1.0, 2.0))) == source.canonical()
    assert plan_grid(source, small_plan(spacing_mm=(1.2, 1.0, 2.0))).shape != source.shape


def test_ct_is_clipped_and_scaled_the_same_in_every_case() -> None:
    ct = Normalisation("fixed", (-100.0, 300.0), 100.0, 50.0)
    geometry = oblique_geometry((3, 1, 1))
    plan = small_plan(normalisation=(ct,), spacing_mm=geometry.spacing_mm)
    array = np.array([-1000, 150, 900], dtype=np.int16).reshape(3, 1, 1)
    found = prepare_image((Volume(array, geometry),), plan).array
    np.testing.assert_allclose(found.ravel(), [-4, 1, 4])
    assert found.dtype == np.float32


def test_other_intensities_are_standardised_whatever_their_scale() -> None:
    geometry = oblique_geometry((16, 16, 16))
    plan = small_plan(spacing_mm=geometry.spacing_mm)
    array = np.random.default_rng(0).normal(size=geometry.shape)
    one, other = (
        prepare_image((Volume((array * gain + offset).astype(np.float32), geometry),), plan).array
        for gain, offset in ((1, 0), (700, 5000))
    )
    np.testing.assert_allclose(one, other, atol=1e-3)
    assert (one.mean(), one.std()) == (pytest.approx(0, abs=1e-3), pytest.approx(1, abs=1e-3))


def test_a_wrong_number_of_channels_is_refused() -> None:
    geometry = oblique_geometry((4, 4, 4))
    volume = Volume(np.zeros(geometry.shape, np.float32), geometry)
    with pytest.raises(DataError, match=r"expected 1 channels \(MR\), found 2"):
        prepare_image((volume, volume), small_plan())


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_scan_is_prepared_alike_however_it_lies_in_memory(order: Literal["C", "F"]) -> None:
    source = oblique_geometry((40, 36, 30), (0.7, 0.8, 1.1), flips=(True, False, True))
    array = np.random.default_rng(0).integers(-1000, 1000, source.shape).astype(np.int16)
    ct = Normalisation("fixed", (-200.0, 300.0), 50.0, 100.0)
    plan = small_plan(normalisation=(ct,), spacing_mm=(1.6, 1.6, 1.6))
    found = prepare_image((Volume(np.array(array, order=order), source),), plan)
    plain = ((np.clip(array, -200, 300) - 50) / 100).astype(np.float32)
    expected = resample_linear(plain, source, found.grid)
    np.testing.assert_allclose(found.array[0], expected, atol=1e-5)
    assert array.min() < -900, "the scan itself is left as it is"


@pytest.mark.parametrize("empty", [0.0, -1024.0])
def test_tissue_looks_alike_in_a_small_and_a_large_patient_of_masked_scans(empty: float) -> None:
    rng = np.random.default_rng(0)
    geometry = oblique_geometry((24, 24, 24))
    tissue = rng.normal(300, 40, geometry.shape).astype(np.float32)
    seen = []
    for width in (8, 18):
        inside = np.zeros(geometry.shape, dtype=bool)
        inside[:width, :width, :width] = True
        image = Volume(np.where(inside, tissue, np.float32(empty)), geometry)
        prepared = prepare_image((image,), small_plan(spacing_mm=geometry.canonical().spacing_mm))
        body = prepared.array[prepared.array > prepared.array.min()]
        assert float(body.mean()) == pytest.approx(0, abs=0.01)
        assert float(body.std()) == pytest.approx(1, abs=0.01)
        assert prepared.array.min() < body.min() - 1, "what was cut away is not taken for tissue"
        seen.append(np.percentile(body, [5, 50, 95]))
    np.testing.assert_allclose(seen[0], seen[1], atol=0.2)


def test_a_scan_of_one_value_is_nothing_special() -> None:
    geometry = oblique_geometry((6, 5, 4))
    flat = Volume(np.full(geometry.shape, 7.0, dtype=np.float32), geometry)
    prepared = prepare_image((flat,), small_plan(spacing_mm=geometry.canonical().spacing_mm))
    assert not prepared.array.any()
