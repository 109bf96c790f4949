"""`/info/` and `/auth/`: what the plugins ask first, and ask often."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException

from voxloop.errors import DataError
from voxloop.serve.monailabel.common import MODEL, WorkspaceDep
from voxloop.serve.monailabel.training import train_stats
from voxloop.serve.monailabel.wire import label_names
from voxloop.workspace.documents import read_record
from voxloop.workspace.proposals import model_file
from voxloop.workspace.workspace import Workspace

__all__ = ["STRATEGIES", "auth", "completed_cases", "info", "router"]

STRATEGIES = {
    "queries": "What the current round asks for; only the slices or boxes asked for are taken",
    "whole_scan": "The next scan that nobody has annotated, to be labelled as a whole",
}

router = APIRouter(tags=["MONAI Label"])


@router.get("/info/")
def info(request: Request, workspace: WorkspaceDep) -> dict[str, Any]:
    """Labels, model, strategies and how far everything is."""
    names = label_names(workspace.labels)
    models: dict[str, Any] = {}
    if model_file(workspace) is not None:
        models[MODEL] = {
            "type": "segmentation",
            "labels": names,
            "dimension": 3,
            "description": "The newest model of this workspace",
            "config": {},
        }
    completed = completed_cases(workspace)
    return {
        "name": workspace.name,
        "description": f"Voxloop workspace {workspace.name}",
        "version": request.app.version,
        "labels": names,
        "models": models,
        "trainers": {
            MODEL: {
                "description": "Learn from everything annotated so far, then ask for more",
                "config": {"minutes": "10", "query_size": "16"},
            }
        },
        "strategies": {name: {"description": text} for name, text in STRATEGIES.items()},
        "scoring": {},
        "train_stats": {MODEL: {**train_stats(workspace.layout), "best_metric": _dice(workspace)}},
        "datastore": {
            "total": len(workspace.cases()),
            "completed": len(completed),
            "label_tags": {"final": len(completed)},
            "train": {},
        },
    }


@router.get("/auth/")
async def auth() -> dict[str, Any]:
    """Always 404, by which the plugins know that there is no login."""
    raise HTTPException(404, "no login; the token is part of the address")


def completed_cases(workspace: Workspace) -> list[str]:
    """Ids of the cases that are annotated, if only in part."""
    return [r.id for r in workspace.cases() if any(
        workspace.layout.annotation_folder(r.id).glob("[0-9]*.json")
    )]  # fmt: skip


def _dice(workspace: Workspace) -> float:
    """The validated mean Dice, 0 to 1; 0 before the first validation."""
    layout = workspace.layout
    numbers = [int(path.parent.name) for path in layout.rounds.glob("[0-9]*/validation.json")]
    if not numbers:
        return 0.0
    try:
        path = layout.validation_file(max(numbers))
        return float(read_record(path, lambda d: d["dice"][-1]["mean"] or 0.0))
    except DataError:
        return 0.0
