"""The files of a background job: its request, how far it is, how it ended."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxloop.compute.atomic import write_json
from voxloop.compute.progress import Progress
from voxloop.workspace.clock import utc_now
from voxloop.workspace.layout import Layout

__all__ = ["JobFiles", "Reporter"]

_EVERY_S = 1.0
_LINES = 20


@dataclass(frozen=True)
class JobFiles:
    """Where a job's files lie.

    Attributes:
        folder: of this job alone.
    """

    folder: Path

    @classmethod
    def of(cls, layout: Layout, job_id: str) -> JobFiles:
        """The files of a job by its id."""
        return cls(layout.background / job_id)

    @property
    def request(self) -> Path:
        """What is to be done; its existence makes the job one."""
        return self.folder / "request.json"

    @property
    def state(self) -> Path:
        """Which steps are done, and how the job ended if it did."""
        return self.folder / "state.json"

    @property
    def progress(self) -> Path:
        """The last report, and a few lines before it."""
        return self.folder / "progress.json"

    @property
    def lock(self) -> Path:
        """Held by the process as long as it lives."""
        return self.folder / "running.lock"

    @property
    def log(self) -> Path:
        """What the process wrote to its standard output and error."""
        return self.folder / "log.txt"

    @property
    def stop(self) -> Path:
        """Is there when somebody asked the job to stop."""
        return self.folder / "stop"


class Reporter:
    """Writes a job's reports to its small file, about once in a second.

    Args:
        files: of the job.
    """

    def __init__(self, files: JobFiles) -> None:
        self._files, self._lines = files, deque[str](maxlen=_LINES)
        self._written_s, self._stage = 0.0, ""
        self.step = ""

    def __call__(self, progress: Progress) -> None:
        """Take a report, as any progress sink."""
        now_s = time.monotonic()
        fresh = progress.stage != self._stage or progress.done >= progress.total
        if not fresh and now_s < self._written_s + _EVERY_S:
            return
        self._written_s, self._stage = now_s, progress.stage
        share = progress.done / progress.total if progress.total else 1.0
        self._lines.append(f"{progress.stage}: {share:.0%} {progress.note}".rstrip())
        document: dict[str, Any] = {
            "step": self.step,
            "stage": progress.stage,
            "done": progress.done,
            "total": progress.total,
            "note": progress.note,
            "at": utc_now(),
            "lines": list(self._lines),
        }
        write_json(self._files.progress, document)
