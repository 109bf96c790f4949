"""Augmentation: neutral where it should be, and never image and labels apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from voxloop.train.augment import (
    Intensity,
    Spatial,
    apply_intensity,
    control_positions,
    draw_intensity,
    draw_spatial,
    sample_block,
    spread,
)
from voxloop.volume.labels import IGNORE

Triple = tuple[int, int, int]

SPACING = (0.8, 1.1, 2.5)
STILL = Spatial(np.eye(3), np.zeros((3, 5, 5, 5)), ())


def _control(how: Spatial, shape: Triple, centre: Triple) -> Tensor:
    moved = control_positions(how, shape, SPACING) / torch.tensor(SPACING).view(3, 1, 1, 1)
    return moved + torch.tensor(centre, dtype=torch.float32).view(3, 1, 1, 1)


def _block(shape: Triple, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    image = torch.from_numpy(rng.normal(size=(2, *shape)).astype(np.float32))
    labels = torch.from_numpy(rng.integers(0, 5, (2, *shape)).astype(np.uint8))
    return image, labels


@settings(max_examples=30)
@given(st.tuples(*[st.integers(1, 6)] * 3))
def test_a_patch_left_alone_is_read_as_it_is(patch: Triple) -> None:
    image, labels = _block((14, 13, 12))
    picture, maps = sample_block(image, labels, _control(STILL, patch, (7, 6, 5)), patch)
    there = tuple(slice(c - n // 2, c - n // 2 + n) for c, n in zip((7, 6, 5), patch, strict=True))
    torch.testing.assert_close(picture, image[(slice(None), *there)], rtol=1e-4, atol=1e-4)
    assert torch.equal(maps, labels[(slice(None), *there)])


def test_outside_the_block_nobody_looked_and_the_image_goes_on() -> None:
    image, labels = _block((4, 5, 3))
    picture, maps = sample_block(image, labels, _control(STILL, (8, 9, 5), (2, 2, 1)), (8, 9, 5))
    inside = (slice(None), slice(2, 6), slice(2, 7), slice(1, 4))
    assert torch.equal(maps[inside], labels)
    classes, asked = maps[0].clone(), maps[1].clone()
    classes[inside[1:]], asked[inside[1:]] = IGNORE, 0
    assert (classes == IGNORE).all()
    assert not asked.any()
    torch.testing.assert_close(picture[:, 0, 0, 0], image[:, 0, 0, 0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(picture[:, -1, -1, -1], image[:, -1, -1, -1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("patch", [(6, 4, 8), (5, 7, 3)])
def test_a_mirror_reverses_its_axis_and_nothing_else(axis: int, patch: Triple) -> None:
    image, labels = _block((14, 13, 12))
    mirror = Spatial(STILL.deform, STILL.bend_mm, (axis,))
    plain = sample_block(image, labels, _control(STILL, patch, (7, 6, 5)), patch)
    turned = sample_block(image, labels, _control(mirror, patch, (7, 6, 5)), patch)
    torch.testing.assert_close(turned[0], plain[0].flip(axis + 1), rtol=1e-4, atol=1e-4)
    assert torch.equal(turned[1], plain[1].flip(axis + 1))


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_image_and_labels_stay_together_under_any_transform(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape, patch = (40, 36, 20), (20, 16, 10)
    axes = [np.linspace(-1, 1, n) for n in shape]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    smooth = np.sin(3 * x + rng.uniform(0, 6)) + np.cos(4 * y * z + rng.uniform(0, 6)) + x * y
    image = torch.from_numpy(smooth.astype(np.float32))[None]
    labels = torch.stack([(image[0] > 0.4).byte(), torch.ones(shape, dtype=torch.uint8)])
    extent = (patch[0] * SPACING[0], patch[1] * SPACING[1], patch[2] * SPACING[2])
    how = draw_spatial(rng, extent, (0, 1))
    picture, maps = sample_block(image, labels, _control(how, patch, (20, 18, 10)), patch)
    clear = ((picture[0] - 0.4).abs() > 0.2) & (maps[0] != IGNORE)
    assert clear.float().mean() > 0.3
    assert torch.equal((picture[0] > 0.4)[clear], (maps[0] == 1)[clear])
    assert torch.equal(maps[0] == IGNORE, maps[1] == 0)


def test_rotations_turn_in_millimetres_not_in_voxels() -> None:
    quarter = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
    turned = Spatial(quarter, STILL.bend_mm, ())
    offsets = spread(control_positions(turned, (4, 1, 4), SPACING), (4, 1, 4))
    plain = spread(control_positions(STILL, (4, 1, 4), SPACING), (4, 1, 4))
    torch.testing.assert_close(offsets[..., 0], -plain[..., 2])
    torch.testing.assert_close(offsets[..., 2], plain[..., 0])


def test_a_patch_is_never_mirrored_along_an_axis_that_forbids_it() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_spatial(rng, (20, 20, 20), (1,)).mirror for _ in range(60)]
    assert set(drawn) == {(), (1,)}
    assert {draw_spatial(rng, (20, 20, 20), ()).mirror for _ in range(60)} == {()}
    for _ in range(60):
        assert np.linalg.det(draw_spatial(rng, (20, 20, 20), (0, 1, 2)).deform) > 0


def test_strength_turns_zooms_and_bends_further_and_more_often() -> None:
    def spread(strength: float) -> tuple[float, float]:
        rng = np.random.default_rng(0)
        drawn = [draw_spatial(rng, (64, 64, 64), (), strength) for _ in range(300)]
        off = [float(np.linalg.norm(how.deform - np.eye(3))) for how in drawn]
        return float(np.mean(off)), float(np.mean([np.abs(how.bend_mm).mean() for how in drawn]))

    (usual, bent), (strong, bent_more) = spread(1.0), spread(1.5)
    assert spread(0.0) == (0, 0)
    assert 1.5 < strong / usual < 2.5
    assert 1.5 < bent_more / bent < 3.5


def test_neutral_intensity_changes_nothing() -> None:
    image, _ = _block((6, 5, 4))
    assert torch.equal(apply_intensity(image, Intensity()), image)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_intensity_changes_are_finite_repeatable_and_keep_the_input(seed: int) -> None:
    image, _ = _block((9, 8, 7), seed)
    before = image.clone()
    how = draw_intensity(np.random.default_rng(seed))
    changed = apply_intensity(image, how)
    assert changed.shape == image.shape
    assert torch.isfinite(changed).all()
    assert torch.equal(changed, apply_intensity(image, how))
    assert torch.equal(image, before)
    flat = apply_intensity(torch.zeros(1, 9, 8, 7), how)
    assert torch.isfinite(flat).all()


def test_each_change_of_intensity_does_what_it_is_called() -> None:
    image, _ = _block((16, 16, 16))
    torch.testing.assert_close(apply_intensity(image, Intensity(gain=2, offset=1)), image * 2 + 1)
    for smoother in (Intensity(blur_vox=1.0), Intensity(coarsen=2.0)):
        found = apply_intensity(image, smoother)
        assert found.std() < 0.7 * image.std()
        assert float(found.mean()) == pytest.approx(float(image.mean()), abs=0.02)
    for inverted in (False, True):
        found = apply_intensity(image[:1], Intensity(gamma=1.8, inverted_gamma=inverted))
        assert float(found.mean()) == pytest.approx(float(image[:1].mean()), abs=1e-4)
        assert float(found.std()) == pytest.approx(float(image[:1].std()), rel=1e-3)
        assert torch.equal(found.ravel().argsort(), image[:1].ravel().argsort())
    noisy = apply_intensity(image, Intensity(noise_sd=0.2, seed=4)) - image
    assert float(noisy.std()) == pytest.approx(0.2, rel=0.05)


def test_linear_transforms_are_exact_at_every_voxel_not_only_at_the_control_points() -> None:
    how = draw_spatial(np.random.default_rng(3), (30.0, 30.0, 30.0), (0,))
    straight = Spatial(how.deform, STILL.bend_mm, (1,))
    shape = (11, 6, 7)
    found = spread(control_positions(straight, shape, SPACING), shape)
    places = np.stack(np.meshgrid(*[np.arange(n) - n // 2 for n in shape], indexing="ij"), -1)
    expected = np.flip(places * SPACING, 1) @ how.deform.T
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_a_patch_of_one_voxel_survives_every_change() -> None:
    for seed in range(40):
        how = draw_intensity(np.random.default_rng(seed))
        changed = apply_intensity(torch.full((1, 1, 1, 1), 0.7), how)
        assert torch.isfinite(changed).all()
