"""Sessions: a scan that is segmented without becoming a case."""

from __future__ import annotations

import re
import secrets
import shutil
import time
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Query, UploadFile
from starlette.exceptions import HTTPException

from voxloop.compute.atomic import write_json
from voxloop.errors import DataError
from voxloop.io.formats import has_known_suffix, read_geometry
from voxloop.serve.monailabel.common import WorkspaceDep, received
from voxloop.workspace.documents import read_document
from voxloop.workspace.workspace import Workspace

__all__ = [
    "create_session",
    "get_session",
    "remove_session",
    "require_scan",
    "router",
    "session_files",
]

_ID = re.compile(r"[0-9a-f]{32}")
_RECORD = "session.json"
_MOST = 20
_EXPIRY_S = 3600
_LONGEST_S = 24 * 3600

router = APIRouter(tags=["MONAI Label"])


@router.put("/session/")
def create_session(
    workspace: WorkspaceDep,
    files: Annotated[list[UploadFile], File(max_length=20)],
    expiry: Annotated[int, Query(ge=0, le=_LONGEST_S)] = 0,
) -> dict[str, Any]:
    """Take a scan, one file for each channel, until nobody has asked for it for an hour."""
    _forget_expired(workspace)
    parent = _parent(workspace)
    if parent.is_dir() and sum(1 for _ in parent.iterdir()) >= _MOST:
        raise HTTPException(503, f"{_MOST} sessions are open; close one")
    session_id = secrets.token_hex(16)
    folder = parent / session_id
    try:
        names = [_keep(workspace, upload, folder, n) for n, upload in enumerate(files)]
        now = int(time.time())
        info = {
            "name": session_id,
            "path": "",
            "image": names[0],
            "meta": {"images": names},
            "create_ts": now,
            "last_access_ts": now,
            "expiry": expiry or _EXPIRY_S,
        }
        write_json(folder / _RECORD, info)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return {"session_id": session_id, "session_info": info}


@router.get("/session/{session_id}")
def get_session(workspace: WorkspaceDep, session_id: str) -> dict[str, Any]:
    """A session that is still open."""
    return _opened(workspace, session_id)


@router.delete("/session/{session_id}")
def remove_session(workspace: WorkspaceDep, session_id: str) -> dict[str, Any]:
    """Forget a session and its scan."""
    _opened(workspace, session_id)
    shutil.rmtree(_parent(workspace) / session_id, ignore_errors=True)
    return {}


def require_scan(path: Path) -> None:
    """Refuse at once what could not be segmented later.

    Raises:
        HTTPException: 415 if it is of no format that is read.
        DataError: if its header is bad.
    """
    if not has_known_suffix(path.name):
        raise HTTPException(415, "send a scan as .nii.gz, .nii, .nrrd or .mha")
    read_geometry(path)


def session_files(workspace: Workspace, session_id: str) -> tuple[Path, ...]:
    """The scan of a session, a file for each channel.

    Raises:
        HTTPException: 404 if there is no such session.
    """
    info = _opened(workspace, session_id)
    folder = _parent(workspace) / session_id
    return tuple(folder / name for name in info["meta"]["images"])


def _keep(workspace: Workspace, upload: UploadFile, folder: Path, number: int) -> str:
    with received(workspace, upload, f"scan_{number:04d}") as path:
        require_scan(path)
        folder.mkdir(parents=True, exist_ok=True)
        path.replace(folder / path.name)
        return path.name


def _opened(workspace: Workspace, session_id: str) -> dict[str, Any]:
    path = _parent(workspace) / session_id / _RECORD
    if not _ID.fullmatch(session_id) or not path.is_file():
        raise HTTPException(404, "there is no such session")
    info: dict[str, Any] = read_document(path)
    if _is_over(info):
        shutil.rmtree(path.parent, ignore_errors=True)
        raise HTTPException(404, "the session is over")
    info["last_access_ts"] = int(time.time())
    write_json(path, info)
    return info


def _forget_expired(workspace: Workspace) -> None:
    parent = _parent(workspace)
    for folder in parent.iterdir() if parent.is_dir() else ():
        try:
            over = _is_over(read_document(folder / _RECORD))
        except DataError:  # cut short while it was made
            over = time.time() - folder.stat().st_mtime > _EXPIRY_S
        if over:
            shutil.rmtree(folder, ignore_errors=True)


def _is_over(info: dict[str, Any]) -> bool:
    return bool(time.time() > info["last_access_ts"] + info["expiry"])


def _parent(workspace: Workspace) -> Path:
    return workspace.layout.internal / "sessions"
