"""The scans as MONAI Label's data store: list, download, upload."""

from __future__ import annotations

import re
import secrets
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile
from fastapi.responses import FileResponse, JSONResponse
from starlette.exceptions import HTTPException

from voxloop.dataset.case import is_valid_case_id
from voxloop.io.formats import has_known_suffix
from voxloop.serve.monailabel.common import (
    ImageId,
    WorkspaceDep,
    author_of,
    files,
    parsed_params,
    received,
)
from voxloop.serve.monailabel.information import completed_cases
from voxloop.serve.monailabel.labels import FINAL, ORIGINAL, original_names
from voxloop.serve.monailabel.samples import checksum, image_copy, sample_name
from voxloop.workspace.actions.add import add
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.predictions import file_sha256
from voxloop.workspace.workspace import Workspace

__all__ = ["datastore", "image_info", "load_image", "router", "save_image"]

ImageQuery = Annotated[str, Query(max_length=200)]

router = APIRouter(tags=["MONAI Label"])


@router.get("/datastore/", response_model=None)
def datastore(
    workspace: WorkspaceDep, output: Literal["stats", "all", "train"] = "stats"
) -> dict[str, Any] | list[dict[str, str]]:
    """How much is annotated, everything there is, or what training learns from."""
    done = completed_cases(workspace)
    if output == "stats":
        tags = {FINAL: len(done)}
        return {"total": len(workspace.cases()), "completed": len(done), "label_tags": tags}
    if output == "train":
        return [{"image": case_id, "label": case_id} for case_id in done]
    annotated = set(done)
    return {
        "name": workspace.name,
        "description": "",
        "images_dir": "",
        "labels_dir": "",
        "objects": {
            name: _entry(workspace, record, annotated)
            for record in workspace.cases()
            for name in (record.id, str(ImageId(record.id, whole=True)))
        },
    }


@router.head("/datastore/image", response_class=Response, responses=files("application/json"))
@router.get(
    "/datastore/image", response_class=Response, responses=files("application/octet-stream")
)
def load_image(
    request: Request,
    workspace: WorkspaceDep,
    image: ImageQuery,
    channel: Annotated[int, Query(ge=0, le=99)] = 0,
) -> Response:
    """The scan as NIfTI, one channel of it; with HEAD, whether it is there."""
    record = ImageId.parse(image).record(workspace)
    if channel >= len(record.channels):
        raise HTTPException(404, f"the scan has {len(record.channels)} channels")
    if request.method == "HEAD":
        return JSONResponse({})
    copy = image_copy(workspace, record, channel)
    name = sample_name(workspace, record, copy)
    digest = {"ETag": f'"{checksum(copy)}"'}
    return FileResponse(copy, headers=digest, filename=name, media_type="application/octet-stream")


@router.get("/datastore/image/info")
def image_info(workspace: WorkspaceDep, image: ImageQuery) -> dict[str, Any]:
    """What is known of a scan."""
    record = ImageId.parse(image).record(workspace)
    geometry = record.geometry
    return {
        "shape": list(geometry.shape),
        "spacing_mm": list(geometry.spacing_mm),
        "channels": list(record.channel_names),
    }


@router.put("/datastore/")
@router.put("/datastore/image")
def save_image(
    workspace: WorkspaceDep,
    file: Annotated[UploadFile, File()],
    params: Annotated[str, Form()] = "{}",
    image: ImageQuery = "",
) -> dict[str, str]:
    """Take a scan in as a new case; the same scan under the same name is taken once."""
    author = author_of(parsed_params(params))
    case_id = _case_id(image)
    with received(workspace, file, case_id) as path:
        if not has_known_suffix(path.name):
            raise HTTPException(415, "send a scan as .nii.gz, .nii, .nrrd or .mha")
        if workspace.layout.case_file(case_id).is_file():
            (_, scan), *rest = workspace.case(case_id).channels
            if rest or scan.sha256 != file_sha256(path):
                raise HTTPException(409, "there is another scan of this name; rename yours")
        else:
            add(workspace, [path], copy=True, actor=author)
    return {"image": case_id}


def _case_id(wanted: str) -> str:
    """A case's id as near as can be to what a plugin calls a scan."""
    if wanted in {"", "None"}:
        return f"upload-{secrets.token_hex(4)}"
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", wanted).strip("._-").replace("..", "_")[:100]
    return plain if is_valid_case_id(plain) else f"upload-{secrets.token_hex(4)}"


def _entry(workspace: Workspace, record: CaseRecord, annotated: set[str]) -> dict[str, Any]:
    labels: dict[str, Any] = {}
    if record.id in annotated:
        labels[FINAL] = {"ext": ".nii.gz", "info": {}}
    names = original_names(workspace, record)
    if names:
        labels[ORIGINAL] = {"ext": ".nii.gz", "info": {"params": {"label_names": names}}}
    return {"image": {"ext": ".nii", "info": {}}, "labels": labels}
