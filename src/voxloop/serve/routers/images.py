"""Scans, proposals, annotations and uncertainty as NIfTI files on the case's own grid."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from voxloop.errors import DataError
from voxloop.serve.context import CaseDep, ContextDep
from voxloop.serve.parts import PartDep, answer_part
from voxloop.serve.problems import not_found
from voxloop.serve.proposed import ready_proposal, uncertainty_file
from voxloop.workspace.annotations import newest_hash, target_until

__all__ = ["read_annotation", "read_image", "read_proposal", "read_uncertainty", "router"]

router = APIRouter(tags=["images"])

_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A NIfTI-1 file of the part asked for, where it lies in the patient.",
        "content": {
            "application/gzip": {"schema": {"type": "string", "format": "binary"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    },
    304: {"description": "You have it."},
}

Number = Annotated[int | None, Query(ge=1, le=1_000_000)]


@router.get("/cases/{case_id}/image", response_class=Response, responses=_FILE)
def read_image(
    request: Request,
    context: ContextDep,
    record: CaseDep,
    part: PartDep,
    channel: Annotated[int, Query(ge=0, le=1000, description="From 0 on.")] = 0,
) -> Response:
    """The scan, or a slab or box of it."""
    if channel >= len(record.channels):
        raise not_found(f"this case has {len(record.channels)} channels, counted from 0")
    layout = context.workspace.layout
    if changes := record.changes(layout):
        raise DataError(changes)
    _, scan = record.channels[channel]
    path = layout.root / scan.path
    return answer_part(request, part, scan.sha256, lambda: context.voxels.open(path))


@router.get("/cases/{case_id}/proposal", response_class=Response, responses=_FILE)
def read_proposal(
    request: Request, context: ContextDep, record: CaseDep, part: PartDep
) -> Response:
    """What to start from: known labels, and the newest model's prediction elsewhere.

    The header `X-Proposal` has the name to give back when the answer is submitted.
    """
    proposal = ready_proposal(context, record)
    if proposal is None:
        raise not_found("there is no proposal for this case yet")
    headers = {"X-Proposal": proposal.sha256}
    return answer_part(request, part, proposal.sha256, lambda: proposal.voxels, headers=headers)


@router.get("/cases/{case_id}/annotation", response_class=Response, responses=_FILE)
def read_annotation(
    request: Request,
    context: ContextDep,
    record: CaseDep,
    part: PartDep,
    *,
    revision: Annotated[
        int | None, Query(ge=1, le=1_000_000, description="What this delivery alone says.")
    ] = None,
    until: Annotated[
        int | None, Query(ge=1, le=1_000_000, description="What was known after this delivery.")
    ] = None,
) -> Response:
    """What is known of the case: labels, 0 for none of them, 255 where nobody looked."""
    workspace = context.workspace
    if revision is not None:
        found = next((r for r in workspace.annotations_of(record.id) if r.number == revision), None)
        if found is None:
            raise not_found("there is no such revision")
        return answer_part(
            request, part, found.sha256, lambda: workspace.load(found).label_map.array
        )
    if until is not None:
        numbers = [r.number for r in workspace.annotations_of(record.id)]
        if until not in numbers:
            raise not_found("there is no such revision")
        state = target_until(workspace.layout, record, workspace.labels, until)
        return answer_part(request, part, f"{record.id} until {until}", lambda: state.values)
    newest = newest_hash(workspace.layout, record.id) or "none"
    return answer_part(
        request, part, newest, lambda: workspace.target_of(record.id).values, tag=newest
    )


@router.get("/cases/{case_id}/uncertainty", response_class=Response, responses=_FILE)
def read_uncertainty(
    request: Request, context: ContextDep, record: CaseDep, part: PartDep
) -> Response:
    """How unsure the newest model is: 0 sure to 255, all labels alike."""
    path = uncertainty_file(context.workspace, record)
    if path is None:
        raise not_found("there is no map of uncertainty for this case yet")
    status = path.stat()
    content = f"{path.parent.parent.name} {record.id} {status.st_size} {status.st_mtime_ns}"
    return answer_part(request, part, content, lambda: context.voxels.open(path))
