"""Annotations: what people deliver, its history, and how it compares."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from voxloop.serve.context import AuthorDep, CaseDep, ContextDep
from voxloop.serve.deliveries import DetailsDep, taken_document
from voxloop.serve.preconditions import IfMatchNeeded, etag
from voxloop.serve.schemas import Document, ReviewBody
from voxloop.serve.uploads import BODY_DOCS, ArrivalDep
from voxloop.workspace.actions.agreement import agreement
from voxloop.workspace.actions.compare import compare
from voxloop.workspace.actions.review import review
from voxloop.workspace.actions.take_in import take_in
from voxloop.workspace.actions.undo import undo
from voxloop.workspace.annotations import active
from voxloop.workspace.delivery import LookedAt
from voxloop.workspace.reviews import newest_reviews

__all__ = [
    "agreement_of_case",
    "compare_revisions",
    "list_revisions",
    "put_annotation",
    "review_revision",
    "router",
    "undo_revision",
]

router = APIRouter(tags=["annotations"])

Number = Annotated[int, Path(ge=1, le=1_000_000, description="Of the revision.")]
Tolerance = Annotated[float, Query(ge=0, le=100, description="Of the surface Dice, in mm.")]


@router.put("/cases/{case_id}/annotation", openapi_extra=BODY_DOCS)
def put_annotation(
    context: ContextDep,
    record: CaseDep,
    arrival: ArrivalDep,
    details: DetailsDep,
    expected: IfMatchNeeded,
    response: Response,
    looked_at: Annotated[
        LookedAt, Query(description="How to tell where somebody looked.")
    ] = LookedAt.AUTO,
) -> Document:
    """Store what was drawn as a new revision; 409 if the case was annotated since it was seen.

    Of patches, their voxels are what was looked at.
    """
    policy = LookedAt.ALL if arrival.body is not None else looked_at
    options = details.options(looked_at=policy, expected=expected)
    taken = take_in(context.workspace, arrival.label_map(context, record), record.id, options)
    response.headers["ETag"] = etag(taken.newest)
    return taken_document(context, taken)


@router.get("/cases/{case_id}/revisions")
def list_revisions(context: ContextDep, record: CaseDep) -> dict[str, list[Document]]:
    """All revisions, oldest first; `active` are those that count."""
    workspace = context.workspace
    revisions = workspace.annotations_of(record.id)
    counting = {revision.number for revision in active(revisions)}
    judged = newest_reviews(workspace.layout, record.id)
    return {
        "revisions": [
            {
                **revision.to_json(),
                "active": revision.number in counting,
                "review": judged[revision.number].to_json() if revision.number in judged else None,
            }
            for revision in revisions
        ]
    }


@router.post("/cases/{case_id}/undo")
def undo_revision(
    context: ContextDep,
    record: CaseDep,
    author: AuthorDep,
    expected: IfMatchNeeded,
    response: Response,
    revision: Annotated[
        int | None, Query(ge=1, le=1_000_000, description="The newest that counts if not given.")
    ] = None,
) -> Document:
    """Take a revision back by a new one; taking that back again restores it."""
    done = undo(context.workspace, record.id, revision, author=author, expected=expected)
    response.headers["ETag"] = etag(done.revision.sha256)
    return {**done.to_json(), "etag": done.revision.sha256}


@router.get("/cases/{case_id}/compare")
def compare_revisions(
    context: ContextDep,
    record: CaseDep,
    first: Annotated[int, Query(ge=1, le=1_000_000)],
    second: Annotated[int, Query(ge=1, le=1_000_000)],
    tolerance_mm: Tolerance = 1.0,
) -> Document:
    """What changed between the states after two revisions."""
    return compare(context.workspace, record.id, first, second, tolerance_mm=tolerance_mm).to_json()


@router.get("/cases/{case_id}/agreement")
def agreement_of_case(
    context: ContextDep, record: CaseDep, tolerance_mm: Tolerance = 1.0
) -> Document:
    """How far the annotators of a case agree where several have looked."""
    return agreement(context.workspace, [record.id], tolerance_mm=tolerance_mm).to_json()


@router.post("/cases/{case_id}/revisions/{number}/review")
def review_revision(
    context: ContextDep, record: CaseDep, number: Number, author: AuthorDep, body: ReviewBody
) -> Document:
    """Accept a revision, or send it back: then it no longer counts and its query is open again."""
    done = review(
        context.workspace, record.id, number, body.verdict, reviewer=author, remark=body.remark
    )
    return done.to_json()
