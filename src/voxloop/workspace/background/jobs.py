"""Start, watch, stop and resume background jobs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from voxloop.compute.atomic import write_json, write_text
from voxloop.errors import DataError, StorageError, UsageError
from voxloop.workspace.background.files import JobFiles
from voxloop.workspace.background.request import JobRequest
from voxloop.workspace.clock import utc_now
from voxloop.workspace.documents import read_document, read_record
from voxloop.workspace.layout import Layout
from voxloop.workspace.lock import exclusive, is_held

__all__ = [
    "BackgroundJob",
    "BackgroundState",
    "BusyError",
    "background_job",
    "background_jobs",
    "resume",
    "start",
    "stop",
]

_ID = re.compile(r"\d{17}-[0-9a-f]{4}")
_START_S, _STOP_S, _POLL_S = 60.0, 30.0, 0.02


class BusyError(UsageError):
    """Another long job is at work in this workspace."""


class BackgroundState(StrEnum):
    """How a job stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class BackgroundJob:
    """A job and how it stands.

    Attributes:
        id: sorts by time of start.
        steps: what it consists of.
        state: how it stands; interrupted if its process is gone without a word.
        step: what it does or did last; empty before the first.
        started: UTC, ISO 8601.
        finished: UTC, ISO 8601; None while it runs or if it was interrupted.
        message: why it failed; empty otherwise.
        progress: the last report: step, stage, done, total, note and when.
        lines: the last few reports, as text.
        results: the document of each step that is done, by name.
    """

    id: str
    steps: tuple[str, ...]
    state: BackgroundState
    step: str
    started: str
    finished: str | None
    message: str
    progress: dict[str, Any] | None
    lines: tuple[str, ...]
    results: dict[str, Any]

    @property
    def resumable(self) -> bool:
        """True if `resume` goes on with it."""
        return self.state not in {BackgroundState.RUNNING, BackgroundState.DONE}

    def to_json(self) -> dict[str, Any]:
        """The job as a document."""
        return {**asdict(self), "resumable": self.resumable}


def background_jobs(layout: Layout) -> tuple[BackgroundJob, ...]:
    """All background jobs, newest first."""
    found = []
    for path in sorted(layout.background.glob("[0-9]*/request.json"), reverse=True):
        with contextlib.suppress(DataError):
            found.append(_read(JobFiles(path.parent)))
    return tuple(found)


def background_job(layout: Layout, job_id: str) -> BackgroundJob:
    """A job by its id.

    Raises:
        UsageError: if there is none.
    """
    files = JobFiles.of(layout, job_id)
    if not _ID.fullmatch(job_id) or not files.request.exists():
        raise UsageError("there is no such job")
    return _read(files)


def start(layout: Layout, request: JobRequest) -> BackgroundJob:
    """Begin a job in a process of its own; returns once that is at work.

    Raises:
        BusyError: if another long job runs.
        StorageError: if the disk refuses.
    """
    with _starting(layout):
        stem = "".join(c for c in utc_now()[:23] if c.isdigit())
        job_id = f"{stem}-{secrets.token_hex(2)}"
        files = JobFiles.of(layout, job_id)
        document = {"started": utc_now(), **request.to_json()}
        write_json(files.request, document)
        _launch(layout, files)
    return background_job(layout, job_id)


def resume(layout: Layout, job_id: str) -> BackgroundJob:
    """Go on with a job that was stopped, interrupted or failed, where it was left.

    Raises:
        BusyError: if it, or another long job, runs.
        UsageError: if there is no such job, or nothing of it is left to do.
    """
    with _starting(layout):
        job = background_job(layout, job_id)
        if not job.resumable:
            raise UsageError("this job is done; start another")
        _launch(layout, JobFiles.of(layout, job_id))
    return background_job(layout, job_id)


def stop(layout: Layout, job_id: str, wait_s: float = _STOP_S) -> BackgroundJob:
    """End a job; when this returns it has ended. What it has done so far is kept.

    Args:
        layout: the workspace.
        job_id: the job; nothing happens to one that does not run.
        wait_s: how long it may take to end tidily before it is killed, which loses little.

    Raises:
        UsageError: if there is no such job.
    """
    background_job(layout, job_id)
    files = JobFiles.of(layout, job_id)
    if is_held(files.lock):
        write_text(files.stop, utc_now())
        for number, patience_s in ((signal.SIGTERM, wait_s), (signal.SIGKILL, _STOP_S)):
            if _end(files, number, patience_s):
                break
    return background_job(layout, job_id)


def _read(files: JobFiles) -> BackgroundJob:
    running = is_held(files.lock)  # looked at first: what it wrote before it ended is then there
    request = read_record(files.request, dict)
    ended = read_document(files.state) if files.state.exists() else {}
    report = read_document(files.progress) if files.progress.exists() else None
    if running:
        state = BackgroundState.RUNNING
    elif files.stop.exists():
        state = BackgroundState.STOPPED
    else:
        state = BackgroundState(ended.get("state", BackgroundState.INTERRUPTED))
    lines = () if report is None else tuple(report.pop("lines"))
    over = {BackgroundState.DONE, BackgroundState.FAILED, BackgroundState.STOPPED}
    return BackgroundJob(
        id=files.folder.name,
        steps=tuple(request["steps"]),
        state=state,
        step=ended.get("step", ""),
        started=request["started"],
        finished=ended.get("finished") if state in over else None,
        message=ended.get("message", "") if state is BackgroundState.FAILED else "",
        progress=report,
        lines=lines,
        results=ended.get("results", {}),
    )


@contextlib.contextmanager
def _starting(layout: Layout) -> Any:
    with exclusive(layout.internal / "background.lock", "starting a job", wait_s=_START_S):
        running = any(is_held(p.parent / "running.lock") for p in _requests(layout))
        if running or is_held(layout.job_lock):
            raise BusyError("a long job is at work in this workspace; wait for it, or stop it")
        yield


def _requests(layout: Layout) -> list[Path]:
    return sorted(layout.background.glob("[0-9]*/request.json"))


def _launch(layout: Layout, files: JobFiles) -> None:
    files.stop.unlink(missing_ok=True)
    command = [
        sys.executable, "-m", "voxloop.workspace.background.run",
        str(layout.root), files.folder.name,
    ]  # fmt: skip
    with files.log.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 # our own interpreter, our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the server's terminal does not reach it
        )
    # whoever started it takes note of its end, so that it does not stay behind as a zombie
    threading.Thread(target=process.wait, daemon=True).start()
    deadline = time.monotonic() + _START_S
    while not is_held(files.lock) and process.poll() is None:
        if time.monotonic() > deadline:
            process.kill()
            raise StorageError("the job did not start within a minute; try again later")
        time.sleep(_POLL_S)


def _end(files: JobFiles, number: signal.Signals, wait_s: float) -> bool:
    """Send a signal to whoever holds the job's lock; True once nobody does."""
    deadline = time.monotonic() + wait_s
    sent = False
    while is_held(files.lock):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if not sent:  # the holder writes its number just after it takes the lock
                os.kill(int(json.loads(files.lock.read_text())["pid"]), number)
                sent = True
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
