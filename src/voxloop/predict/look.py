"""What models say of a tile: the probabilities of the classes that occur in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from voxloop.model.blocks import unfold_voxels
from voxloop.model.device import autocast
from voxloop.predict.engines.engine import Engine
from voxloop.predict.slabs import Look

__all__ = ["FAINT", "Logits", "class_look", "engine_logits", "network_logits"]

FAINT = 1e-4
"""A class that nowhere in a tile is this probable is left out of it: a hundredth of what
single-precision and bfloat16 networks disagree by, and what makes a hundred labels cost little
more than one."""


@dataclass(frozen=True, eq=False)
class Logits:
    """A model, ready to look at tiles.

    Attributes:
        of: from a tile (inputs, A, B, C) to (classes, F, a, b, c): F voxels of each block.
        stem: voxels of a block along each axis.
    """

    of: Callable[[Tensor], Tensor]
    stem: tuple[int, int, int] = (1, 1, 1)


def network_logits(network: nn.Module) -> Logits:
    """Run a network where and as precisely as its device does it best."""
    device = next(network.parameters()).device

    def run(tile: Tensor) -> Tensor:
        batch = tile[None].to(device).contiguous(memory_format=torch.channels_last_3d)
        with autocast(device):
            found: Tensor = network(batch)
        return found[0, :, None].cpu()

    return Logits(run)


def engine_logits(engine: Engine) -> Logits:
    """Run an engine."""
    return Logits(
        lambda tile: torch.from_numpy(engine.logits(tile[None].contiguous().numpy()))[0],
        engine.stem,
    )


def class_look(
    models: Sequence[Logits], *, mirror_axes: tuple[int, ...] = (), faint: float = 0.0
) -> Look:
    """The mean of what models say of a tile and of its mirror images.

    Args:
        models: at least one.
        mirror_axes: axes along which each model looks once more.
        faint: classes that a model nowhere gives this probability are left out.
    """
    views: list[tuple[int, ...]] = [(), *((axis + 1,) for axis in mirror_axes)]
    share = 1 / (len(models) * len(views))

    def look(tile: Tensor) -> dict[int, Tensor]:
        total: dict[int, Tensor] = {}
        for model in models:
            for dims in views:
                seen = model.of(tile.flip(dims) if dims else tile)
                for number, blocks in _probabilities(seen, faint).items():
                    values = unfold_voxels(blocks[None], model.stem)[0]
                    turned = values.flip([d - 1 for d in dims]) if dims else values
                    if share < 1:
                        turned = turned.mul_(share)
                    total[number] = total[number] + turned if number in total else turned
        return total

    return look


def _probabilities(logits: Tensor, faint: float) -> dict[int, Tensor]:
    """Softmax class by class: what fits the cache is done several times as fast.

    In blocks, so that only classes that occur have their voxels put side by side.
    """
    logits = logits.contiguous()
    highest = logits.amax(dim=0).float()
    least = math.log(faint) if faint > 0 else -math.inf
    found: dict[int, Tensor] = {}
    total = torch.zeros_like(highest)
    for number, values in enumerate(logits):
        below = values.float() - highest
        if float(below.max()) >= least:
            found[number] = below.exp_()
            total += below
    for values in found.values():
        values.div_(total)
    return found
