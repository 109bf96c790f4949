"""The rounds, and what reviewers have before them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from voxloop.serve.context import ContextDep
from voxloop.serve.problems import not_found
from voxloop.serve.schemas import Document
from voxloop.workspace.actions.agreement import agreement
from voxloop.workspace.annotations import active
from voxloop.workspace.reviews import newest_reviews
from voxloop.workspace.set_aside import all_set_aside, file_set_aside

__all__ = [
    "agreement_of_all",
    "list_reviews",
    "list_rounds",
    "list_set_aside",
    "read_set_aside",
    "router",
]

router = APIRouter(tags=["rounds and reviews"])


@router.get("/rounds")
def list_rounds(context: ContextDep) -> dict[str, list[Document]]:
    """All rounds, oldest first."""
    return {
        "rounds": [
            {**record.to_json(), "annotations": len(record.annotations)}
            for record in context.workspace.rounds()
        ]
    }


@router.get("/reviews")
def list_reviews(
    context: ContextDep,
    state: Annotated[
        Literal["waiting", "accepted", "sent_back"], Query(description="Of the revisions.")
    ] = "waiting",
) -> dict[str, list[Document]]:
    """Revisions that wait for a review, or were reviewed; newest first."""
    workspace, found = context.workspace, []
    for record in workspace.cases():
        revisions = workspace.annotations_of(record.id)
        counting = {revision.number for revision in active(revisions)}
        judged = newest_reviews(workspace.layout, record.id)
        for revision in revisions:
            said = judged.get(revision.number)
            waits = said is None and revision.number in counting
            if waits if state == "waiting" else said is not None and said.verdict == state:
                review = None if said is None else said.to_json()
                found.append({**revision.to_json(), "review": review})
    return {"reviews": sorted(found, key=lambda item: str(item["created"]), reverse=True)}


@router.get("/agreement")
def agreement_of_all(
    context: ContextDep, tolerance_mm: Annotated[float, Query(ge=0, le=100)] = 1.0
) -> Document:
    """How far annotators agree, case by case, where several have looked."""
    return agreement(context.workspace, tolerance_mm=tolerance_mm).to_json()


@router.get("/set-aside")
def list_set_aside(context: ContextDep) -> dict[str, list[Document]]:
    """Deliveries that were refused or stored in part, newest first; nothing of them is lost."""
    return {
        "items": [
            {**item.to_json(), "reasons": [context.hide(reason) for reason in item.reasons]}
            for item in all_set_aside(context.workspace.layout)
        ]
    }


@router.get(
    "/set-aside/{item_id}",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
def read_set_aside(
    context: ContextDep, item_id: Annotated[str, Path(pattern=r"^\d{17}-[0-9a-f]{8}$")]
) -> Response:
    """Such a delivery, as it came."""
    items = {item.id: item for item in all_set_aside(context.workspace.layout)}
    if item_id not in items:
        raise not_found("there is no such delivery")
    path = file_set_aside(context.workspace.layout, item_id)
    name = f"{item_id}{items[item_id].suffix}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(path.read_bytes(), media_type="application/octet-stream", headers=headers)
