"""Probabilities of a whole volume from a network that sees a tile at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.model.device import autocast
from voxloop.plan.plan import Plan
from voxloop.predict.tiling import blend_weights, tile_boxes
from voxloop.volume.boxes import Box
from voxloop.volume.geometry import FloatArray

__all__ = ["POSITION_SCALE_MM", "blend_tiles", "class_probabilities"]

Float32Array = npt.NDArray[np.float32]
Triple = tuple[int, int, int]

POSITION_SCALE_MM = 100.0
"""Position channels hold the distance from the volume's centre in these units."""


def class_probabilities(
    network: nn.Module,
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
        network: gives logits (N, C, I, J, K).
        image: (channels, I, J, K), prepared.
        plan: tile shape, and whether position channels are wanted.
        spacing_mm: of the image.
        overlap: least shared part of neighbouring tiles.
        mirror: average with predictions of mirrored tiles, along the plan's mirror axes.
        turn: as for `blend_tiles`.
        progress: receives tiles done.

    Returns:
        (C, I, J, K) float32, summing to 1 over C.
    """
    axes = plan.mirror_axes if mirror else ()
    device = next(network.parameters()).device
    blended, before = blend_tiles(
        lambda tile: _predict(network, tile.to(device), axes),
        image,
        plan,
        spacing_mm,
        overlap=overlap,
        turn=turn,
        progress=progress,
    )
    inside = tuple(slice(b, b + n) for b, n in zip(before, image.shape[1:], strict=True))
    return np.ascontiguousarray(blended[(slice(None), *inside)])


@torch.inference_mode()
def blend_tiles(
    look: Callable[[Tensor], Tensor],
    image: Float32Array,
    plan: Plan,
    spacing_mm: tuple[float, float, float],
    *,
    cell: Triple = (1, 1, 1),
    overlap: float = 0.5,
    turn: FloatArray | None = None,
    progress: ProgressSink = silent,
) -> tuple[Float32Array, Triple]:
    """Whatever is seen in tiles, blended over an image.

    Args:
        look: what is seen in a tile (channels, A, B, C): (F, A/a, B/b, C/c) for cells of (a, b, c)
            voxels.
        image: (channels, I, J, K), prepared; continued at its border up to whole cells and at
            least one tile.
        plan: tile shape, and whether position channels are wanted.
        spacing_mm: of the image.
        cell: voxels of a cell; divides the tile shape. Tiles start at whole cells.
        overlap: least shared part of neighbouring tiles.
        turn: (3, 3), where the content of the image lies in the body: what is seen o mm from the
            image's middle lies `turn @ o` from the scan's; there, if not given.
        progress: receives tiles done.

    Returns:
        (F, I'/a, J'/b, K'/c) float32 over the continued image, and how many voxels that begins
        before the image.
    """
    shape, side = np.array(image.shape[1:]), np.array(cell)
    cells_per_tile = _triple(np.array(plan.patch_shape) // side)
    margin = -(-np.maximum(shape, plan.patch_shape) // side) * side - shape
    before = margin // 2
    width = [(0, 0), *zip(before.tolist(), (margin - before).tolist(), strict=True)]
    padded = np.pad(image, width, mode="edge")
    count = _triple(np.array(padded.shape[1:]) // side)
    tiles = tile_boxes(count, cells_per_tile, overlap)
    weights = torch.from_numpy(blend_weights(cells_per_tile))
    total, weight = torch.zeros(0), torch.zeros(count)
    for done, cells in enumerate(tiles, start=1):
        box = Box(_triple(np.array(cells.start) * side), _triple(np.array(cells.stop) * side))
        tile = torch.from_numpy(padded[(slice(None), *box.slices)].copy())
        if plan.use_position:
            tile = torch.cat([tile, _position(box, before, shape, spacing_mm, turn)])
        seen = look(tile).float().cpu()
        if not total.numel():
            total = torch.zeros((len(seen), *count))
        total[(slice(None), *cells.slices)] += seen * weights
        weight[cells.slices] += weights
        progress(Progress("segmenting", done, len(tiles)))
    return total.div_(weight).numpy(), _triple(before)


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
    turn: FloatArray | None,
) -> Tensor:
    axes = [
        torch.from_numpy(((np.arange(a, b) - m - (n - 1) / 2) * s).astype(np.float32))
        for a, b, m, n, s in zip(box.start, box.stop, before, shape, spacing_mm, strict=True)
    ]
    place = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    if turn is not None:
        place = torch.einsum("ab,bijk->aijk", torch.from_numpy(turn).float(), place)
    return place / POSITION_SCALE_MM


def _triple(values: npt.NDArray[np.int64]) -> Triple:
    i, j, k = values.tolist()
    return i, j, k
