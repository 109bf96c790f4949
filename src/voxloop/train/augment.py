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
    "control_positions",
    "draw_intensity",
    "draw_spatial",
    "sample_block",
    "spread",
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
    rng: np.random.Generator,
    extent_mm: tuple[float, float, float],
    mirror_axes: tuple[int, ...],
    strength: float = 1.0,
) -> Spatial:
    """Draw a rotation (mostly under 30 degrees), a zoom, a bend and mirrored axes.

    Args:
        rng: source of chance.
        extent_mm: size of the patch; bends scale with it.
        mirror_axes: axes that may be mirrored.
        strength: multiplies how far, and how often, a patch is deformed.
    """
    angles = rng.normal(0, math.radians(12) * strength, 3) * (rng.random() < 0.6 * strength)
    size = rng.normal(0, 0.12 * strength) * (rng.random() < 0.6 * strength)
    zoom = np.exp(size + rng.normal(0, 0.05 * strength, 3))
    bend = rng.normal(0, 1, (3, _COARSE, _COARSE, _COARSE)) * (rng.random() < 0.4 * strength)
    bend *= rng.uniform(0, 0.05 * strength) * np.array(extent_mm)[:, None, None, None]
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


def control_positions(
    how: Spatial, patch_shape: Triple, spacing_mm: tuple[float, float, float]
) -> Tensor:
    """Where the control points of an augmented patch lie, in millimetres from its centre.

    Rotation, zoom and mirroring are linear, so trilinear interpolation between a few points
    gives every voxel's place exactly; only they are computed.

    Returns:
        (3, n, n, n) float32; the outermost points are the centres of the patch's outermost voxels.
    """
    # whole voxels from the central one: an untouched patch is read exactly, not interpolated
    axes = [
        np.linspace(-(n // 2), n - 1 - n // 2, _COARSE) * s
        for n, s in zip(patch_shape, spacing_mm, strict=True)
    ]
    offsets = np.stack(np.meshgrid(*axes, indexing="ij"))
    for axis in how.mirror:
        offsets = np.flip(offsets, axis + 1)
    moved = np.einsum("ab,bijk->aijk", how.deform, offsets) + how.bend_mm
    return torch.from_numpy(np.ascontiguousarray(moved, dtype=np.float32))


def spread(control: Tensor, patch_shape: Triple) -> Tensor:
    """Values (C, n, n, n) at the control points to values (I, J, K, C) at every voxel."""
    # one axis after the other as matrix products, the large one last: no faster way on a CPU
    i, j, k = (_hats(n) for n in patch_shape)
    plane = torch.einsum("cxyz,jy,kz->xjkc", control, j, k)
    return (i @ plane.flatten(1)).view(*patch_shape, control.shape[0])


def _hats(count: int) -> Tensor:
    """(count, n) weights of the control points in linear interpolation at evenly spaced places."""
    place = torch.linspace(0, _COARSE - 1, count) if count > 1 else torch.zeros(1)
    return (1 - (place[:, None] - torch.arange(_COARSE)).abs()).clamp_min(0)


def sample_block(
    image: Tensor, labels: Tensor, control_vox: Tensor, patch_shape: Triple
) -> tuple[Tensor, Tensor]:
    """Read a block at the places of a patch: linearly for the image, nearest for the labels.

    Args:
        image: (C, I, J, K) float; continued beyond its border.
        labels: (L, I, J, K) uint8: class indices, then maps that are 0 outside the block;
            classes outside are `IGNORE`.
        control_vox: (3, n, n, n) voxel positions in the block of the patch's control points.
        patch_shape: (A, B, C) of the patch.

    Returns:
        Image (C, A, B, C) and labels (L, A, B, C).
    """
    middle = (torch.tensor(image.shape[1:], dtype=torch.float32) - 1).view(3, 1, 1, 1) / 2
    # grid_sample wants positions in -1..1 over the outer voxels' centres, fastest axis first
    scaled = ((control_vox - middle) / middle.clamp_min(0.5)).flip(0)
    picture = functional.grid_sample(
        image[None].float(),
        spread(scaled, patch_shape)[None],
        mode="bilinear",
        padding_mode="border",
        align_corners=True,
    )[0]
    # a frame that says "nobody looked" around the block: whatever lies outside is read there
    framed = functional.pad(labels, (1, 1, 1, 1, 1, 1))
    for axis in range(3):
        framed[0].select(axis, 0).fill_(IGNORE)
        framed[0].select(axis, -1).fill_(IGNORE)
    _, i, j, k = framed.shape
    last = torch.tensor([i - 1, j - 1, k - 1], dtype=torch.float32)
    nearest = spread(control_vox + 1, patch_shape).round_().clamp_(torch.zeros(3), last)
    index = nearest.to(torch.int32) @ torch.tensor([j * k, k, 1], dtype=torch.int32)
    return picture, framed.flatten(1)[:, index.long()]


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
    mean, sd = image.mean(), image.std(correction=0)
    x = -image if inverted else image
    low, high = x.min(), x.max()
    x = ((x - low) / (high - low).clamp_min(1e-6)) ** gamma
    x = -x if inverted else x
    return (x - x.mean()) / x.std(correction=0).clamp_min(1e-6) * sd + mean


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
