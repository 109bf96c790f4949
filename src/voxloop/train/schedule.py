"""How many steps a run takes, how fast it learns at each of them, and when to stop before."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from voxloop.compute.atomic import write_json
from voxloop.train.config import TrainConfig

__all__ = ["Schedule", "decide_steps", "fall_per_doubling"]

_WARM_UP = 0.05
"""Share of the steps over which the learning rate rises."""

_DECAY = 0.5
"""Share of the steps over which it falls to zero at the end."""

_TIMED_STEPS = 4
"""Steps measured to turn minutes into steps; the first pays for memory and is discarded."""

_OVERHEAD = 1.03
"""Saving and reporting, as a factor on a step."""

_FEWEST_STEPS = 10

_PATIENCE = 300
"""Steps before the loss can be called flat; earlier windows are too noisy to tell."""

_FLAT = 0.01
"""A loss that twice the time would lower by less than this share is flat."""


@dataclass(frozen=True)
class Schedule:
    """A linear rise, a long stay at the peak, and a linear fall to zero.

    The stay makes the end movable: when the loss has become flat the fall can begin at once, and
    nothing before it would have been different with less time (Hu et al. 2024, arXiv
    2404.06395; Hägele et al. 2024, arXiv 2405.18392).

    Attributes:
        steps: of the whole run, unless it stops before.
        may_stop: whether the fall may begin before its time.
    """

    steps: int
    may_stop: bool = False

    @property
    def planned_fall(self) -> int:
        """The step from which the rate falls if nothing happens before."""
        return self.steps - round(self.steps * _DECAY)

    def falls_from(self, losses: Sequence[float], fall: int | None) -> int | None:
        """The step from which the rate falls, once that is known.

        Args:
            losses: of all steps done.
            fall: what was known before.
        """
        done = len(losses)
        if fall is not None or done >= self.planned_fall:
            return self.planned_fall if fall is None else fall
        due = self.may_stop and done >= _PATIENCE and done % (_PATIENCE // 6) == 0
        return done if due and fall_per_doubling(losses) < _FLAT else None

    def end(self, fall: int | None) -> int:
        """How many steps the run takes when the rate falls from step `fall`."""
        if fall is None or fall >= self.planned_fall:
            return self.steps
        return min(self.steps, fall + max(1, round(fall * _DECAY / (1 - _DECAY))))

    def rate(self, step: int, fall: int | None) -> float:
        """The learning rate of a step as a share of its peak.

        Args:
            step: from 0 on.
            fall: the step from which the rate falls, where known.
        """
        warm = max(1, round(self.steps * _WARM_UP))
        end = self.end(fall)
        left = 1.0 if fall is None else (end - step) / max(1, end - fall)
        return min((step + 1) / warm, left, 1.0)


def fall_per_doubling(losses: Sequence[float]) -> float:
    """The share by which twice the steps would have lowered the loss, by its course so far.

    The means of the second and the last third of the steps are taken for two points of a power
    law, which losses at a constant rate follow closely. Steps without a finite loss are left out.

    Returns:
        Above 0 while the loss falls; 0 where there is nothing to tell from.
    """
    third = len(losses) // 3
    means = []
    for part in (losses[third : 2 * third], losses[len(losses) - third :]):
        finite = [loss for loss in part if math.isfinite(loss)]
        if not finite or sum(finite) <= 0:
            return 0.0
        means.append(sum(finite) / len(finite))
    exponent = math.log(means[0] / means[1]) / math.log(5 / 3)
    return float(1 - 2**-exponent)


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
