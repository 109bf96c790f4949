"""Long jobs: one at a time, each with a record of how it went."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from voxloop.compute.atomic import remove_leftovers, write_json
from voxloop.errors import InterruptedJobError, StorageError
from voxloop.workspace.clock import utc_now
from voxloop.workspace.documents import read_record
from voxloop.workspace.layout import Layout
from voxloop.workspace.lock import exclusive, is_held

__all__ = ["Job", "JobState", "jobs_of", "running_job"]


class JobState(StrEnum):
    """How a job went."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Job:
    """One run of a long use case.

    Attributes:
        id: sorts by time of start.
        kind: the use case, e.g. `train`.
        state: how it went.
        pid: the process it ran in.
        started: UTC, ISO 8601.
        finished: UTC, ISO 8601; None while it runs, or if its process was killed.
        message: why it failed, empty otherwise.
    """

    id: str
    kind: str
    state: JobState
    pid: int
    started: str
    finished: str | None = None
    message: str = ""

    def to_json(self) -> dict[str, Any]:
        """The record as a document."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Job:
        """Read what `to_json` wrote."""
        return cls(**{**document, "state": JobState(document["state"])})


def jobs_of(layout: Layout) -> tuple[Job, ...]:
    """All jobs, oldest first; one whose process was killed counts as interrupted."""
    alive = is_held(layout.job_lock)
    jobs = [read_record(path, Job.from_json) for path in sorted(layout.jobs.glob("[!.]*.json"))]
    return tuple(
        job
        if job.state is not JobState.RUNNING or (alive and job == jobs[-1])
        else dataclasses.replace(job, state=JobState.INTERRUPTED)
        for job in jobs
    )


@contextlib.contextmanager
def running_job(layout: Layout, kind: str) -> Iterator[Job]:
    """Run the block as the workspace's only long job and record how it went.

    What a killed process left half written is removed first.

    Raises:
        UsageError: if another long job runs; names its process.
        StorageError: if the record cannot be written.
    """
    with exclusive(layout.job_lock, kind):
        started = utc_now()
        stem = "".join(c for c in started[:23] if c.isdigit())
        job = Job(f"{stem}-{secrets.token_hex(2)}", kind, JobState.RUNNING, os.getpid(), started)
        _tidy(layout)
        _write(layout, job)
        try:
            yield job
        except (KeyboardInterrupt, InterruptedJobError):
            _try_to_write(layout, _finished(job, JobState.INTERRUPTED))
            raise
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            _try_to_write(layout, _finished(job, JobState.FAILED, message))
            raise
        _write(layout, _finished(job, JobState.DONE))


def _finished(job: Job, state: JobState, message: str = "") -> Job:
    return dataclasses.replace(job, state=state, finished=utc_now(), message=message)


def _tidy(layout: Layout) -> None:
    for folder in (layout.root, layout.jobs, layout.rounds, layout.cache):
        remove_leftovers(folder)
    for top in (layout.rounds, layout.cache):
        for path in top.rglob("*"):
            if path.is_dir():
                remove_leftovers(path)


def _try_to_write(layout: Layout, job: Job) -> None:
    # On a disk that is full the reason is what counts; without its end a job is interrupted.
    with contextlib.suppress(StorageError):
        _write(layout, job)


def _write(layout: Layout, job: Job) -> None:
    write_json(layout.jobs / f"{job.id}.json", job.to_json())
