"""The training loop: from prepared cases to a checkpoint, resumable at every step."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from voxloop.compute.memory import peak_rss_bytes, require_bytes
from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.errors import DataError, Problem
from voxloop.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from voxloop.model.device import autocast, best_device
from voxloop.model.unet import build_network
from voxloop.plan.plan import Plan
from voxloop.train.config import TrainConfig
from voxloop.train.losses import marginal_loss
from voxloop.train.patches import PatchSource, TrainingCase
from voxloop.train.schedule import decide_steps, learning_rate
from voxloop.train.state import TrainingState, load_newest, save_state

__all__ = ["MODEL_FILE", "TrainingResult", "train"]

MODEL_FILE = "model.safetensors"

_HOPELESS = 20
"""Steps in a row without a finite loss after which training gives up."""


@dataclass(frozen=True)
class TrainingResult:
    """What a training run left behind.

    Attributes:
        path: the model's file.
        steps: optimiser steps done.
        seconds: wall time of this call; less than the whole if it resumed.
        final_loss: mean loss of the last tenth of the steps of this call.
        skipped: steps without effect because the loss was not finite.
        peak_bytes: the most memory the process has held.
    """

    path: Path
    steps: int
    seconds: float
    final_loss: float | None
    skipped: int
    peak_bytes: int


def train(
    plan: Plan,
    cases: tuple[TrainingCase, ...],
    config: TrainConfig,
    folder: Path,
    progress: ProgressSink = silent,
) -> TrainingResult:
    """Learn from prepared cases; ends with a model in `folder`.

    Calling it again with the same arguments after an interruption continues where the newest
    saved state stands, and on a CPU ends with bit-equal weights: every batch is a function of
    seed and step only. Calling it after it has finished returns at once.

    Args:
        plan: of the data set.
        cases: with annotations; voxels not looked at and labels not asked for do not count.
        config: duration, seed and optimiser.
        folder: of this run; created if need be.
        progress: receives steps done.

    Raises:
        DataError: if nothing is annotated, or the loss stays infinite.
        LimitError: if memory or disk do not suffice.
    """
    started = time.monotonic()
    require_bytes(plan.memory_bytes, "training")
    source = PatchSource(cases, plan, config.seed)
    device = best_device()
    hashes = {case.id: _case_hash(case) for case in cases}
    identity = _identity(plan, hashes, config)
    path = folder / MODEL_FILE
    if _is_finished(path, identity):
        return TrainingResult(path, 0, 0.0, None, 0, peak_rss_bytes())
    scratch = functools.cache(lambda: _fresh_state(plan, config, device))
    steps = decide_steps(
        config, lambda: _step(scratch(), source, config, device, steps=1), folder, identity
    )
    state = _fresh_state(plan, config, device)
    load_newest(folder, state, identity)
    losses: list[float] = []
    saved = time.monotonic()
    while state.step < steps:
        losses.append(_step(state, source, config, device, steps=steps))
        if not math.isfinite(losses[-1]):
            _check_hope(losses)
        progress(Progress("training", state.step, steps, f"loss {losses[-1]:.3f}"))
        if time.monotonic() - saved > config.save_seconds:
            save_state(folder, state, identity)
            saved = time.monotonic()
    provenance = {
        "identity": identity,
        "config": config.to_json(),
        "steps": steps,
        "skipped": state.skipped,
        "cases": hashes,
        "torch": torch.__version__,
    }
    save_checkpoint(path, Checkpoint(plan, state.average, provenance))
    for left in (*folder.glob("resume-*.safetensors"), *folder.glob(".*.tmp.*")):
        left.unlink()  # states, and what a killed process had half written
    finite = [loss for loss in losses[-max(1, steps // 10) :] if math.isfinite(loss)]
    return TrainingResult(
        path=path,
        steps=steps,
        seconds=time.monotonic() - started,
        final_loss=sum(finite) / len(finite) if finite else None,
        skipped=state.skipped,
        peak_bytes=peak_rss_bytes(),
    )


def _fresh_state(plan: Plan, config: TrainConfig, device: torch.device) -> TrainingState:
    network = build_network(plan, config.seed).to(device)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in network.parameters() if p.ndim > 1]},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)
    average = {name: value.clone() for name, value in network.state_dict().items()}
    return TrainingState(network, average, optimizer)


def _step(
    state: TrainingState,
    source: PatchSource,
    config: TrainConfig,
    device: torch.device,
    *,
    steps: int,
) -> float:
    """One optimiser step; a loss that is not finite changes nothing but the count."""
    batch = source.batch(state.step)
    rate = learning_rate(config, state.step, steps)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.network.train()
    state.optimizer.zero_grad(set_to_none=True)
    image = batch.image.to(device).contiguous(memory_format=torch.channels_last_3d)
    with autocast(device):
        logits = state.network(image)
    loss = marginal_loss(
        logits, batch.classes.to(device), batch.asked.to(device), source.merged.to(device)
    )
    loss.backward()  # type: ignore[no-untyped-call]
    length = nn.utils.clip_grad_norm_(state.network.parameters(), config.clip_norm)
    value = float(loss.detach())
    state.step += 1
    if not (math.isfinite(value) and math.isfinite(float(length))):
        state.skipped += 1
        return math.inf
    state.optimizer.step()
    # early averages would carry the random start along: let the memory grow with the steps
    decay = min(config.average_decay, state.step / (state.step + 9))
    with torch.no_grad():
        for name, current in state.network.state_dict().items():
            state.average[name].lerp_(current, 1 - decay)
    return value


def _check_hope(losses: list[float]) -> None:
    recent = losses[-_HOPELESS:]
    if len(recent) == _HOPELESS and not any(math.isfinite(loss) for loss in recent):
        raise DataError(
            Problem(
                "training",
                "a finite loss",
                f"none in {_HOPELESS} steps in a row",
                "look for extreme intensities in the scans (voxloop info), or lower the "
                "learning rate",
            )
        )


def _identity(plan: Plan, hashes: dict[str, str], config: TrainConfig) -> str:
    """What a run is made of; a saved state is only ever continued by the same."""
    document: dict[str, Any] = {
        "plan": plan.to_json(),
        "config": config.to_json(),
        "cases": hashes,
    }
    document["config"].pop("save_seconds")
    text = json.dumps(document, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _case_hash(case: TrainingCase) -> str:
    digest = hashlib.sha256(str(case.target.asked_sets).encode())
    for array in (case.image, case.target.values, case.target.asked):
        digest.update(str(array.shape).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def _is_finished(path: Path, identity: str) -> bool:
    with contextlib.suppress(DataError):  # absent or damaged: trained again
        return bool(load_checkpoint(path).provenance.get("identity") == identity)
    return False
