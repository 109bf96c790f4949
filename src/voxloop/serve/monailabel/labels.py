"""Label maps to and from the plugins."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile
from starlette.exceptions import HTTPException

from voxloop.io.formats import write_volume
from voxloop.serve.monailabel.common import (
    ImageId,
    WorkspaceDep,
    author_of,
    files,
    parsed_params,
    received,
)
from voxloop.serve.monailabel.submission import Submission, submit
from voxloop.serve.monailabel.wire import ASKED_SEGMENT, label_names, to_wire
from voxloop.volume.boxes import Box
from voxloop.volume.labels import BACKGROUND
from voxloop.volume.volume import LabelArray, Volume
from voxloop.workspace.actions.take_in import arrival_folder
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.proposals import prediction_file, proposal_of
from voxloop.workspace.rounds import RoundStage
from voxloop.workspace.workspace import Workspace

__all__ = [
    "FINAL",
    "ORIGINAL",
    "label_info",
    "load_label",
    "original_names",
    "router",
    "save_label",
]

FINAL, ORIGINAL = "final", "original"
"""Tags: what is known, and what the plugin shows when a sample is opened."""

ImageQuery = Annotated[str, Query(max_length=200)]

router = APIRouter(tags=["MONAI Label"])


@router.put("/datastore/label")
def save_label(
    workspace: WorkspaceDep,
    image: ImageQuery,
    label: Annotated[UploadFile, File()],
    params: Annotated[str, Form()] = "{}",
    tag: Annotated[str, Query(max_length=100)] = "",
) -> dict[str, Any]:
    """Submit a label map; whatever it is tagged, it becomes a revision and replaces none."""
    del tag
    found = ImageId.parse(image)
    record, document = found.record(workspace), parsed_params(params)
    author = author_of(document)
    with received(workspace, label, "submitted") as path:
        submission = Submission.parse(found, path, document, author)
        return submit(workspace, submission, record)


@router.head("/datastore/label", response_class=Response, responses=files("application/json"))
@router.get("/datastore/label", response_class=Response, responses=files("application/gzip"))
def load_label(
    request: Request,
    workspace: WorkspaceDep,
    label: ImageQuery = "",
    image: ImageQuery = "",
    tag: Annotated[str, Query(max_length=100)] = FINAL,
) -> Response:
    """What is known of a case (`final`), or what to start from and where to label (`original`)."""
    record = ImageId.parse(label or image).record(workspace)
    array = _map_of(workspace, record, tag or FINAL)
    if array is None:
        raise HTTPException(404, "there is no such label map")
    if request.method == "HEAD":
        return Response("{}", media_type="application/json")
    with arrival_folder(workspace.layout) as folder:
        path = folder / "label.nii.gz"
        write_volume(path, Volume(array, record.geometry))
        content = path.read_bytes()
    disposition = f'attachment; filename="{record.id}_{tag or FINAL}.nii.gz"'
    return Response(content, 200, {"Content-Disposition": disposition}, "application/gzip")


@router.get("/datastore/label/info")
def label_info(
    workspace: WorkspaceDep,
    label: ImageQuery,
    tag: Annotated[str, Query(max_length=100)] = FINAL,
) -> dict[str, Any]:
    """Names and numbers in a label map."""
    record = ImageId.parse(label).record(workspace)
    names = original_names(workspace, record) if tag == ORIGINAL else _numbered(workspace)
    return {"params": {"label_names": names}}


def original_names(workspace: Workspace, record: CaseRecord) -> dict[str, int]:
    """Names in a case's `original` label map; empty if it has none."""
    names = _numbered(workspace)
    if _regions(workspace, record):
        return {**names, ASKED_SEGMENT: len(names) + 1}
    return names if _has_proposal(workspace, record) else {}


def _map_of(workspace: Workspace, record: CaseRecord, tag: str) -> LabelArray | None:
    if tag == FINAL:
        if not workspace.annotations_of(record.id):
            return None
        return to_wire(workspace.target_of(record.id).values, workspace.labels)
    if tag != ORIGINAL or not original_names(workspace, record):
        return None
    if _has_proposal(workspace, record):
        known = proposal_of(workspace, record).label_map.array
    else:
        known = workspace.target_of(record.id).values
    array = to_wire(known, workspace.labels)
    # behind the labels: whoever paints there paints over it
    asked = _asked(workspace, record) & (array == BACKGROUND)
    array[asked] = len(workspace.labels) + 1
    return array


def _has_proposal(workspace: Workspace, record: CaseRecord) -> bool:
    """True if one is there without waiting for the model."""
    path = prediction_file(workspace, record)
    return path is not None and path.is_file()


def _asked(workspace: Workspace, record: CaseRecord) -> Any:
    mask = np.zeros(record.geometry.shape, dtype=bool)
    for region in _regions(workspace, record):
        mask[region.slices] = True
    return mask


def _regions(workspace: Workspace, record: CaseRecord) -> tuple[Box, ...]:
    """What is open of a case."""
    latest = workspace.current_round()
    if latest is None or latest.stage is not RoundStage.ANNOTATING:
        return ()
    queries = workspace.open_queries()
    return tuple(q.query.region for q in queries if q.query.case_id == record.id)


def _numbered(workspace: Workspace) -> dict[str, int]:
    return {name: number for number, name in enumerate(label_names(workspace.labels), start=1)}
