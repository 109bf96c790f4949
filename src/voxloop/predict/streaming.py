"""From a prepared scan to its labels: tiles, slabs and voxels follow each other at once."""

from __future__ import annotations

import time
from dataclasses import dataclass

from voxloop.compute.progress import ProgressSink, silent
from voxloop.plan.plan import Plan
from voxloop.plan.preprocess import Prepared
from voxloop.predict.body import Body
from voxloop.predict.labelling import Labeller
from voxloop.predict.slabs import Look, Slab, Walk, blend_slabs
from voxloop.predict.tiling import TiledImage
from voxloop.volume.boxes import Box
from voxloop.volume.volume import LabelArray

__all__ = ["Passage", "Streamed", "stream_labels"]


@dataclass(frozen=True, eq=False)
class Passage:
    """How a scan is gone through.

    Attributes:
        overlap: least shared part of neighbouring tiles.
        axis: of the network's grid, across which slabs follow each other.
        half: whether tiles are blended in half precision.
        body: where to look; everywhere if not given. Elsewhere is background.
        uncertainty: whether the entropy is wanted as well.
    """

    overlap: float
    axis: int = 0
    half: bool = False
    body: Body | None = None
    uncertainty: bool = False


@dataclass(frozen=True, eq=False)
class Streamed:
    """Labels of a scan.

    Attributes:
        labels: on its own grid.
        entropy: of the probabilities, 0 to 255 of the highest possible; None if not wanted.
        network_seconds: time spent on looking and blending.
        label_seconds: time spent on labelling.
    """

    labels: LabelArray
    entropy: LabelArray | None
    network_seconds: float
    label_seconds: float


def stream_labels(
    look: Look,
    prepared: Prepared,
    plan: Plan,
    passage: Passage,
    progress: ProgressSink = silent,
) -> Streamed:
    """Label a scan while the network goes through it.

    Args:
        look: what models say of a tile, by class.
        prepared: the case.
        plan: of the models.
        passage: how to go through it.
        progress: receives tiles done.
    """
    start = time.monotonic()
    tiled = TiledImage(prepared.array, plan, prepared.grid.spacing_mm)
    values, axis = plan.table.values, passage.axis
    labeller = Labeller(prepared, values, axis, uncertainty=passage.uncertainty)
    walk = _walk(tiled, prepared, passage, labeller.lead)
    spent = 0.0
    for slab in blend_slabs(look, tiled, walk, progress):
        ready = time.monotonic()
        _hand_over(slab, labeller, tiled, axis)
        spent += time.monotonic() - ready
    took = time.monotonic() - start - spent
    return Streamed(labeller.labels, labeller.entropy, took, spent)


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


def _hand_over(slab: Slab, labeller: Labeller, tiled: TiledImage, axis: int) -> None:
    """Cut off what continues the image, and label the rest."""
    before, shape = tiled.before, tiled.image.shape[1:]
    first, stop = max(0, slab.first - before[axis]), min(shape[axis], slab.stop - before[axis])
    if stop <= first:
        return
    parts = [slice(b, b + n) for b, n in zip(before, shape, strict=True)]
    parts[axis] = slice(first + before[axis] - slab.first, stop + before[axis] - slab.first)
    planes = {n: values[tuple(parts)].numpy() for n, values in slab.layers.items()}
    labeller.add(planes, first, stop)
