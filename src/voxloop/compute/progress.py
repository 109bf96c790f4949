"""What a long job says while it runs; how it is shown is decided elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Progress", "ProgressSink", "silent"]


@dataclass(frozen=True, slots=True)
class Progress:
    """One report of a long job.

    Attributes:
        stage: what is being done, e.g. `training`.
        done: units finished, from 0 to `total`.
        total: units in all; the unit is the stage's own (steps, cases, tiles, seconds).
        note: a short remark worth showing beside the bar, e.g. `loss 0.31`.
    """

    stage: str
    done: float
    total: float
    note: str = ""


ProgressSink = Callable[[Progress], None]
"""Receives the reports of a job; must return quickly and never raise."""


def silent(_progress: Progress) -> None:
    """Ignore every report."""
