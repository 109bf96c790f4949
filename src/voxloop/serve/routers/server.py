"""What a client needs to know first."""

from __future__ import annotations

from fastapi import APIRouter

from voxloop import __version__
from voxloop.serve.context import ContextDep
from voxloop.serve.schemas import LabelOut, ServerOut
from voxloop.volume.labels import IGNORE
from voxloop.workspace.actions.skip import SKIP_REASONS
from voxloop.workspace.background.request import STEPS

__all__ = ["read_server", "router"]

router = APIRouter(tags=["server"])


@router.get("/server")
def read_server(context: ContextDep) -> ServerOut:
    """The workspace's name and labels, and what the server takes."""
    workspace, settings = context.workspace, context.settings
    labels = [
        LabelOut(value=value, name=name, colour=workspace.labels.colour(value))
        for value, name in workspace.labels.names.items()
    ]
    return ServerOut(
        voxloop=__version__,
        workspace={"name": workspace.name},
        labels=labels,
        ignore=IGNORE,
        limits={
            "body_bytes": settings.max_body_bytes,
            "json_bytes": settings.max_json_bytes,
            "image_voxels": settings.max_image_voxels,
            "lease_s": settings.lease_s,
        },
        skip_reasons=list(SKIP_REASONS),
        steps=list(STEPS),
    )
