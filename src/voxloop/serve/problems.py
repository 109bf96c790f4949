"""Errors as documents (RFC 9457), without paths of this computer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from voxloop.errors import (
    DataError,
    InterruptedJobError,
    LimitError,
    MissingExtraError,
    StorageError,
    UsageError,
    VoxloopError,
)
from voxloop.workspace.actions.take_in import ClosedError, RefusedError, UnknownQueryError
from voxloop.workspace.annotations import OvertakenError, StaleError
from voxloop.workspace.background.jobs import BusyError
from voxloop.workspace.drafts import DraftMovedError
from voxloop.workspace.leases import LeasedError

__all__ = ["MEDIA_TYPE", "not_found", "of_error", "problem", "without_paths"]

MEDIA_TYPE = "application/problem+json"

_STATUS: tuple[tuple[type[VoxloopError], HTTPStatus], ...] = (
    (StaleError, HTTPStatus.CONFLICT),
    (OvertakenError, HTTPStatus.CONFLICT),
    (ClosedError, HTTPStatus.CONFLICT),
    (LeasedError, HTTPStatus.CONFLICT),
    (DraftMovedError, HTTPStatus.CONFLICT),
    (BusyError, HTTPStatus.CONFLICT),
    (UnknownQueryError, HTTPStatus.NOT_FOUND),
    (MissingExtraError, HTTPStatus.NOT_IMPLEMENTED),
    (UsageError, HTTPStatus.BAD_REQUEST),
    (DataError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (StorageError, HTTPStatus.INSUFFICIENT_STORAGE),
    (LimitError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (InterruptedJobError, HTTPStatus.SERVICE_UNAVAILABLE),
)
"""The first that fits."""

_PATH = re.compile(r"(?<![\w.:/])(?:[A-Za-z]:)?[/\\](?:[^\s/\\:;,\"'()]+[/\\])+([^\s/\\:;,\"'()]*)")
"""An absolute path of two parts or more; its last part is kept."""


def problem(
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> JSONResponse:
    """A response that says what is wrong.

    Args:
        status: of HTTP.
        detail: for the person, one or two sentences.
        headers: further ones.
        members: further members of the document.
    """
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": without_paths(detail),
        **members,
    }
    return JSONResponse(document, status, dict(headers or {}), MEDIA_TYPE)


def of_error(error: VoxloopError, hide: Callable[[str], str]) -> JSONResponse:
    """The response to an error that Voxloop means to have.

    Args:
        error: what went wrong.
        hide: leaves out of a text what a reply must not name.
    """
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
    members: dict[str, Any] = {"kind": type(error).__name__}
    headers = {}
    if isinstance(error, DataError):
        members["problems"] = [
            {key: hide(text) for key, text in asdict(p).items()} for p in error.problems
        ]
    if isinstance(error, RefusedError):
        members["kept"] = error.kept.id
    if isinstance(error, StaleError):
        members["etag"] = error.newest or "none"
        headers["ETag"] = f'"{members["etag"]}"'
    return problem(status, hide(str(error)), headers=headers, **members)


def not_found(what: str) -> HTTPException:
    """To raise where there is nothing of that name."""
    return HTTPException(HTTPStatus.NOT_FOUND, what)


def without_paths(text: str, roots: Iterable[str] = ()) -> str:
    """A text in which every absolute path is cut to its last part.

    Args:
        text: for a reply or a log.
        roots: folders whose names are cut even if they hold blanks.
    """
    for root in sorted(roots, key=len, reverse=True):  # a folder before those that it lies in
        text = text.replace(f"{root}/", "").replace(root, "the folder")
    return _PATH.sub(r"\1", text)
