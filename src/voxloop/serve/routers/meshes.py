"""Surfaces of a case, where some were made."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from voxloop.serve.context import CaseDep, ContextDep
from voxloop.serve.problems import not_found
from voxloop.serve.schemas import Document
from voxloop.serve.tidy import plain
from voxloop.workspace.case_meshes import meshes_of

__all__ = ["list_meshes", "read_mesh", "router"]

router = APIRouter(tags=["meshes"])


@router.get("/cases/{case_id}/meshes")
def list_meshes(context: ContextDep, record: CaseDep) -> dict[str, list[Document]]:
    """The surfaces that there are of a case."""
    return {
        "meshes": [
            plain(
                {
                    "label": mesh.label,
                    "colour": mesh.colour,
                    "bytes": mesh.file.stat().st_size,
                    "passed": mesh.passed,
                    "volume_ml": mesh.volume_ml,
                }
            )
            for mesh in meshes_of(context.workspace, record.id)
        ]
    }


@router.get(
    "/cases/{case_id}/meshes/{label}",
    response_class=Response,
    responses={200: {"content": {"model/stl": {}}}, 304: {"description": "You have it."}},
)
def read_mesh(
    request: Request,
    context: ContextDep,
    record: CaseDep,
    label: Annotated[str, Path(max_length=200, description="The label's name.")],
) -> Response:
    """One label's surface as STL, in world millimetres."""
    mesh = next((m for m in meshes_of(context.workspace, record.id) if m.label == label), None)
    if mesh is None:
        raise not_found("there is no such surface")
    status = mesh.file.stat()
    name = f"{record.id} {label} {status.st_size} {status.st_mtime_ns}"
    etag = f'"{hashlib.sha256(name.encode()).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(mesh.file.read_bytes(), media_type="model/stl", headers=headers)
