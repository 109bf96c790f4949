"""Variation of training patches: parameters are drawn first, then a pure function applies them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from voxloop.volume.geometry import FloatArray
from voxloop.volume.labels import IGNORE

__all__ = [
    "Intensity",
    "Spatial",
    "apply_intensity",
    "draw_intensity",
    "draw_spatial",
    "sample_block",
    "sample_positions",
]

Triple = tuple[int, int, int]

_COARSE = 5
"""Control points of the elastic field along each axis; trilinear in between."""


@dataclass(frozen=True, eq=False)
class Spatial:
    """How a patch is taken out of its surroundings.

    Attributes:
        deform: (3, 3) rotation times zoom, applied in millimetres.
        bend_mm: (3, n, n, n) displacements at the control points.
        mirror: axes to mirror.
    """

    deform: FloatArray
    bend_mm: FloatArray
    mirror: tuple[int, ...]


@dataclass(frozen=True)
class Intensity:
    """How a patch's intensities are changed; a field at its neutral value changes nothing.

    Attributes:
        gain: multiplies.
        offset: added, in standard deviations.
        gamma: exponent on intensities scaled to 0..1.
        inverted_gamma: apply gamma to the negative.
        noise_sd: standard deviation of white noise.
        blur_vox: standard deviation of a Gaussian blur.
        coarsen: factor by which the patch is down- and upsampled.
        bias: amplitude of a smooth multiplicative field.
        seed: of the noise and the bias field.
    """

    gain: float = 1.0
    offset: float = 0.0
    gamma: float = 1.0
    inverted_gamma: bool = False
    noise_sd: float = 0.0
    blur_vox: float = 0.0
    coarsen: float = 1.0
    bias: float = 0.0
    seed: int = 0


def draw_spatial(
    rng: np.random.Generator, extent_mm: tuple[float, float, float], mirror_axes: tuple[int, ...]
) -> Spatial:
    """Draw a rotation (mostly under 30 degrees), a zoom, a bend and mirrored axes.

    Args:
        rng: source of chance.
        extent_mm: size of the patch; bends scale with it.
        mirror_axes: axes that may be mirrored.
    """
    angles = rng.normal(0, math.radians(12), 3) * (rng.random() < 0.6)
    zoom = np.exp(rng.normal(0, 0.12) * (rng.random() < 0.6) + rng.normal(0, 0.05, 3))
    bend = rng.normal(0, 1, (3, _COARSE, _COARSE, _COARSE)) * (rng.random() < 0.4)
    bend *= rng.uniform(0, 0.05) * np.array(extent_mm)[:, None, None, None]
    mirror = tuple(axis for axis in mirror_axes if rng.random() < 0.5)
    return Spatial(_rotation(angles) @ np.diag(zoom), bend, mirror)


def draw_intensity(rng: np.random.Generator) -> Intensity:
    """Draw changes of brightness, contrast, sharpness, noise and shading."""
    chance = rng.random(8)
    return Intensity(
        gain=float(rng.uniform(0.7, 1.35)) if chance[0] < 0.4 else 1.0,
        offset=float(rng.normal(0, 0.2)) if chance[1] < 0.4 else 0.0,
        gamma=float(np.exp(rng.normal(0, 0.3))) if chance[2] < 0.4 else 1.0,
        inverted_gamma=bool(chance[3] < 0.25),
        noise_sd=float(rng.uniform(0, 0.2)) if chance[4] < 0.25 else 0.0,
        blur_vox=float(rng.uniform(0.4, 1.0)) if chance[5] < 0.2 else 0.0,
        coarsen=float(rng.uniform(1.2, 2.0)) if chance[6] < 0.15 else 1.0,
        bias=float(rng.uniform(0, 0.25)) if chance[7] < 0.3 else 0.0,
        seed=int(rng.integers(1 << 31)),
    )


def sample_positions(
    how: Spatial, patch_shape: Triple, spacing_mm: tuple[float, float, float]
) -> Tensor:
    """Where the voxels of an augmented patch lie, in millimetres from the patch's centre.

    Returns:
        (I, J, K, 3) float32.
    """
    spacing = torch.tensor(spacing_mm, dtype=torch.float32)
    # whole voxels from the central one: an untouched patch is read exactly, not interpolated
    axes = [torch.arange(n, dtype=torch.float32) - n // 2 for n in patch_shape]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1) * spacing
    for axis in how.mirror:
        offsets = offsets.flip(axis)
    moved = offsets @ torch.from_numpy(how.deform.T.astype(np.float32))
    if how.bend_mm.any():
        bend = torch.from_numpy(how.bend_mm.astype(np.float32))[None]
        smooth = functional.interpolate(bend, patch_shape, mode="trilinear", align_corners=True)
        moved = moved + smooth[0].movedim(0, -1)
    return moved


def sample_block(image: Tensor, labels: Tensor, position_vox: Tensor) -> tuple[Tensor, Tensor]:
    """Read a block at given positions: linearly for the image, nearest for the labels.

    Args:
        image: (C, I, J, K) float; continued beyond its border.
        labels: (L, I, J, K) uint8: class indices, then maps that are 0 outside the block;
            classes outside are `IGNORE`.
        position_vox: (A, B, C, 3) voxel positions in the block.

    Returns:
        Image (C, A, B, C) and labels (L, A, B, C).
    """
    block = torch.tensor(image.shape[1:], dtype=torch.float32)
    # grid_sample wants positions in -1..1 over the outer faces, fastest axis first
    grid = ((position_vox * 2 + 1) / block - 1).flip(-1)[None]
    picture = functional.grid_sample(
        image[None].float(), grid, mode="bilinear", padding_mode="border", align_corners=False
    )[0]
    # shifted by the fill, so that the zeros read outside come to mean "nobody looked"
    fill = torch.zeros(labels.shape[0], 1, 1, 1)
    fill[0] = IGNORE
    shifted = (labels.float() - fill)[None]
    maps = functional.grid_sample(
        shifted, grid, mode="nearest", padding_mode="zeros", align_corners=False
    )[0]
    return picture, (maps + fill).to(torch.uint8)


def apply_intensity(image: Tensor, how: Intensity) -> Tensor:
    """Change the intensities of a patch (C, I, J, K), standardised, and give it back."""
    chance = torch.Generator().manual_seed(how.seed)
    if how.coarsen > 1:
        shape = image.shape[1:]
        small = [max(1, round(n / how.coarsen)) for n in shape]
        image = functional.interpolate(image[None], small, mode="nearest-exact")
        image = functional.interpolate(image, shape, mode="trilinear")[0]
    if how.blur_vox > 0:
        image = _blurred(image, how.blur_vox)
    if how.bias > 0:
        field = torch.randn((1, 1, 3, 3, 3), generator=chance) * how.bias
        field = functional.interpolate(field, image.shape[1:], mode="trilinear", align_corners=True)
        image = image * field[0].exp()
    image = image * how.gain + how.offset
    if how.gamma != 1:
        image = _gamma(image, how.gamma, inverted=how.inverted_gamma)
    if how.noise_sd > 0:
        image = image + torch.randn(image.shape, generator=chance) * how.noise_sd
    return image


def _gamma(image: Tensor, gamma: float, *, inverted: bool) -> Tensor:
    """Gamma curve that keeps mean and deviation, so that only the shape of contrast changes."""
    mean, sd = image.mean(), image.std()
    x = -image if inverted else image
    low, high = x.min(), x.max()
    x = ((x - low) / (high - low).clamp_min(1e-6)) ** gamma
    x = -x if inverted else x
    return (x - x.mean()) / x.std().clamp_min(1e-6) * sd + mean


def _blurred(image: Tensor, sd_vox: float) -> Tensor:
    reach = math.ceil(2 * sd_vox)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sd_vox) ** 2)
    taps = (taps / taps.sum()).view(1, 1, -1, 1, 1)
    x = image[:, None]
    for axis in range(3):
        kernel = taps.movedim(2, 2 + axis)
        pad = [0, 0, 0, 0, 0, 0]
        pad[2 * (2 - axis)] = pad[2 * (2 - axis) + 1] = reach
        x = functional.conv3d(functional.pad(x, pad, mode="replicate"), kernel)
    return x[:, 0]


def _rotation(angles: FloatArray) -> FloatArray:
    (ca, cb, cc), (sa, sb, sc) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]])
    about_y = np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
    about_z = np.array([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)
