"""How long and how fast to learn; everything that depends on the data is in the plan instead."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from voxloop.errors import UsageError

__all__ = ["TrainConfig"]

_RANGES = (
    ("learning_rate", 1e-7, 1.0),
    ("weight_decay", 0.0, 1.0),
    ("average_decay", 0.0, 0.99999),
    ("clip_norm", 1e-6, 1e6),
    ("save_seconds", 0.0, 86_400.0),
)
"""What a hyper-parameter may be; not a number is none of it."""


@dataclass(frozen=True)
class TrainConfig:
    """One recipe for every anatomy.

    Attributes:
        steps: optimiser steps; where None they are derived from `minutes`.
        minutes: wall time that training should take on this machine.
        seed: of weights, patches and augmentation.
        learning_rate: peak of the schedule.
        weight_decay: decoupled from the gradient (Loshchilov and Hutter 2019).
        average_decay: of the running average of weights that becomes the model.
        clip_norm: gradients longer than this are shortened.
        save_seconds: how often the state is saved, so how much a crash can cost.
        warm_start: begin with the weights of an earlier round where there are any that fit.
    """

    steps: int | None = None
    minutes: float = 10.0
    seed: int = 0
    learning_rate: float = 2e-3
    weight_decay: float = 3e-2
    average_decay: float = 0.995
    clip_norm: float = 12.0
    save_seconds: float = 20.0
    warm_start: bool = True

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"--steps must be at least 1, found {self.steps}")
        if not 0 < self.minutes <= 60 * 24 * 30:
            raise UsageError(f"--minutes must be above 0 and under a month, found {self.minutes}")
        if self.seed < 0:
            raise UsageError(f"--seed must not be negative, found {self.seed}")
        for name, low, high in _RANGES:
            if not low <= getattr(self, name) <= high:
                raise UsageError(
                    f"{name} must lie in {low:g}..{high:g}, found {getattr(self, name)}"
                )

    def to_json(self) -> dict[str, Any]:
        """As a JSON-ready document."""
        return asdict(self)
