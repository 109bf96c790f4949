"""Whether an engine says what the reference says, on a tile that looks like a scan."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch.nn import functional

from voxloop.plan.plan import POSITION_SCALE_MM, Normalisation, Plan
from voxloop.predict.engines.engine import Float32Array

__all__ = ["MOST_DIFFERING", "MOST_MEAN_DIFFERENCE", "Agreement", "compare", "sample_tile"]

MOST_DIFFERING = 0.005
"""Share of voxels that may get another label than from the reference."""

MOST_MEAN_DIFFERENCE = 0.01
"""By how much probabilities may differ from the reference's, on average."""

_SLAB_VOX = 1 << 20


@dataclass(frozen=True)
class Agreement:
    """How near an engine's answer is to the reference's.

    Attributes:
        differing: share of voxels whose most probable class is another, 0 to 1.
        mean_difference: of the probabilities, over all voxels and classes, 0 to 1.
        largest_difference: of the probabilities, 0 to 1.
    """

    differing: float
    mean_difference: float
    largest_difference: float

    @property
    def holds(self) -> bool:
        """True if the engine may stand in for the reference."""
        return self.differing <= MOST_DIFFERING and self.mean_difference <= MOST_MEAN_DIFFERENCE

    def to_json(self) -> dict[str, float]:
        """As a JSON-ready document."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.differing:.2%} of the voxels get another label (at most {MOST_DIFFERING:.1%}),"
            f" probabilities differ by {self.mean_difference:.4f} on average (at most"
            f" {MOST_MEAN_DIFFERENCE})"
        )


def compare(reference: Float32Array, found: Float32Array) -> Agreement:
    """Compare the logits (N, C, ...) that two engines give for the same tiles.

    Whatever is not finite, or not of the same shape, agrees in nothing.
    """
    if reference.shape != found.shape or not np.isfinite(found).all():
        return Agreement(1.0, 1.0, 1.0)
    classes, voxels = reference.shape[1], reference[:, 0].size
    differing, total, largest = 0, 0.0, 0.0
    slab = max(1, _SLAB_VOX // classes)
    pairs = zip(*(x.reshape(len(x), classes, -1) for x in (reference, found)), strict=True)
    for one, other in pairs:
        for start in range(0, one.shape[1], slab):  # many classes of a whole tile fill the memory
            p, q = (torch.from_numpy(x[:, start : start + slab]) for x in (one, other))
            differing += int((p.argmax(0) != q.argmax(0)).sum())
            gap = (p.softmax(0) - q.softmax(0)).abs()
            total += float(gap.double().sum())
            largest = max(largest, float(gap.max()))
    return Agreement(differing / voxels, total / (voxels * classes), largest)


def sample_tile(plan: Plan, seed: int = 0) -> Float32Array:
    """A made-up tile with the statistics of the plan's prepared scans.

    A body in empty surroundings, in it regions of even intensity with soft borders and a fine
    texture, spread over the range that the plan's normalisation leaves; white noise, which no
    scan shows, would leave networks undecided everywhere.

    Args:
        plan: patch shape, normalisation, whether position channels are wanted.
        seed: of the shapes.

    Returns:
        (1, channels, *patch_shape) float32, position channels included.
    """
    rng = np.random.default_rng(seed)
    body = _smooth(rng, plan.patch_shape, 3) > -0.5
    channels = []
    for how in plan.normalisation:
        low, high = _range(how)
        regions = np.floor(1.5 * _smooth(rng, plan.patch_shape, 6)) / 1.5
        texture = 0.15 * _smooth(rng, plan.patch_shape, 24)
        soft = (low + high) / 2 + (high - low) / 4 * (regions + texture)
        channels.append(np.where(body, soft, low).clip(low, high))
    if plan.use_position:
        axes = [
            (np.arange(n) - (n - 1) / 2) * s / POSITION_SCALE_MM
            for n, s in zip(plan.patch_shape, plan.spacing_mm, strict=True)
        ]
        channels.extend(np.meshgrid(*axes, indexing="ij"))
    return np.stack(channels)[None].astype(np.float32)


def _range(how: Normalisation) -> tuple[float, float]:
    """Between which values nearly all prepared intensities lie."""
    if how.method == "fixed" and how.clip is not None:
        return (how.clip[0] - how.mean) / how.sd, (how.clip[1] - how.mean) / how.sd
    return -2.0, 3.0


def _smooth(rng: np.random.Generator, shape: tuple[int, int, int], knots: int) -> Float32Array:
    """A smooth random field of unit deviation, with so many random values along each axis."""
    coarse = torch.from_numpy(rng.normal(size=(1, 1, knots, knots, knots)).astype(np.float32))
    fine = functional.interpolate(coarse, size=shape, mode="trilinear", align_corners=True)
    field = fine[0, 0].numpy()
    return np.asarray(field / max(float(field.std()), 1e-6))
