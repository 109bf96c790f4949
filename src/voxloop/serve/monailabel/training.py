"""Train, look how far it is, stop; the work is a job in a process of its own."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from starlette.exceptions import HTTPException

from voxloop.serve.monailabel.common import MODEL, WorkspaceDep, author_of
from voxloop.workspace.background.jobs import (
    BackgroundJob,
    BackgroundState,
    BusyError,
    background_jobs,
    start,
    stop,
)
from voxloop.workspace.background.request import JobRequest
from voxloop.workspace.layout import Layout
from voxloop.workspace.workspace import Workspace

__all__ = ["router", "status", "stop_training", "train", "train_all", "train_stats"]

_STEPS = ("train", "propose", "suggest")
"""After it, the plugin finds a new model, proposals, and something to label."""

_STATUS = {
    BackgroundState.RUNNING: "RUNNING",
    BackgroundState.DONE: "DONE",
    BackgroundState.FAILED: "ERROR",
    BackgroundState.STOPPED: "STOPPED",
    BackgroundState.INTERRUPTED: "ERROR",
}

router = APIRouter(tags=["MONAI Label"])

ParamsBody = Annotated[dict[str, Any] | None, Body()]


@router.post("/train/")
def train_all(workspace: WorkspaceDep, params: ParamsBody = None) -> dict[str, Any]:
    """Train; older plugins ask for all trainers at once."""
    return train(MODEL, workspace, params)


@router.post("/train/{model}")
def train(model: str, workspace: WorkspaceDep, params: ParamsBody = None) -> dict[str, Any]:
    """Train, then propose and suggest; answers as soon as the work has begun."""
    if model != MODEL:
        raise HTTPException(404, "there is no such trainer")
    given = params or {}
    nested = given.get(MODEL)
    given = {**given, **nested} if isinstance(nested, dict) else given
    request = JobRequest(
        _STEPS,
        minutes=_number(given.get("minutes"), 10.0, 0.01, 7 * 24 * 60),
        query_size=int(_number(given.get("query_size"), 16, 1, 1000)),
        actor=author_of(given),
    )
    try:
        return _task(start(workspace.layout, request), running=True)
    except BusyError as error:
        raise HTTPException(429, str(error)) from error


@router.get("/train/", response_model=None)
def status(
    workspace: WorkspaceDep,
    *,
    all_: Annotated[bool, Query(alias="all")] = False,
    check_if_running: bool = False,
) -> dict[str, Any] | list[dict[str, Any]]:
    """The last training, or all; 404 if there was none, or none runs where that is the question."""
    found = _trainings(workspace)
    if all_:
        return [_task(job) for job in found]
    running = [job for job in found if job.state is BackgroundState.RUNNING]
    if check_if_running:
        found = running
    if not found:
        raise HTTPException(404, "no training runs" if check_if_running else "no training yet")
    return _task(found[0])


@router.delete("/train/", response_model=None)
def stop_training(workspace: WorkspaceDep) -> dict[str, Any] | None:
    """Stop what runs; when this answers it has ended, so that another may start at once."""
    running = [j for j in _trainings(workspace) if j.state is BackgroundState.RUNNING]
    stopped = [stop(workspace.layout, job.id) for job in running]
    return _task(stopped[0]) if stopped else None


def train_stats(layout: Layout) -> dict[str, Any]:
    """How far the last training is, in the plugins' words."""
    for job in background_jobs(layout):
        if "train" not in job.steps:
            continue
        progress = job.progress or {}
        total = max(1, int(progress.get("total") or 1))
        done = min(total, int(progress.get("done") or 0))
        if job.state is BackgroundState.DONE:
            done = total
        return {"epoch": done, "total_epochs": total}
    return {"epoch": 0, "total_epochs": 1}


def _trainings(workspace: Workspace) -> list[BackgroundJob]:
    return [job for job in background_jobs(workspace.layout) if "train" in job.steps]


def _task(job: BackgroundJob, *, running: bool = False) -> dict[str, Any]:
    """A job as the plugins know it.

    Args:
        job: the job.
        running: whether to say so even if it was over at once: only that is polled.
    """
    state = "RUNNING" if running else _STATUS[job.state]
    said = [line for line in (*job.lines, job.message) if line]
    document: dict[str, Any] = {
        "id": job.id,
        "status": state,
        "request": {"model": MODEL},
        "start_ts": _seconds(job.started),
        "details": said or [f"{job.step or 'training'}: {state.lower()}"],
        "result": job.results,
    }
    if job.finished is not None:
        document["end_ts"] = _seconds(job.finished)
    return document


def _seconds(iso: str) -> int:
    return int(datetime.fromisoformat(iso).timestamp())


def _number(text: Any, otherwise: float, least: float, most: float) -> float:
    """What somebody typed, if it is a number in range; plugins send any text that was typed."""
    with contextlib.suppress(TypeError, ValueError):
        found = float(text)
        if least <= found <= most:
            return found
    return otherwise
