"""Segment a scan with the newest model, in a process of its own."""

from __future__ import annotations

import secrets
import threading
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, File, Form, Query, Response, UploadFile
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from voxloop.compute.executor import Processes
from voxloop.compute.progress import ProgressSink
from voxloop.dataset.case import Case
from voxloop.io.formats import read_label_map, write_volume
from voxloop.io.segments import SEGMENTATION_SUFFIX, write_segmentation
from voxloop.serve.monailabel.common import (
    MODEL,
    ImageId,
    WorkspaceDep,
    files,
    multipart,
    parsed_params,
    received,
)
from voxloop.serve.monailabel.sessions import require_scan, session_files
from voxloop.serve.monailabel.wire import label_names, to_wire
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume
from voxloop.workspace.actions.take_in import arrival_folder
from voxloop.workspace.proposals import (
    model_file,
    predicted,
    prediction_file,
    proposal_of,
    segment_into,
)
from voxloop.workspace.workspace import Workspace

__all__ = ["infer", "router"]

_SUFFIXES = (".nrrd", ".nii.gz", ".nii", ".mha", SEGMENTATION_SUFFIX)
_TYPES = {"uint8": np.uint8, "uint16": np.uint16, "int16": np.int16, "float32": np.float32}
_WAITING = threading.BoundedSemaphore(4)
_WORKING = threading.Lock()
"""One model at a time; a few may wait, so that threads are left for everything else."""

router = APIRouter(tags=["MONAI Label"])


@router.post(
    "/infer/{model}",
    response_class=Response,
    responses=files("multipart/form-data", "application/octet-stream", "application/json"),
)
def infer(
    model: str,
    workspace: WorkspaceDep,
    *,
    image: Annotated[str, Query(max_length=200)] = "",
    session_id: Annotated[str, Query(max_length=100)] = "",
    output: Literal["", "all", "image", "json"] = "",
    params: Annotated[str, Form()] = "{}",
    file: Annotated[UploadFile | None, File()] = None,
) -> Response:
    """Labels of a case, of a session's scan, or of an uploaded one, numbered 1 to N."""
    if model != MODEL or model_file(workspace) is None:
        raise HTTPException(404, "there is no such model; label what is asked for and train first")
    wish = parsed_params(params)
    if session_id:
        label_map = _of_files(workspace, session_files(workspace, session_id))
    elif file is not None:
        with received(workspace, file, "scan") as path:
            require_scan(path)
            label_map = _of_files(workspace, (path,))
    else:
        label_map = _of_case(workspace, ImageId.parse(image))
    names = label_names(workspace.labels)
    document = {"label_names": names, "label": names[0], "latencies": {}}
    if output == "json":
        return JSONResponse(document)
    name, content = _encoded(workspace, label_map, wish)
    if output == "image":
        disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, 200, disposition, "application/octet-stream")
    return multipart(document, name, content)


def _of_case(workspace: Workspace, image: ImageId) -> LabelMap:
    record = image.record(workspace)
    path = prediction_file(workspace, record)
    if path is not None and not path.is_file():
        _apart(_predict_case, (str(workspace.root), record.id))
    return proposal_of(workspace, record).label_map


def _of_files(workspace: Workspace, files: tuple[Path, ...]) -> LabelMap:
    with arrival_folder(workspace.layout) as folder:
        order = (str(workspace.root), tuple(map(str, files)), str(folder))
        return read_label_map(Path(_apart(_segment_files, order)), workspace.labels)


def _apart(task: Any, order: Any) -> Any:
    """Do the work in another process, which brings torch along and takes it away again."""
    if not _WAITING.acquire(blocking=False):
        raise HTTPException(503, "the model is busy; ask again in a moment")
    try:
        with _WORKING:
            (done,) = Processes(workers=1).map(task, [order])
            return done
    finally:
        _WAITING.release()


def _predict_case(order: tuple[str, str], progress: ProgressSink) -> None:
    workspace = Workspace.open(Path(order[0]))
    predicted(workspace, workspace.case(order[1]), progress)


def _segment_files(order: tuple[str, tuple[str, ...], str], progress: ProgressSink) -> str:
    workspace = Workspace.open(Path(order[0]))
    case = Case("scan", tuple(map(Path, order[1])))
    return str(segment_into(workspace, case, Path(order[2]), progress))


def _encoded(workspace: Workspace, label_map: LabelMap, wish: dict[str, Any]) -> tuple[str, bytes]:
    """A file as the plugin wants it, under a name that never comes twice."""
    wanted = str(wish.get("result_extension", ""))
    suffix = wanted if wanted in _SUFFIXES else _SUFFIXES[0]
    kind = _TYPES.get(str(wish.get("result_dtype", "")), np.uint8)
    array = to_wire(label_map.array, workspace.labels)
    with arrival_folder(workspace.layout) as folder:
        path = folder / f"labels-{secrets.token_hex(8)}{suffix}"
        if suffix == SEGMENTATION_SUFFIX:
            table = LabelTable.from_names(*label_names(workspace.labels))
            write_segmentation(path, LabelMap(array, label_map.geometry, table))
        else:
            write_volume(path, Volume(array.astype(kind), label_map.geometry))
        return path.name, path.read_bytes()
