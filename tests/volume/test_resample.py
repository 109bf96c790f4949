"""Resampling: exact where it can be, right in the world where it cannot."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, map_coordinates

from phantoms import oblique_geometry
from voxloop.volume.geometry import Geometry
from voxloop.volume.resample import resample_labels, resample_linear
from voxloop.volume.separable import axis_maps, smoothing_sigma


def _world_ramp(geometry: Geometry) -> np.ndarray:
    """A linear function of the world position, sampled on a grid: linear resampling is exact."""
    indices = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    points = geometry.to_world(indices.reshape(-1, 3))
    ramp = points @ np.array([0.3, -0.2, 0.5]) + 7
    return np.asarray(ramp.reshape(geometry.shape), dtype=np.float32)


@given(st.permutations([0, 1, 2]), st.tuples(*[st.booleans()] * 3))
def test_reordering_axes_is_lossless_both_ways(order: list[int], flips: tuple[bool, ...]) -> None:
    base = oblique_geometry((5, 6, 7), flips=(flips[0], flips[1], flips[2]))
    matrix = base.matrix.copy()
    matrix[:3, :3] = base.matrix[:3, order]
    source = Geometry.from_affine([base.shape[a] for a in order], matrix)
    array = np.random.default_rng(0).integers(0, 200, source.shape).astype(np.uint8)
    there = resample_labels(array, source, source.canonical())
    np.testing.assert_array_equal(resample_labels(there, source.canonical(), source), array)
    ramp = resample_linear(_world_ramp(source), source, source.canonical())
    np.testing.assert_array_equal(
        ramp, resample_linear(ramp, source.canonical(), source.canonical())
    )
    np.testing.assert_allclose(ramp, _world_ramp(source.canonical()), atol=1e-4)


@settings(max_examples=20)
@given(st.floats(0.4, 1.0), st.tuples(*[st.booleans()] * 3))
def test_a_linear_image_stays_linear_in_the_world(
    factor: float, flips: tuple[bool, bool, bool]
) -> None:
    source = oblique_geometry((12, 14, 10), flips=flips)
    i, j, k = source.spacing_mm
    target = source.canonical().resampled((i * factor, j * factor, k * factor))
    found = resample_linear(_world_ramp(source), source, target)
    inside = tuple(slice(4, n - 4) for n in target.shape)
    np.testing.assert_allclose(found[inside], _world_ramp(target)[inside], atol=2e-3)


def test_coarser_images_are_averaged_not_subsampled() -> None:
    source = oblique_geometry((32, 32, 32), (1, 1, 1))
    noise = np.random.default_rng(1).normal(size=source.shape).astype(np.float32)
    coarse = resample_linear(noise, source, source.resampled((4, 4, 4)))
    assert coarse.std() < 0.25
    assert coarse.mean() == pytest.approx(noise.mean(), abs=0.02)


def test_a_crop_of_equal_spacing_is_not_mistaken_for_a_reordering() -> None:
    source = oblique_geometry((8, 8, 8))
    matrix = source.matrix.copy()
    matrix[:3, 3] = source.to_world([[2, 0, 0]])[0]
    target = Geometry.from_affine((6, 8, 8), matrix)
    array = np.arange(512, dtype=np.float32).reshape(8, 8, 8)
    np.testing.assert_allclose(resample_linear(array, source, target), array[2:], rtol=1e-5)


@pytest.mark.parametrize("spacing", [(0.5, 0.6, 0.7), (0.9, 1.1, 2.5), (0.4, 3.0, 4.1)])
@pytest.mark.parametrize("memory", ["C", "F"])
def test_along_the_same_axes_the_result_is_that_of_smoothing_and_interpolating(
    spacing: tuple[float, float, float], memory: Literal["C", "F"]
) -> None:
    source = oblique_geometry((13, 12, 11), (0.9, 1.1, 2.5), flips=(True, False, True))
    target = source.canonical().resampled(spacing)
    noise = np.random.default_rng(0).normal(size=source.shape).astype(np.float32)
    found = resample_linear(np.array(noise, order=memory), source, target)
    places = np.stack(np.meshgrid(*map(np.arange, target.shape), indexing="ij"), axis=-1)
    there = source.to_voxel(target.to_world(places.reshape(-1, 3)))
    sigma = smoothing_sigma((np.linalg.inv(source.matrix) @ target.matrix)[:3, :3])
    smooth = gaussian_filter(noise, sigma, mode="nearest")
    expected = map_coordinates(smooth, there.T, order=1, mode="nearest").reshape(target.shape)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_values_are_weighted_means_of_those_about_them() -> None:
    source = oblique_geometry((13, 12, 11))
    for spacing in ((0.3, 0.4, 1.0), (3.0, 0.5, 2.0)):
        maps = axis_maps(source, source.canonical().resampled(spacing))
        assert maps is not None
        for along in maps:
            np.testing.assert_allclose(along.weights.sum(axis=1), 1, atol=1e-5)
            assert (along.weights >= 0).all()
            first, last = along.support.T
            inside = np.arange(along.weights.shape[1])
            outside = (inside < first[:, None]) | (inside >= last[:, None])
            assert not along.weights[outside].any()
    assert axis_maps(source, oblique_geometry((13, 12, 11), angles=(0.0, 0.0, 0.0))) is None
