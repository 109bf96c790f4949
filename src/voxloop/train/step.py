"""One step of training, and the state before the first."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from voxloop.model.checkpoint import Checkpoint
from voxloop.model.device import autocast
from voxloop.model.unet import build_network
from voxloop.plan.plan import Plan
from voxloop.train.config import TrainConfig
from voxloop.train.losses import marginal_loss
from voxloop.train.muon import Muon
from voxloop.train.patches import PatchSource
from voxloop.train.schedule import Schedule
from voxloop.train.state import TrainingState

__all__ = ["build_optimizers", "do_step", "fresh_state", "thinned"]

_COARSER = 0.5
"""Weight of a level's loss beside that of the next finer level."""


def fresh_state(
    plan: Plan, config: TrainConfig, device: torch.device, start: Checkpoint | None = None
) -> TrainingState:
    """The state before the first step."""
    network = build_network(plan, config.seed).to(device)
    if start is not None:
        network.load_state_dict(dict(start.weights))
    average = {name: value.clone() for name, value in network.state_dict().items()}
    return TrainingState(network, average, build_optimizers(network, config))


def build_optimizers(
    network: nn.Module, config: TrainConfig
) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """Muon for the convolutions inside the network, AdamW for what is left.

    The head and the upsampling are maps between few channels, and norms are no matrices at all.
    """
    inner = {
        f"{name}.weight"
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv3d) and not name.startswith(("head", "coarse_heads"))
    }
    named = list(network.named_parameters())
    matrices = [p for name, p in named if name not in inner and p.ndim > 1]
    vectors = [p for name, p in named if p.ndim <= 1]
    rate, decay = config.learning_rate, config.weight_decay
    groups: list[dict[str, Any]] = [
        {"params": matrices},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return (
        Muon([p for name, p in named if name in inner], rate, decay),
        torch.optim.AdamW(groups, lr=rate, weight_decay=decay),
    )


def do_step(
    state: TrainingState,
    source: PatchSource,
    config: TrainConfig,
    device: torch.device,
    schedule: Schedule,
) -> None:
    """One optimiser step; a loss that is not finite changes nothing but the count."""
    batch = source.batch(state.step)
    rate = config.learning_rate * schedule.rate(state.step, state.fall)
    for optimizer in state.optimizers:
        optimizer.zero_grad(set_to_none=True)
        for group in optimizer.param_groups:
            group["lr"] = rate
    state.network.train()
    image = batch.image.to(device).contiguous(memory_format=torch.channels_last_3d)
    with autocast(device):
        levels = state.network.at_levels(image)
    classes, asked = batch.classes.to(device), batch.asked.to(device)
    merged = source.merged.to(device)
    losses = [
        marginal_loss(logits, thinned(classes, logits), thinned(asked, logits), merged)
        for logits in levels
    ]
    loss = losses[0] + sum(_COARSER**n * coarse for n, coarse in enumerate(losses[1:], start=1))
    loss.backward()  # type: ignore[no-untyped-call]
    length = nn.utils.clip_grad_norm_(state.network.parameters(), config.clip_norm)
    value = float(losses[0].detach())
    finite = math.isfinite(value) and math.isfinite(float(length))
    state.losses.append(value if finite else math.inf)
    if not finite:
        return
    for optimizer in state.optimizers:
        optimizer.step()
    # early averages would carry the random start along: let the memory grow with the steps
    decay = min(config.average_decay, state.step / (state.step + 9))
    with torch.no_grad():
        for name, current in state.network.state_dict().items():
            state.average[name].lerp_(current, 1 - decay)


def thinned(voxels: Tensor, logits: Tensor) -> Tensor:
    """Every n-th voxel of (N, I, J, K), so that they match the places of coarser logits."""
    steps = [n // m for n, m in zip(voxels.shape[1:], logits.shape[2:], strict=True)]
    return voxels[(slice(None), *(slice(step // 2, None, step) for step in steps))]
