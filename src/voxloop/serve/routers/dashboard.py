"""All that a person wants to know of a project at a glance."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from voxloop.errors import VoxloopError
from voxloop.serve.context import Context, ContextDep
from voxloop.serve.routers.jobs import job_document
from voxloop.serve.schemas import Document
from voxloop.serve.tidy import plain
from voxloop.workspace.actions.forecast import forecast
from voxloop.workspace.actions.info import info
from voxloop.workspace.background.jobs import background_jobs

__all__ = ["read_dashboard", "router"]

router = APIRouter(tags=["dashboard"])


@router.get("/dashboard")
def read_dashboard(context: ContextDep) -> Document:
    """How the workspace stands, the learning curve and its forecast, time spent, the last job."""
    stands = info(context.workspace).to_json()
    stands["changed_scans"] = [
        {key: context.hide(text) for key, text in problem.items()}
        for problem in stands["changed_scans"]
    ]
    jobs = background_jobs(context.workspace.layout)
    verdicts = next((job.results["referee"] for job in jobs if "referee" in job.results), None)
    expected = _forecast(context)
    document = {
        "info": stands,
        "seconds": stands["seconds"],
        "next_step": stands["next_step"],
        "curve": expected["rounds"],
        "forecast": expected,
        "referee": verdicts,
        "job": job_document(context, jobs[0]).model_dump() if jobs else None,
    }
    cleaned: Document = plain(document)
    return cleaned


def _forecast(context: Context) -> Any:
    try:
        return forecast(context.workspace).to_json()
    except VoxloopError as error:  # too little to go by, or a damaged record: the rest is shown
        return {"rounds": [], "forecast": None, "sentence": context.hide(str(error))}
