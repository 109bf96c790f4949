"""What segmenting a scan will hold in memory, known before anything is allocated."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from voxloop.compute.memory import require_bytes
from voxloop.plan.plan import Plan
from voxloop.plan.preprocess import plan_grid
from voxloop.predict.keeping import kept_bytes
from voxloop.volume.geometry import Geometry
from voxloop.volume.separable import axis_maps

__all__ = ["Footprint", "inference_bytes", "plan_footprint"]

_PROGRAM_BYTES = 256 << 20
"""Interpreter, PyTorch, weights, and what they keep."""

_COMPILER_BYTES = 220 << 20
"""What any other engine than PyTorch adds, compiled network and all."""

_CHUNK_BYTES = 64 << 20
"""What reading, resampling and labelling hold of a scan beside their results."""

_LOGIT_COPIES = 3
"""Of a tile's logits: as the network gives them, in single precision, and as probabilities."""

_LIVE_ACTIVATIONS = 8
"""Arrays of each level's size that a network holds at once."""

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Footprint:
    """How a scan is gone through so that memory suffices.

    Attributes:
        axis: of the network's grid, across which finished planes come out.
        half: whether tiles are blended in half precision.
        bytes: what the process will hold at its peak.
        keep: whether all probabilities on the network's grid are kept.
    """

    axis: int
    half: bool
    bytes: int
    keep: bool = False


def plan_footprint(
    source: Geometry,
    plan: Plan,
    channel_bytes: int,
    limit: int,
    *,
    engine: str = "torch",
    uncertainty: bool = False,
    keep: bool = False,
) -> Footprint:
    """The way through a scan that holds least; in full precision if the limit allows it.

    What is only welcome is given up in order: full precision first, then keeping probabilities.

    Args:
        source: the scan's grid.
        plan: of the model.
        channel_bytes: of the scan's channels, which are held already.
        limit: the most that the process may hold.
        engine: what runs the network.
        uncertainty: whether the entropy is wanted as well.
        keep: whether all probabilities would be welcome, on the network's grid.

    Raises:
        LimitError: if the limit, or the memory that is free now, does not suffice; says what
            would be needed.
    """
    held = channel_bytes + _PROGRAM_BYTES
    held += 0 if engine.startswith("torch") else _COMPILER_BYTES

    kept = kept_bytes(len(plan.labels) + 1, plan_grid(source, plan).voxel_count)

    def least(*, half: bool, keep: bool) -> Footprint:
        needs = [
            inference_bytes(source, plan, axis, half=half, uncertainty=uncertainty)
            for axis in range(3)
        ]
        needed = min(needs) + held + (kept if keep else 0)
        return Footprint(needs.index(min(needs)), half, needed, keep)

    wishes = (True, False) if keep else (False,)
    ways = [(half, wish) for wish in wishes for half in (False, True)]
    for half, wish in ways:
        taken = least(half=half, keep=wish)
        if taken.bytes <= limit:
            break
    labels = f"{len(plan.labels)} label{'s' if len(plan.labels) > 1 else ''}"
    what = f"segmenting a scan of {source.shape} voxels with {labels}"
    require_bytes(taken.bytes, what, limit)
    require_bytes(taken.bytes - held, what)
    return taken


def inference_bytes(
    source: Geometry, plan: Plan, axis: int, *, half: bool = False, uncertainty: bool = False
) -> int:
    """What segmenting allocates at its peak, beside program and scan.

    Prepared image, label map and entropy are held throughout; beside them first what resampling
    needs, then the planes of one tile's thickness over all classes, a tile's logits, and the
    network's activations. Of the scan's length along the axis only the first three depend.

    Args:
        source: the scan's grid.
        plan: of the model.
        axis: of the network's grid, across which finished planes come out.
        half: whether tiles are blended in half precision.
        uncertainty: whether the entropy is wanted as well.
    """
    grid = plan_grid(source, plan)
    shape = np.maximum(grid.shape, plan.patch_shape)
    classes, tile = len(plan.labels) + 1, math.prod(plan.patch_shape)
    prepared = 4 * len(plan.channel_names) * grid.voxel_count
    results = source.voxel_count * (2 if uncertainty else 1)
    depth = min(int(shape[axis]), plan.patch_shape[axis] + _lead(source, grid, axis))
    planes = math.prod(int(n) for n in np.delete(shape, axis)) * depth
    blended = planes * (classes * (2 if half else 4) + 8)
    inner = tile / math.prod(plan.stem)
    active = sum(inner * width / 8**level for level, width in enumerate(plan.widths))
    looking = int(4 * (_LOGIT_COPIES * classes * tile + _LIVE_ACTIVATIONS * active))
    resampling = 3 * 4 * grid.voxel_count * max(1, round(_longest_ratio(source, grid)))
    return prepared + results + _CHUNK_BYTES + max(resampling, blended + looking)


def _lead(source: Geometry, grid: Geometry, axis: int) -> int:
    maps = axis_maps(grid, source)
    if maps is None:
        return 0
    support = next(m.support for m in maps if m.axis == axis)
    return int((support[:, 1] - support[:, 0]).max())


def _longest_ratio(source: Geometry, grid: Geometry) -> float:
    """How many times more voxels an axis has before it is resampled."""
    before = np.array(source.canonical().shape) / np.array(grid.shape)
    return float(before.max())
