"""What a background job is to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from voxloop.errors import UsageError

__all__ = ["STEPS", "JobRequest"]

STEPS = ("train", "validate", "propose", "suggest", "referee", "mesh")
"""Use cases that a job can consist of; in this order where several are wanted."""

_RANGES: Mapping[str, tuple[float, float]] = {
    "minutes": (0.01, 7 * 24 * 60),
    "optimiser_steps": (1, 10_000_000),
    "seed": (0, 2**31),
    "query_size": (1, 1000),
    "side_mm": (1, 1000),
    "labelling_minutes": (0.1, 10_000),
    "control": (0, 0.5),
    "folds": (2, 100),
}


@dataclass(frozen=True)
class JobRequest:
    """One job.

    Attributes:
        steps: of `STEPS`, one or more, each once.
        minutes: wall time of the training.
        optimiser_steps: of the training, instead of minutes; None for minutes.
        seed: of training and of the first round.
        query_size: how many regions to ask for.
        strategy: of the query; empty for the usual one.
        regions: what can be asked for, as `voxloop suggest --regions`.
        side_mm: of boxes.
        labelling_minutes: that answering may take; None for any.
        control: share of queries drawn by chance.
        folds: of the validation.
        actor: for the audit trail.

    Raises:
        UsageError: if there is no such step, or a number is out of range.
    """

    steps: tuple[str, ...]
    minutes: float = 10.0
    optimiser_steps: int | None = None
    seed: int = 0
    query_size: int = 16
    strategy: str = ""
    regions: str = "planes"
    side_mm: float = 40.0
    labelling_minutes: float | None = None
    control: float = 0.0
    folds: int = 5
    actor: str = ""

    def __post_init__(self) -> None:
        if not self.steps or len(set(self.steps)) != len(self.steps):
            raise UsageError(f"a job has one or more of the steps {', '.join(STEPS)}, each once")
        for step in self.steps:
            if step not in STEPS:
                raise UsageError(f"a job's steps are {', '.join(STEPS)}, not {step!r}")
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise UsageError(f"{name} is from {least:g} to {most:g}, not {value}")

    def to_json(self) -> dict[str, Any]:
        """The request as a document."""
        return {**dataclasses.asdict(self), "steps": list(self.steps)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> JobRequest:
        """Read what `to_json` wrote."""
        return cls(**{**document, "steps": tuple(document["steps"])})
