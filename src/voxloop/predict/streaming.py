"""Through a prepared scan tile by tile; what is final is handed on at once and forgotten."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from voxloop.compute.progress import ProgressSink, silent
from voxloop.plan.plan import Plan
from voxloop.plan.preprocess import Prepared
from voxloop.predict.body import Body
from voxloop.predict.slabs import Look, Slab, Walk, blend_slabs
from voxloop.predict.tiling import TiledImage
from voxloop.volume.boxes import Box

__all__ = ["Passage", "Receiver", "stream"]


class Receiver(Protocol):
    """Takes what models say of a scan, some planes of the network's grid at a time."""

    @property
    def lead(self) -> int:
        """Planes that it must be shown again with the next."""

    def add(self, planes: Mapping[int, npt.NDArray[np.floating]], first: int, stop: int) -> None:
        """Take the planes `first` to `stop`, (a, b, c) by class; what is not there is zero."""


@dataclass(frozen=True, eq=False)
class Passage:
    """How a scan is gone through.

    Attributes:
        overlap: least shared part of neighbouring tiles.
        axis: of the network's grid, across which slabs follow each other.
        half: whether tiles are blended in half precision.
        body: where to look; everywhere if not given. Elsewhere is background.
    """

    overlap: float
    axis: int = 0
    half: bool = False
    body: Body | None = None


def stream(
    look: Look,
    prepared: Prepared,
    plan: Plan,
    passage: Passage,
    receivers: Sequence[Receiver],
    *,
    progress: ProgressSink = silent,
) -> float:
    """Show a scan to a network and what it says to receivers.

    Args:
        look: what models say of a tile, by class.
        prepared: the case.
        plan: of the models.
        passage: how to go through it.
        receivers: at least one.
        progress: receives tiles done.

    Returns:
        Seconds that went into looking and blending, and not into the receivers.
    """
    start = time.monotonic()
    tiled = TiledImage(prepared.array, plan, prepared.grid.spacing_mm)
    walk = _walk(tiled, prepared, passage, max(receiver.lead for receiver in receivers))
    spent = 0.0
    for slab in blend_slabs(look, tiled, walk, progress):
        ready = time.monotonic()
        for receiver in receivers:
            _hand_over(slab, receiver, tiled, passage.axis)
        spent += time.monotonic() - ready
    return time.monotonic() - start - spent


def _walk(tiled: TiledImage, prepared: Prepared, passage: Passage, lead: int) -> Walk:
    plain = Walk(passage.overlap, passage.axis, lead, passage.half)
    body, grid = passage.body, prepared.grid
    if body is None:
        return plain
    low, high = (
        tuple(p + b for p, b in zip(end, tiled.before, strict=True))
        for end in (body.box(grid).start, body.box(grid).stop)
    )
    within = Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    return Walk(
        passage.overlap,
        passage.axis,
        lead,
        passage.half,
        within,
        lambda cells: body.touches(tiled.voxels(cells), grid),
    )


def _hand_over(slab: Slab, receiver: Receiver, tiled: TiledImage, axis: int) -> None:
    """Cut off what continues the image, and pass on the rest."""
    before, shape = tiled.before, tiled.image.shape[1:]
    first, stop = max(0, slab.first - before[axis]), min(shape[axis], slab.stop - before[axis])
    if stop <= first:
        return
    parts = [slice(b, b + n) for b, n in zip(before, shape, strict=True)]
    parts[axis] = slice(first + before[axis] - slab.first, stop + before[axis] - slab.first)
    planes = {n: values[tuple(parts)].numpy() for n, values in slab.layers.items()}
    receiver.add(planes, first, stop)
