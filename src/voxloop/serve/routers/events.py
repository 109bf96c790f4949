"""Server-sent events: how jobs go on, and that something has changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import StreamingResponse

from voxloop.serve.context import Context, ContextDep
from voxloop.serve.routers.jobs import job_document
from voxloop.workspace.background.jobs import background_jobs

__all__ = ["read_events", "router"]

router = APIRouter(tags=["events"])

_EVERY_S, _PING_S, _MOST = 0.7, 15.0, 200


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def read_events(request: Request, context: ContextDep) -> StreamingResponse:
    """`job` with a job whenever it goes on, `change` when the workspace has changed, `ping`."""
    state = request.app.state
    if getattr(state, "listeners", 0) >= _MOST:
        raise HTTPException(503, "too many windows listen already; reload those you do not need")
    return StreamingResponse(
        _events(request, context),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


async def _events(request: Request, context: Context) -> AsyncIterator[str]:
    state = request.app.state
    state.listeners = getattr(state, "listeners", 0) + 1
    loop = asyncio.get_running_loop()
    try:
        seen: dict[str, Any] = {}
        spoke_s = loop.time()
        yield "retry: 2000\n\n"
        while not (state.is_ending() or await request.is_disconnected()):
            now = await anyio.to_thread.run_sync(_look, context)
            for event, document in now.items():
                if seen.get(event) != document:
                    spoke_s = loop.time()
                    yield f"event: {event}\ndata: {json.dumps(document)}\n\n"
            seen = now
            if loop.time() - spoke_s > _PING_S:
                spoke_s = loop.time()
                yield "event: ping\ndata: {}\n\n"
            await asyncio.sleep(_EVERY_S)
    finally:
        state.listeners -= 1


def _look(context: Context) -> dict[str, Any]:
    layout = context.workspace.layout
    found: dict[str, Any] = {"change": {"audit": _size(layout.audit_file)}}
    jobs = background_jobs(layout)
    if jobs:
        found["job"] = job_document(context, jobs[0]).model_dump()
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
