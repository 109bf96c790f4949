"""Probabilities of a whole volume from a network that sees a tile at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import nn

from voxloop.compute.progress import ProgressSink, silent
from voxloop.plan.plan import Plan
from voxloop.predict.look import Logits, class_look, network_logits
from voxloop.predict.slabs import Look, Walk, blend_slabs
from voxloop.predict.tiling import TiledImage
from voxloop.volume.geometry import FloatArray

__all__ = ["blend_tiles", "class_probabilities"]

Float32Array = npt.NDArray[np.float32]


def class_probabilities(
    model: nn.Module | Logits,
    image: Float32Array,
    plan: Plan,
    spacing_mm: tuple[float, float, float],
    *,
    overlap: float = 0.5,
    mirror: bool = False,
    turn: FloatArray | None = None,
    progress: ProgressSink = silent,
) -> Float32Array:
    """Probability of each class at each voxel, tiles blended.

    Args:
        model: a network that gives logits (N, C, I, J, K), or what gives those of a tile.
        image: (channels, I, J, K), prepared.
        plan: tile shape, and whether position channels are wanted.
        spacing_mm: of the image.
        overlap: least shared part of neighbouring tiles.
        mirror: average with predictions of mirrored tiles, along the plan's mirror axes.
        turn: as for `TiledImage`.
        progress: receives tiles done.

    Returns:
        (C, I, J, K) float32, summing to 1 over C.
    """
    logits = network_logits(model) if isinstance(model, nn.Module) else model
    tiled = TiledImage(image, plan, spacing_mm, turn=turn)
    look = class_look([logits], mirror_axes=plan.mirror_axes if mirror else ())
    blended = blend_tiles(look, tiled, overlap=overlap, progress=progress)
    inside = tuple(slice(b, b + n) for b, n in zip(tiled.before, image.shape[1:], strict=True))
    return np.ascontiguousarray(blended[(slice(None), *inside)])


def blend_tiles(
    look: Look, image: TiledImage, *, overlap: float = 0.5, progress: ProgressSink = silent
) -> Float32Array:
    """Whatever is seen in tiles, blended over an image and held as a whole.

    Args:
        look: what is seen in a tile, the same layers in each.
        image: gives the tiles.
        overlap: least shared part of neighbouring tiles.
        progress: receives tiles done.

    Returns:
        (F, I'/a, J'/b, K'/c) float32 over the continued image, for cells of (a, b, c) voxels.
    """
    total: Float32Array | None = None
    for slab in blend_slabs(look, image, Walk(overlap), progress):
        if total is None:
            total = np.empty((len(slab.layers), *image.count), dtype=np.float32)
        for layer, values in slab.layers.items():
            total[layer, slab.start : slab.stop] = values[slab.start - slab.first :].numpy()
    if total is None:
        raise ValueError("an image has at least one tile")
    return total
