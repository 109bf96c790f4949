"""What a benchmark says of a long job while it runs."""

from __future__ import annotations

import sys
import time

from voxloop.compute.progress import Progress

__all__ = ["Teller"]

_EVERY_S = 10


class Teller:
    """A line on standard error, every ten seconds.

    Args:
        about: what the job belongs to; said first.
    """

    def __init__(self, about: str = "") -> None:
        self._about, self._told = about, 0.0

    def __call__(self, progress: Progress) -> None:
        """Take notice of where a step stands."""
        if time.monotonic() - self._told > _EVERY_S:
            self._told = time.monotonic()
            done = f"{progress.done:.4g} of {progress.total:.4g}"
            words = time.strftime("%H:%M:%S"), self._about, progress.stage, done, progress.note
            sys.stderr.write(" ".join(filter(None, words)) + "\n")
