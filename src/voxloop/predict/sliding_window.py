"""Probabilities of a whole volume from a network that sees a tile at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.model.device import autocast
from voxloop.plan.plan import Plan
from voxloop.predict.tiling import blend_weights, tile_boxes
from voxloop.volume.boxes import Box

__all__ = ["POSITION_SCALE_MM", "class_probabilities"]

Float32Array = npt.NDArray[np.float32]
Triple = tuple[int, int, int]

POSITION_SCALE_MM = 100.0
"""Position channels hold the distance from the volume's centre in these units."""


@torch.inference_mode()
def class_probabilities(
    network: nn.Module,
    image: Float32Array,
    plan: Plan,
    spacing_mm: tuple[float, float, float],
    *,
    overlap: float = 0.5,
    mirror: bool = False,
    progress: ProgressSink = silent,
) -> Float32Array:
    """Probability of each class at each voxel, tiles blended.

    Args:
        network: gives logits (N, C, I, J, K).
        image: (channels, I, J, K), prepared.
        plan: tile shape, and whether position channels are wanted.
        spacing_mm: of the image.
        overlap: least shared part of neighbouring tiles.
        mirror: average with predictions of mirrored tiles, along the plan's mirror axes.
        progress: receives tiles done.

    Returns:
        (C, I, J, K) float32, summing to 1 over C.
    """
    shape = np.array(image.shape[1:])
    margin = np.maximum(0, np.array(plan.patch_shape) - shape)
    before = margin // 2
    width = [(0, 0), *zip(before.tolist(), (margin - before).tolist(), strict=True)]
    padded = np.pad(image, width, mode="edge")
    device = next(network.parameters()).device
    tiles = tile_boxes(_triple(np.array(padded.shape[1:])), plan.patch_shape, overlap)
    weights = torch.from_numpy(blend_weights(plan.patch_shape))
    total = torch.zeros((len(plan.labels) + 1, *padded.shape[1:]))
    weight = torch.zeros(padded.shape[1:])
    for done, box in enumerate(tiles, start=1):
        tile = torch.from_numpy(padded[(slice(None), *box.slices)].copy())
        if plan.use_position:
            tile = torch.cat([tile, _position(box, before, shape, spacing_mm)])
        probabilities = _predict(network, tile.to(device), plan.mirror_axes if mirror else ())
        total[(slice(None), *box.slices)] += probabilities.cpu() * weights
        weight[box.slices] += weights
        progress(Progress("segmenting", done, len(tiles)))
    inside = tuple(slice(b, b + n) for b, n in zip(before.tolist(), shape.tolist(), strict=True))
    blended = total[(slice(None), *inside)] / weight[inside]
    return np.ascontiguousarray(blended.numpy())


def _predict(network: nn.Module, tile: Tensor, mirror_axes: tuple[int, ...]) -> Tensor:
    views: list[tuple[int, ...]] = [(), *((axis + 1,) for axis in mirror_axes)]
    seen = []
    for dims in views:
        view = tile.flip(dims)[None].contiguous(memory_format=torch.channels_last_3d)
        with autocast(tile.device):
            logits = network(view)
        seen.append(torch.softmax(logits.float(), dim=1)[0].flip(dims))
    return seen[0] if len(seen) == 1 else torch.stack(seen).mean(dim=0)


def _position(
    box: Box,
    before: npt.NDArray[np.int64],
    shape: npt.NDArray[np.int64],
    spacing_mm: tuple[float, float, float],
) -> Tensor:
    axes = [
        torch.from_numpy(((np.arange(a, b) - m - (n - 1) / 2) * s).astype(np.float32))
        for a, b, m, n, s in zip(box.start, box.stop, before, shape, spacing_mm, strict=True)
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")) / POSITION_SCALE_MM


def _triple(values: npt.NDArray[np.int64]) -> Triple:
    i, j, k = values.tolist()
    return i, j, k
