"""How many steps a run takes and how fast it learns at each of them."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

from voxloop.compute.atomic import write_json
from voxloop.train.config import TrainConfig

__all__ = ["decide_steps", "learning_rate"]

_WARM_UP = 0.05
"""Share of the steps over which the learning rate rises."""

_TIMED_STEPS = 4
"""Steps measured to turn minutes into steps; the first pays for memory and is discarded."""

_OVERHEAD = 1.03
"""Saving and reporting, as a factor on a step."""

_FEWEST_STEPS = 10


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """The rate of a step: a linear rise, then half a cosine down to zero.

    Args:
        config: with the peak rate.
        step: from 0 on.
        steps: of the whole run.
    """
    warm = max(1, round(steps * _WARM_UP))
    if step < warm:
        return config.learning_rate * (step + 1) / warm
    done = (step - warm) / max(1, steps - warm)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def decide_steps(
    config: TrainConfig, try_step: Callable[[], object], folder: Path, identity: str
) -> int:
    """Steps of the schedule: as configured, or what the minutes allow on this machine.

    Measured once and written down, so that a resumed run keeps its schedule and ends where the
    undisturbed one would have.

    Args:
        config: with steps or minutes.
        try_step: does one step of a network that is thrown away.
        folder: of the run.
        identity: of the run; a schedule of another one is not used.
    """
    if config.steps is not None:
        return config.steps
    schedule = folder / "schedule.json"
    with contextlib.suppress(OSError, ValueError, KeyError):
        document = json.loads(schedule.read_text())
        if document["identity"] == identity:
            return int(document["steps"])
    times = []
    for _ in range(_TIMED_STEPS):
        start = time.monotonic()
        try_step()
        times.append(time.monotonic() - start)
    seconds = min(times[1:])
    steps = max(_FEWEST_STEPS, int(config.minutes * 60 / (seconds * _OVERHEAD)))
    document = {"identity": identity, "steps": steps, "seconds_per_step": round(seconds, 4)}
    write_json(schedule, document)
    return steps
