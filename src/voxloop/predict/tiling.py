"""Cutting a volume into overlapping tiles, and the weights that hide their seams."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from voxloop.plan.plan import POSITION_SCALE_MM, Plan
from voxloop.volume.boxes import Box
from voxloop.volume.geometry import FloatArray

__all__ = ["TiledImage", "blend_weights", "tile_boxes", "tile_starts"]

Triple = tuple[int, int, int]
Float32Array = npt.NDArray[np.float32]


def tile_starts(length: int, tile: int, overlap: float) -> tuple[int, ...]:
    """Where tiles begin that cover an axis, evenly spaced, overlapping by at least a share.

    Args:
        length: voxels to cover, at least those of a tile.
        tile: voxels of a tile.
        overlap: least shared part of neighbouring tiles, in 0..0.9.

    Returns:
        The first is 0, the last `length - tile`.
    """
    step = max(1, int(tile * (1 - overlap)))
    count = -(-(length - tile) // step) + 1
    return tuple(np.rint(np.linspace(0, length - tile, count)).astype(int).tolist())


def tile_boxes(shape: Triple, tile: Triple, overlap: float) -> tuple[Box, ...]:
    """Boxes of one size that cover a grid.

    Args:
        shape: voxels of the grid, along each axis at least those of the tile.
        tile: voxels of a tile.
        overlap: as for `tile_starts`.

    Returns:
        Boxes in lexicographic order; the outermost touch the grid's borders.
    """
    starts = (tile_starts(n, t, overlap) for n, t in zip(shape, tile, strict=True))
    return tuple(
        Box((i, j, k), (i + tile[0], j + tile[1], k + tile[2]))
        for i, j, k in itertools.product(*starts)
    )


def blend_weights(tile: Triple) -> Float32Array:
    """How much a tile's voxels count: a Gaussian about its centre, never zero.

    Predictions near a tile's border lack context on one side and count less (Isensee et al.
    2021). Standard deviation is an eighth of the tile.
    """
    axes = [np.arange(n) - (n - 1) / 2 for n in tile]
    bells = [np.exp(-0.5 * (a / max(n / 8, 0.5)) ** 2) for a, n in zip(axes, tile, strict=True)]
    weights = bells[0][:, None, None] * bells[1][:, None] * bells[2]
    return np.asarray(np.maximum(weights, 1e-3), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class TiledImage:
    """A prepared image from which tiles are cut, as the network takes them.

    Attributes:
        image: (channels, I, J, K), prepared; continued at its border up to whole cells and at
            least one tile.
        plan: tile shape, and whether position channels are wanted.
        spacing_mm: of the image.
        cell: voxels of a cell; divides the tile shape. Tiles start at whole cells.
        turn: (3, 3), where the content of the image lies in the body: what is seen o mm from the
            image's middle lies `turn @ o` from the scan's; there, if not given.
    """

    image: Float32Array
    plan: Plan
    spacing_mm: tuple[float, float, float]
    cell: Triple = (1, 1, 1)
    turn: FloatArray | None = None

    @property
    def count(self) -> Triple:
        """Cells of the continued image along each axis."""
        lengths = np.maximum(self.image.shape[1:], self.plan.patch_shape)
        return _triple(-(-lengths // np.array(self.cell)))

    @property
    def cells_per_tile(self) -> Triple:
        """Cells of a tile along each axis."""
        return _triple(np.array(self.plan.patch_shape) // np.array(self.cell))

    @property
    def before(self) -> Triple:
        """How many voxels the continued image begins before the image."""
        continued = np.array(self.count) * np.array(self.cell)
        return _triple((continued - np.array(self.image.shape[1:])) // 2)

    def voxels(self, cells: Box) -> Box:
        """Where cells lie in the image; the box may reach beyond it."""
        before, cell = np.array(self.before), np.array(self.cell)
        start, stop = (np.array(end) * cell - before for end in (cells.start, cells.stop))
        return Box(_triple(start), _triple(stop))

    def tile(self, cells: Box) -> Tensor:
        """What the network is shown of a box of cells: (inputs, A, B, C) float32."""
        box = self.voxels(cells)
        places = [np.arange(a, b) for a, b in zip(box.start, box.stop, strict=True)]
        inside = box.clip(_triple(np.array(self.image.shape[1:])))
        if inside == box:
            seen = self.image[(slice(None), *box.slices)]
        else:
            i, j, k = (p.clip(0, n - 1) for p, n in zip(places, self.image.shape[1:], strict=True))
            seen = self.image[:, i[:, None, None], j[:, None], k]
        tile = torch.from_numpy(np.array(seen))
        if not self.plan.use_position:
            return tile
        return torch.cat([tile, self._position(places)])

    def _position(self, places: list[npt.NDArray[np.int64]]) -> Tensor:
        axes = [
            torch.from_numpy(((p - (n - 1) / 2) * s).astype(np.float32))
            for p, n, s in zip(places, self.image.shape[1:], self.spacing_mm, strict=True)
        ]
        place = torch.stack(torch.meshgrid(*axes, indexing="ij"))
        if self.turn is not None:
            place = torch.einsum("ab,bijk->aijk", torch.from_numpy(self.turn).float(), place)
        return place / POSITION_SCALE_MM


def _triple(values: npt.NDArray[np.int64]) -> Triple:
    i, j, k = (int(value) for value in values)
    return i, j, k
