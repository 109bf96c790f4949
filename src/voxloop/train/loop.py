"""The training loop: from prepared cases to a checkpoint, resumable at every step."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from voxloop.compute.atomic import remove_leftovers
from voxloop.compute.memory import peak_rss_bytes, require_bytes
from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.errors import DataError, Problem
from voxloop.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from voxloop.model.device import best_device
from voxloop.plan.plan import Plan
from voxloop.train.config import TrainConfig
from voxloop.train.patches import PatchSource, TrainingCase
from voxloop.train.schedule import Schedule, decide_steps, fall_per_doubling
from voxloop.train.score import labels_shown
from voxloop.train.state import load_newest, save_state
from voxloop.train.step import do_step, fresh_state

__all__ = ["MODEL_FILE", "TrainingResult", "train"]

MODEL_FILE = "model.safetensors"

_WORTH_IT = 0.05
"""Twice the time is worth naming from here on."""

_HOPELESS = 20
"""Steps in a row without a finite loss after which training gives up."""


@dataclass(frozen=True)
class TrainingResult:
    """What a training run left behind.

    Attributes:
        path: the model's file.
        steps: optimiser steps done by this call.
        seconds: wall time of this call; less than the whole if it resumed.
        final_loss: mean loss of the last tenth of the steps.
        skipped: steps without effect because the loss was not finite.
        peak_bytes: the most memory the process has held.
        planned_steps: of the schedule.
        stopped_early: the loss had become flat, and training ended before its time.
        fall_per_doubling: the share by which twice the time would have lowered the loss, by its
            course until the learning rate began to fall.
    """

    path: Path
    steps: int
    seconds: float
    final_loss: float | None
    skipped: int
    peak_bytes: int
    planned_steps: int
    stopped_early: bool
    fall_per_doubling: float

    @property
    def outlook(self) -> str:
        """What more time would bring, in words; of the training loss, which is no Dice."""
        share = f"{100 * max(0.0, self.fall_per_doubling):.0f} %"
        if self.stopped_early:
            return "stopped before its time, because the loss had become flat: label more instead"
        if self.fall_per_doubling >= _WORTH_IT:
            return f"the loss was still falling, by {share} per doubling of time: more may help"
        return f"twice the time would have lowered the loss by {share}: labelling more helps more"


def train(
    plan: Plan,
    cases: tuple[TrainingCase, ...],
    config: TrainConfig,
    folder: Path,
    progress: ProgressSink = silent,
    *,
    start: Checkpoint | None = None,
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
        start: a model whose weights to start from, where they fit the plan's network.

    Raises:
        DataError: if nothing is annotated, or the loss stays infinite.
        LimitError: if memory or disk do not suffice.
    """
    started = time.monotonic()
    require_bytes(plan.memory_bytes, "training")
    source = PatchSource(cases, plan, config.seed)
    device = best_device()
    hashes = {case.id: _case_hash(case) for case in cases}
    identity = _identity(plan, hashes, config, start)
    path = folder / MODEL_FILE
    remove_leftovers(folder)
    if (done := _finished(path, identity)) is not None:
        _forget_states(folder)  # killed after the model was written, it could not do so itself
        return _result(path, done, [], 0, started)
    scratch = functools.cache(lambda: fresh_state(plan, config, device))
    steps = decide_steps(
        config,
        lambda: do_step(scratch(), source, config, device, Schedule(1)),
        folder,
        identity,
    )
    schedule = Schedule(steps, may_stop=config.steps is None)
    state = fresh_state(plan, config, device, start)
    load_newest(folder, state, identity)
    before, saved = state.step, time.monotonic()
    while state.step < schedule.end(state.fall):
        state.fall = schedule.falls_from(state.losses, state.fall)
        do_step(state, source, config, device, schedule)
        _check_hope(state.losses)
        end = schedule.end(state.fall)
        progress(Progress("training", state.step, end, f"loss {state.losses[-1]:.3f}"))
        if time.monotonic() - saved > config.save_seconds:
            save_state(folder, state, identity)
            saved = time.monotonic()
    provenance = {
        "identity": identity,
        "config": config.to_json(),
        "start": None if start is None else start.sha256,
        "steps": state.step,
        "planned_steps": steps,
        "skipped": state.skipped,
        "fall_per_doubling": round(fall_per_doubling(state.losses[: state.fall]), 4),
        "cases": hashes,
        "unlearned": sorted(
            set(plan.labels.values()).difference(*(labels_shown(case.target) for case in cases))
        ),
        "torch": torch.__version__,
    }
    save_checkpoint(path, Checkpoint(plan, state.average, provenance))
    _forget_states(folder)
    return _result(path, provenance, state.losses, state.step - before, started)


def _forget_states(folder: Path) -> None:
    for left in folder.glob("resume-*.safetensors"):
        left.unlink()


def _result(
    path: Path, provenance: Mapping[str, Any], losses: list[float], steps: int, started: float
) -> TrainingResult:
    last = losses[-max(1, len(losses) // 10) :]
    finite = [loss for loss in last if math.isfinite(loss)]
    return TrainingResult(
        path=path,
        steps=steps,
        seconds=time.monotonic() - started,
        final_loss=sum(finite) / len(finite) if finite else None,
        skipped=provenance["skipped"] if losses else 0,
        peak_bytes=peak_rss_bytes(),
        planned_steps=provenance["planned_steps"],
        stopped_early=provenance["steps"] < provenance["planned_steps"],
        fall_per_doubling=provenance["fall_per_doubling"],
    )


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


def _identity(
    plan: Plan, hashes: dict[str, str], config: TrainConfig, start: Checkpoint | None
) -> str:
    """What a run is made of; a saved state is only ever continued by the same."""
    document: dict[str, Any] = {
        "plan": plan.to_json(),
        "config": config.to_json(),
        "cases": hashes,
        "start": None if start is None else start.sha256,
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


def _finished(path: Path, identity: str) -> Mapping[str, Any] | None:
    """The provenance of this very run's model; None if it is not there yet."""
    with contextlib.suppress(DataError):  # absent or damaged: trained again
        provenance = load_checkpoint(path).provenance
        return provenance if provenance.get("identity") == identity else None
    return None
