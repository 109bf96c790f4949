"""Jobs: training, proposing and asking, in processes of their own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from voxloop.serve.context import AuthorDep, Context, ContextDep
from voxloop.serve.problems import not_found
from voxloop.serve.schemas import JobBody, JobOut
from voxloop.workspace.background.jobs import (
    BackgroundJob,
    background_job,
    background_jobs,
    resume,
    start,
    stop,
)
from voxloop.workspace.background.request import JobRequest

__all__ = ["job_document", "list_jobs", "read_job", "resume_job", "router", "start_job", "stop_job"]

router = APIRouter(tags=["jobs"])

JobId = Annotated[str, Path(pattern=r"^\d{17}-[0-9a-f]{4}$")]


@router.get("/jobs")
def list_jobs(context: ContextDep) -> dict[str, list[JobOut]]:
    """All jobs that were started in the background, newest first."""
    return {
        "jobs": [job_document(context, job) for job in background_jobs(context.workspace.layout)]
    }


@router.post("/jobs", status_code=202)
def start_job(context: ContextDep, author: AuthorDep, body: JobBody) -> JobOut:
    """Start a job; 409 while another long job is at work."""
    wanted = body.model_dump()
    request = JobRequest(**{**wanted, "steps": tuple(wanted["steps"]), "actor": author})
    return job_document(context, start(context.workspace.layout, request))


@router.get("/jobs/{job_id}")
def read_job(context: ContextDep, job_id: JobId) -> JobOut:
    """How a job stands."""
    return job_document(context, _job(context, job_id))


@router.post("/jobs/{job_id}/stop")
def stop_job(context: ContextDep, job_id: JobId) -> JobOut:
    """End a job; when this answers it has ended. It can be resumed."""
    _job(context, job_id)
    return job_document(context, stop(context.workspace.layout, job_id))


@router.post("/jobs/{job_id}/resume", status_code=202)
def resume_job(context: ContextDep, job_id: JobId) -> JobOut:
    """Go on with a job where it was left."""
    _job(context, job_id)
    return job_document(context, resume(context.workspace.layout, job_id))


def job_document(context: Context, job: BackgroundJob) -> JobOut:
    """A job for a reply; messages may name files, whose folders are nobody's business."""
    document = job.to_json()
    document["message"] = context.hide(document["message"])
    return JobOut.model_validate(document | {"steps": list(job.steps), "lines": list(job.lines)})


def _job(context: Context, job_id: str) -> BackgroundJob:
    layout = context.workspace.layout
    if not (layout.background / job_id / "request.json").exists():
        raise not_found("there is no such job")
    return background_job(layout, job_id)
