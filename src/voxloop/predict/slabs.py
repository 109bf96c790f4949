"""Blending tiles slab by slab, so that no more than a tile's thickness is ever held."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.predict.tiling import TiledImage, blend_weights, tile_starts
from voxloop.volume.boxes import Box

__all__ = ["Look", "Slab", "Walk", "blend_slabs"]

Triple = tuple[int, int, int]

Look = Callable[[Tensor], Mapping[int, Tensor]]
"""What is seen in a tile (inputs, A, B, C): by layer (a class, a feature) its values (a, b, c), one
per cell. Layers that are left out are zero."""


@dataclass(frozen=True, eq=False)
class Slab:
    """Neighbouring planes across one axis that are finished.

    Attributes:
        first: plane at which the layers begin; some planes before `start` are shown again.
        start: first plane that is new.
        stop: one past the last.
        layers: by number, (a, b, c) float, `stop - first` thick along the axis; what is not
            there is zero. To be used before the next slab is asked for.
    """

    first: int
    start: int
    stop: int
    layers: Mapping[int, Tensor]


@dataclass(frozen=True)
class Walk:
    """How an image is gone through.

    Attributes:
        overlap: least shared part of neighbouring tiles, in 0..0.9.
        axis: across which finished planes come out, one after another.
        lead: finished planes that are shown again with the next ones.
        half: whether to blend in half the precision and memory.
        within: cells to cover along the other two axes; all if not given. Cells in no tile get 1
            in layer 0.
        wanted: whether a tile is worth looking at; all are if not given.
    """

    overlap: float = 0.5
    axis: int = 0
    lead: int = 0
    half: bool = False
    within: Box | None = None
    wanted: Callable[[Box], bool] | None = None

    def rows(self, count: Triple, tile: Triple) -> tuple[tuple[int, tuple[Box, ...]], ...]:
        """Tiles by the plane at which they begin.

        Args:
            count: cells of the image.
            tile: cells of a tile.
        """
        starts = []
        for axis, (n, t) in enumerate(zip(count, tile, strict=True)):
            low, high = 0, n
            if self.within is not None and axis != self.axis:
                low, high = _widened(self.within.start[axis], self.within.stop[axis], t, n)
            starts.append([low + s for s in tile_starts(high - low, t, self.overlap)])
        along = starts[self.axis]
        found = []
        for first in along:
            starts[self.axis] = [first]
            boxes = (
                Box((i, j, k), (i + tile[0], j + tile[1], k + tile[2]))
                for i, j, k in itertools.product(*starts)
            )
            found.append((first, tuple(b for b in boxes if not self.wanted or self.wanted(b))))
        return tuple(found)


def _widened(low: int, high: int, tile: int, length: int) -> tuple[int, int]:
    """A span of at least a tile about another one, within an axis."""
    if high - low < tile:
        low = max(0, min((low + high - tile) // 2, length - tile))
    return low, max(high, low + tile)


@torch.inference_mode()
def blend_slabs(
    look: Look, image: TiledImage, walk: Walk, progress: ProgressSink = silent
) -> Iterator[Slab]:
    """Whatever is seen in tiles, blended over an image and handed out as soon as it is final.

    Args:
        look: what is seen in a tile.
        image: gives the tiles.
        walk: how to go through it.
        progress: receives tiles done.

    Yields:
        Slabs that cover the image's cells, in order.
    """
    rows = walk.rows(image.count, image.cells_per_tile)
    weights = torch.from_numpy(blend_weights(image.cells_per_tile))
    held = _Held(image.count, image.cells_per_tile, walk)
    done, total = 0, sum(len(boxes) for _, boxes in rows)
    for (start, boxes), stop in zip(
        rows, [*(first for first, _ in rows[1:]), image.count[walk.axis]], strict=True
    ):
        held.move_to(max(0, start - walk.lead))
        for box in boxes:
            held.add(box, look(image.tile(box)), weights)
            done += 1
            progress(Progress("segmenting", done, total))
        yield held.finish(stop)


class _Held:
    """Weighted sums of what was seen, over the planes that tiles can still reach."""

    def __init__(self, count: Triple, tile: Triple, walk: Walk) -> None:
        self._axis = walk.axis
        self._first = self._done = 0
        shape = list(count)
        shape[walk.axis] = min(count[walk.axis], tile[walk.axis] + walk.lead)
        self._shape = tuple(shape)
        self._dtype = torch.float16 if walk.half else torch.float32
        self._weight = torch.zeros(self._shape)
        self._layers: dict[int, Tensor] = {}
        self._reach: dict[int, int] = {}

    def move_to(self, first: int) -> None:
        """Forget the planes before `first`."""
        step = first - self._first
        if step == 0:
            return
        self._first = first
        for layer in [n for n, reach in self._reach.items() if reach <= first]:
            del self._layers[layer], self._reach[layer]
        for array in (self._weight, *self._layers.values()):
            rest = self._shape[self._axis] - step
            array.narrow(self._axis, 0, rest).copy_(array.narrow(self._axis, step, rest).clone())
            array.narrow(self._axis, rest, step).zero_()

    def add(self, box: Box, seen: Mapping[int, Tensor], weights: Tensor) -> None:
        """Add what was seen in a box."""
        region = self._region(box)
        self._weight[region] += weights
        for layer, values in seen.items():
            if layer not in self._layers:
                self._layers[layer] = torch.zeros(self._shape, dtype=self._dtype)
            part = self._layers[layer][region]
            if self._dtype == torch.float32:
                part.addcmul_(values, weights)
            else:
                part.add_((values * weights).to(self._dtype))
            self._reach[layer] = max(self._reach.get(layer, 0), box.stop[self._axis])

    def finish(self, stop: int) -> Slab:
        """Turn sums into means up to the plane `stop`, and show them."""
        start, new = self._done, stop - self._done
        weight = self._weight.narrow(self._axis, start - self._first, new)
        unseen = weight == 0
        if bool(unseen.any()):
            weight[unseen] = 1
            self._layers.setdefault(0, torch.zeros(self._shape, dtype=self._dtype))
            self._reach[0] = max(self._reach.get(0, 0), stop)
        for layer, array in self._layers.items():
            part = array.narrow(self._axis, start - self._first, new)
            part.div_(weight)
            if layer == 0:
                part.masked_fill_(unseen, 1)
        self._done = stop
        shown = stop - self._first
        layers = {n: a.narrow(self._axis, 0, shown) for n, a in self._layers.items()}
        return Slab(self._first, start, stop, layers)

    def _region(self, box: Box) -> tuple[slice, slice, slice]:
        i, j, k = (
            slice(a - self._first, b - self._first) if axis == self._axis else slice(a, b)
            for axis, (a, b) in enumerate(zip(box.start, box.stop, strict=True))
        )
        return i, j, k
