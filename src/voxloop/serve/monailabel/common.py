"""What the routes of the protocol share: the workspace, names of samples, replies, arrivals."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request, Response, UploadFile
from starlette.exceptions import HTTPException

from voxloop.dataset.case import is_valid_case_id
from voxloop.io.formats import SUFFIXES
from voxloop.serve.monailabel.wire import RAW_SUFFIX
from voxloop.workspace.actions.take_in import arrival_folder
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.workspace import Workspace

__all__ = [
    "MODEL",
    "TOOL",
    "ImageId",
    "WorkspaceDep",
    "author_of",
    "files",
    "multipart",
    "parsed_params",
    "received",
]

MODEL = "voxloop"
"""The one model, and the one trainer."""

TOOL = "monai-label"
"""How revisions from here are recorded."""

_WHOLE = "~whole"
_SAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MOST_AUTHOR = 80


def _workspace(request: Request) -> Workspace:
    found: Workspace = request.app.state.context.workspace
    return found


WorkspaceDep = Annotated[Workspace, Depends(_workspace)]


@dataclass(frozen=True)
class ImageId:
    """What the plugins call an image.

    Attributes:
        case_id: the case.
        whole: whether all of it was to be labelled, so that a 0 anywhere means "looked at".
    """

    case_id: str
    whole: bool = False

    def __str__(self) -> str:
        return f"{self.case_id}{_WHOLE if self.whole else ''}"

    @classmethod
    def parse(cls, text: str) -> ImageId:
        """Read what `str` gives; a name that could be none is nobody's."""
        return cls(text.removesuffix(_WHOLE), text.endswith(_WHOLE))

    def record(self, workspace: Workspace) -> CaseRecord:
        """The case.

        Raises:
            HTTPException: 404 if there is none.
        """
        known = is_valid_case_id(self.case_id)
        if not known or not workspace.layout.case_file(self.case_id).is_file():
            raise HTTPException(404, "there is no such image")
        return workspace.case(self.case_id)


def parsed_params(text: str) -> dict[str, Any]:
    """The form field `params`.

    Raises:
        HTTPException: 400 if it is no JSON object.
    """
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise HTTPException(400, "params is a JSON object")
    return found


def author_of(params: dict[str, Any]) -> str:
    """Who works with the plugin, as far as it says."""
    given = str(params.get("client_id") or "").strip()
    plain = "".join(c for c in given if c.isprintable())[:_MOST_AUTHOR]
    return plain if plain and plain != "None" else TOOL


def files(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """What a route that sends files says of itself in the description of the API."""
    return {200: {"description": "Done.", "content": {name: {} for name in media_types}}}


@contextlib.contextmanager
def received(workspace: Workspace, upload: UploadFile, stem: str) -> Iterator[Path]:
    """The uploaded file under a name of ours; of the client's name only the suffix counts.

    Args:
        workspace: on whose disk it is kept until the end of the block.
        upload: as the form has it.
        stem: what to call it.
    """
    given = (upload.filename or "").lower()
    suffix = next((s for s in (*SUFFIXES, RAW_SUFFIX) if given.endswith(s)), ".unknown")
    with arrival_folder(workspace.layout) as folder:
        path = folder / f"{stem}{suffix}"
        with path.open("wb") as handle:
            shutil.copyfileobj(upload.file, handle, 1 << 20)
        yield path


def multipart(params: dict[str, Any], name: str, content: bytes) -> Response:
    """A form with the parts `params` and `image`, of known length: the client cannot dechunk.

    Args:
        params: a document.
        name: of the file; the client writes it under that name, so it is bare and safe.
        content: of the file.
    """
    boundary = secrets.token_hex(24)
    bare = _SAFE.sub("_", name)
    body = b"".join(
        (
            f'--{boundary}\r\nContent-Disposition: form-data; name="params"\r\n'.encode(),
            b"Content-Type: application/json\r\n\r\n",
            json.dumps(params, allow_nan=False).encode(),
            f"\r\n--{boundary}\r\nContent-Disposition: form-data; ".encode(),
            f'name="image"; filename="{bare}"\r\n'.encode(),
            b"Content-Type: application/octet-stream\r\n\r\n",
            content,
            f"\r\n--{boundary}--\r\n".encode(),
        )
    )
    return Response(body, media_type=f"multipart/form-data; boundary={boundary}")
