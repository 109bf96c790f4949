"""What the network makes of a scan before it decides: features on a coarse grid."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from voxloop.model.device import autocast
from voxloop.model.unet import UNet
from voxloop.plan.plan import Plan
from voxloop.plan.preprocess import Prepared
from voxloop.predict.sliding_window import blend_tiles
from voxloop.predict.tiling import TiledImage
from voxloop.volume.geometry import Geometry
from voxloop.volume.resample import resample_linear

__all__ = ["cell_shape", "coarse_grid", "network_features"]

Float32Array = npt.NDArray[np.float32]
Triple = tuple[int, int, int]


def network_features(
    network: UNet, prepared: Prepared, plan: Plan, *, overlap: float = 0.5
) -> Float32Array:
    """Features of the deepest decoder block, which has both the place and its surroundings.

    Of the encoder's deepest block in a network of a single level. Tiles are blended as for
    probabilities. Features of one network compare across scans, those of two networks do not.

    Args:
        network: of the plan.
        prepared: the case.
        plan: tile shape, and whether position channels are wanted.
        overlap: least shared part of neighbouring tiles.

    Returns:
        (F, a, b, c) float32, on cells that span the case's own grid evenly, in its axes' order.
    """
    block = network.decoder[0] if len(network.decoder) else network.encoder[-1]
    device = next(network.parameters()).device
    found: list[Tensor] = []

    def keep(_block: nn.Module, _inputs: tuple[Tensor, ...], features: Tensor) -> None:
        found.append(features[0])

    def look(tile: Tensor) -> dict[int, Tensor]:
        found.clear()
        batch = tile[None].to(device).contiguous(memory_format=torch.channels_last_3d)
        with autocast(device):
            network(batch)
        return dict(enumerate(found[0].float().cpu()))

    cell = cell_shape(plan)
    tiled = TiledImage(prepared.array, plan, prepared.grid.spacing_mm, cell)
    hook = block.register_forward_hook(keep)
    try:
        features = blend_tiles(look, tiled, overlap=overlap)
    finally:
        hook.remove()
    cells = _grid_of_cells(prepared.grid, tiled.before, cell, features.shape[1:])
    target = coarse_grid(prepared.source, prepared.grid, cell)
    return np.stack([resample_linear(feature, cells, target) for feature in features])


def cell_shape(plan: Plan) -> Triple:
    """Voxels of the network's grid along each axis that share one vector of features."""
    last = plan.strides[-1] if plan.strides else (1, 1, 1)
    i, j, k = (n // step for n, step in zip(plan.divisor, last, strict=True))
    return i, j, k


def coarse_grid(source: Geometry, grid: Geometry, cell: Triple) -> Geometry:
    """Cells about as large as those of the network that span the case's grid face to face.

    Args:
        source: the case's own grid.
        grid: the network's.
        cell: voxels of a cell on the network's grid.
    """
    size_mm = np.asarray(cell) * np.asarray(grid.spacing_mm)
    size_mm = size_mm[list(source.world_axes)]  # the network's axes are the world's
    count = np.rint(np.asarray(source.shape) * np.asarray(source.spacing_mm) / size_mm)
    count = np.clip(count, 1, source.shape).astype(int)
    return _scaled(source, np.asarray(source.shape) / count, np.zeros(3), count)


def _grid_of_cells(grid: Geometry, before: Triple, cell: Triple, count: Triple) -> Geometry:
    return _scaled(grid, np.asarray(cell, dtype=float), -np.asarray(before, dtype=float), count)


def _scaled(
    grid: Geometry,
    size: npt.NDArray[np.float64],
    start: npt.NDArray[np.float64],
    count: npt.ArrayLike,
) -> Geometry:
    """Cells of `size` voxels of a grid, the first one's outer corner `start` from the grid's."""
    matrix = grid.matrix.copy()
    matrix[:3, :3] = grid.matrix[:3, :3] * size
    matrix[:3, 3] = grid.to_world([start + size / 2 - 0.5])[0]
    return Geometry.from_affine(count, matrix)
