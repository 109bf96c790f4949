"""Ways of looking at one scan that must not change what is seen, and how to undo them.

One model that answers differently to a mirrored, slightly turned, zoomed or brightened scan, or
without some of its features, does not know; each view serves as a member of a committee.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from voxloop.model.unet import UNet
from voxloop.plan.plan import Plan
from voxloop.volume.geometry import FloatArray

__all__ = ["AS_IT_IS", "VIEWS", "View", "seen_back", "seen_through", "views_for", "with_dropped"]

Float32Array = npt.NDArray[np.float32]
Triple = tuple[int, int, int]
SpacingMm = tuple[float, float, float]


@dataclass(frozen=True)
class View:
    """A way of looking at a prepared scan; fields at their defaults change nothing.

    Attributes:
        name: for a person.
        mirror: axes along which the scan is mirrored.
        zoom: how much larger everything appears, above 0.
        degrees: how far the scan is turned about the first, then the second, then the third axis.
        gamma: exponent on each channel's intensities scaled to 0..1, above 0.
        dropped: share of the deepest level's features that is left out, from 0 to below 1.
        seed: which features those are.

    Raises:
        ValueError: if a field is out of its range.
    """

    name: str
    mirror: tuple[int, ...] = ()
    zoom: float = 1.0
    degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)
    gamma: float = 1.0
    dropped: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (set(self.mirror) <= {0, 1, 2} and min(self.zoom, self.gamma) > 0):
            message = f"a view mirrors axes 0 to 2, zoom and gamma are above 0, found {self}"
            raise ValueError(message)
        if not 0 <= self.dropped < 1:
            message = f"a view drops a share of features from 0 to below 1, found {self.dropped}"
            raise ValueError(message)

    @property
    def turn(self) -> FloatArray | None:
        """(3, 3): what is seen o mm from the middle lies `turn @ o` from it; None if there."""
        if not self.mirror and self.zoom == 1 and not any(self.degrees):
            return None
        mirror = np.diag([-1.0 if axis in self.mirror else 1.0 for axis in range(3)])
        return np.asarray(mirror @ _rotation(self.degrees) / self.zoom)


AS_IT_IS = View("as it is")

VIEWS = (
    AS_IT_IS,
    View("mirrored, left for right", mirror=(0,)),
    View("mirrored, back for front", mirror=(1,)),
    View("mirrored, foot for head", mirror=(2,)),
    View("smaller and turned", zoom=0.9, degrees=(5.0, -5.0, 8.0)),
    View("larger and turned back", zoom=1.1, degrees=(-5.0, 5.0, -8.0)),
    View("brighter", gamma=0.8),
    View("darker", gamma=1.25),
    View("without some features", dropped=0.2, seed=1),
    View("without some other features", dropped=0.2, seed=2),
)
"""All well within what training varies."""


def views_for(plan: Plan, views: tuple[View, ...]) -> tuple[View, ...]:
    """Those of the views that a plan's training has prepared for; as it is if there are none.

    A plan with sided labels forbids mirroring: the network would call the left kidney right.
    """
    allowed = tuple(view for view in views if set(view.mirror) <= set(plan.mirror_axes))
    return allowed or (AS_IT_IS,)


def seen_through(view: View, image: Float32Array, spacing_mm: SpacingMm) -> Float32Array:
    """A prepared image as the view shows it.

    Args:
        view: the view.
        image: (C, I, J, K).
        spacing_mm: of the image and of the result.

    Returns:
        (C, I', J', K'), a grid about the same middle that holds all of the image.
    """
    if view.gamma != 1:
        image = np.stack([_gamma(channel, view.gamma) for channel in image])
    if view.turn is None:
        return image
    spacing, shape = np.asarray(spacing_mm), np.array(image.shape[1:])
    reach_mm = np.abs(_inverse(view.turn)) @ (shape * spacing)
    count = np.ceil(np.round(reach_mm / spacing, 6)).astype(int)
    return _turned(image, view.turn, (int(count[0]), int(count[1]), int(count[2])), spacing_mm)


def seen_back(
    view: View, probabilities: Float32Array, shape: Triple, spacing_mm: SpacingMm
) -> Float32Array:
    """What was found in a view, (C, I', J', K'), back on the image's grid, (C, *shape)."""
    if view.turn is None:
        return probabilities
    return _turned(probabilities, _inverse(view.turn), shape, spacing_mm).clip(0, 1)


@contextlib.contextmanager
def with_dropped(view: View, network: nn.Module) -> Iterator[None]:
    """Within the block, the network does without the features that the view leaves out.

    Whole channels of the deepest encoder block (Tompson et al. 2015; Gal and Ghahramani 2016),
    the same ones in every tile: each view is one network, and its tiles fit together.

    Raises:
        TypeError: if features are to be left out of something other than a U-Net.
    """
    if not view.dropped:
        yield
        return
    if not isinstance(network, UNet):
        message = f"features can be left out of a U-Net only, not of {type(network).__name__}"
        raise TypeError(message)

    def drop(_block: nn.Module, _inputs: tuple[Tensor, ...], features: Tensor) -> Tensor:
        chance = torch.rand(features.shape[1], generator=torch.Generator().manual_seed(view.seed))
        kept = (chance >= view.dropped) / (1 - view.dropped)
        return features * kept.to(features).view(1, -1, 1, 1, 1)

    hook = network.encoder[-1].register_forward_hook(drop)
    try:
        yield
    finally:
        hook.remove()


def _turned(
    array: Float32Array, turn: FloatArray, shape: Triple, spacing_mm: SpacingMm
) -> Float32Array:
    """The grid of `shape` whose value o mm from its middle is the array's at `turn @ o`."""
    before, after = (np.asarray(n) * spacing_mm / 2 for n in (array.shape[1:], shape))
    # grids are measured from -1 to 1 over their outer faces, the fastest axis first
    scaled = (turn * after / before[:, None])[::-1, ::-1]
    theta = np.concatenate([scaled, np.zeros((3, 1))], axis=1)[None].astype(np.float32)
    places = functional.affine_grid(torch.from_numpy(theta), [1, 1, *shape], align_corners=False)
    source = torch.from_numpy(np.ascontiguousarray(array))[None]
    found = functional.grid_sample(source, places, padding_mode="border", align_corners=False)
    return np.asarray(found[0].numpy())


def _inverse(turn: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.inv(turn), dtype=np.float64)


def _gamma(channel: Float32Array, gamma: float) -> Float32Array:
    """A gamma curve that keeps mean and deviation: only the shape of the contrast changes."""
    low, high = channel.min(), channel.max()
    curved = ((channel - low) / max(high - low, 1e-6)) ** gamma
    spread = max(curved.std(), 1e-6)
    return np.asarray((curved - curved.mean()) / spread * channel.std() + channel.mean())


def _rotation(degrees: tuple[float, float, float]) -> FloatArray:
    turned = np.eye(3)
    for axis, angle in enumerate(map(math.radians, degrees)):
        one, other = (a for a in range(3) if a != axis)
        step = np.eye(3)
        step[[one, other], [one, other]] = math.cos(angle)
        step[one, other], step[other, one] = -math.sin(angle), math.sin(angle)
        turned = step @ turned
    return turned
