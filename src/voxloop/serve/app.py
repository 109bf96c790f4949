"""The application: routers, errors as documents, and what guards them."""

from __future__ import annotations

import importlib.util
import mimetypes
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from voxloop import __version__
from voxloop.errors import VoxloopError
from voxloop.serve.context import Context
from voxloop.serve.guard import Guard
from voxloop.serve.problems import MEDIA_TYPE, of_error, problem
from voxloop.serve.routers import (
    annotations as delivered,  # the plain word is taken by the first line of this file
)
from voxloop.serve.routers import (
    cases,
    dashboard,
    drafts,
    events,
    fill,
    images,
    jobs,
    meshes,
    queries,
    rounds,
    server,
)
from voxloop.serve.schemas import ProblemOut
from voxloop.serve.settings import ServeSettings
from voxloop.workspace.workspace import Workspace

__all__ = ["API", "create_app"]

API = "/api/v1"
_TAGS = [
    {
        "name": "MONAI Label",
        "description": "What its plugins for 3D Slicer and OHIF speak, at the base path itself.",
    }
]
_PAGE = Path(__file__).parent / "page"
mimetypes.add_type("text/javascript", ".js")  # whatever the system says
_ROUTERS = (
    server, cases, images, meshes, delivered, drafts, queries, fill, rounds, dashboard, jobs,
    events,
)  # fmt: skip
_PROBLEM = {MEDIA_TYPE: {"schema": ProblemOut.model_json_schema()}}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": meaning, "content": _PROBLEM}
    for status, meaning in {
        "4XX": "What is wrong with the request, and what to do.",
        "5XX": "The server could not do it; nothing was changed.",
    }.items()
}


def create_app(workspace: Workspace, settings: ServeSettings) -> FastAPI:
    """The server's application for one workspace.

    Args:
        workspace: that is served.
        settings: of the server.
    """
    app = FastAPI(
        title="Voxloop",
        version=__version__,
        description="Annotate the scans of one workspace.",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # these pages would load scripts from other hosts
        redoc_url=None,
        redirect_slashes=False,  # plugins follow no redirects, and mean the addresses they ask for
        responses=_PROBLEMS,
        openapi_tags=_TAGS,
    )
    app.state.context = Context.of(workspace, settings)
    app.state.is_ending = lambda: False  # whoever runs the server knows
    app.add_exception_handler(VoxloopError, _voxloop_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    for module in _ROUTERS:
        app.include_router(module.router, prefix=API)
    for router in _plugin_routers():
        app.include_router(router)
    if _PAGE.is_dir():
        app.mount("/", StaticFiles(directory=_PAGE, html=True), name="page")
    app.add_middleware(Guard, settings=settings)
    return app


def _plugin_routers() -> tuple[APIRouter, ...]:
    """What other programs' plugins speak, at the base path itself."""
    if importlib.util.find_spec("voxloop.serve.monailabel") is None:
        return ()
    from voxloop.serve.monailabel.router import router

    return (router,)


async def _voxloop_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, VoxloopError)  # noqa: S101 # registered for no other
    context: Context = request.app.state.context
    return await anyio.to_thread.run_sync(of_error, error, context.hide)


async def _http_error(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, HTTPException)  # noqa: S101 # registered for no other
    return problem(error.status_code, str(error.detail), headers=error.headers)


async def _validation_error(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, RequestValidationError)  # noqa: S101 # registered for no other
    problems = [
        {
            "where": ".".join(str(part) for part in found["loc"]),
            "expected": str(found["msg"])[:500],
            "found": str(found["type"]),
            "remedy": "correct the request",
        }
        for found in error.errors()[:20]
    ]
    return problem(422, "the request is not as the API describes it", problems=problems)
