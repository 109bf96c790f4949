"""Queries: what is asked for, who works on it, and the answers."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from voxloop.serve.context import AuthorDep, ContextDep, QueryDep, case_of
from voxloop.serve.deliveries import DetailsDep, taken_document
from voxloop.serve.preconditions import IfMatchDep, etag
from voxloop.serve.schemas import (
    Document,
    LeaseOut,
    QueryList,
    QueryOut,
    RegionOut,
    SkipBody,
)
from voxloop.serve.uploads import BODY_DOCS, ArrivalDep
from voxloop.workspace.actions.skip import skip
from voxloop.workspace.actions.take_in import answer_nothing, answer_query, open_query
from voxloop.workspace.leases import Lease, QueryKey, hold, lease_next, leases_of, release
from voxloop.workspace.queries import StoredQuery, queries_of
from voxloop.workspace.rounds import RoundStage

__all__ = [
    "answer",
    "give_back",
    "list_queries",
    "next_query",
    "nothing_here",
    "router",
    "skip_query",
    "take_query",
]

router = APIRouter(tags=["queries"])


@router.get("/queries")
def list_queries(
    context: ContextDep,
    state: Annotated[
        Literal["open", "answered", "skipped"] | None, Query(description="All if not given.")
    ] = None,
) -> QueryList:
    """The queries of the current round, the most wanted first."""
    latest = context.workspace.current_round()
    if latest is None:
        return QueryList(round=None, stage=None, queries=[])
    leases = leases_of(context.workspace.layout, latest.number)
    stored = queries_of(context.workspace.layout, latest.number)
    return QueryList(
        round=latest.number,
        stage=latest.stage.value,
        queries=[
            _query(latest.number, query, leases.get(query.number))
            for query in stored
            if state in {None, query.status.value}
        ],
    )


@router.post(
    "/queries/next",
    responses={204: {"description": "Nothing is open, or others work on all of it."}},
    response_model=QueryOut,
)
def next_query(context: ContextDep, author: AuthorDep) -> QueryOut | Response:
    """Give the next open query to somebody, for as long as something is heard of him or her."""
    workspace = context.workspace
    latest = workspace.current_round()
    if latest is None or latest.stage is not RoundStage.ANNOTATING:
        return Response(status_code=204)
    stored = {query.number: query for query in workspace.open_queries()}
    leased = lease_next(
        workspace.layout, latest.number, iter(stored), author, context.settings.lease_s
    )
    if leased is None:
        return Response(status_code=204)
    return _query(latest.number, stored[leased[0]], leased[1])


@router.post("/queries/{query_id}/answer", openapi_extra=BODY_DOCS)
def answer(
    context: ContextDep,
    key: QueryDep,
    arrival: ArrivalDep,
    details: DetailsDep,
    expected: IfMatchDep,
    response: Response,
) -> Document:
    """Store the answer to a query; edits outside of its region are reported, and kept aside."""
    stored = open_query(context.workspace, key)
    record = case_of(context, stored.query.case_id)
    taken = answer_query(
        context.workspace, arrival.label_map(context, record), key,
        details.options(expected=expected),
    )  # fmt: skip
    response.headers["ETag"] = etag(taken.newest)
    return taken_document(context, taken)


@router.post("/queries/{query_id}/nothing")
def nothing_here(
    context: ContextDep, key: QueryDep, details: DetailsDep, response: Response
) -> Document:
    """Answer a query: none of the labels is in its region."""
    taken = answer_nothing(context.workspace, key, details.options())
    response.headers["ETag"] = etag(taken.newest)
    return taken_document(context, taken)


@router.post("/queries/{query_id}/skip")
def skip_query(context: ContextDep, key: QueryDep, author: AuthorDep, body: SkipBody) -> Document:
    """Give a query up, with the reason."""
    layout = context.workspace.layout
    open_query(context.workspace, key)
    hold(layout, key, author)
    done = skip(context.workspace, [key.number], author, body.reason)
    release(layout, key)
    return done.to_json()


@router.post("/queries/{query_id}/lease")
def take_query(context: ContextDep, key: QueryDep, author: AuthorDep) -> QueryOut:
    """Take a certain query, or keep it for longer."""
    stored = open_query(context.workspace, key)
    lease = hold(context.workspace.layout, key, author, context.settings.lease_s)
    return _query(key.round, stored, lease)


@router.delete("/queries/{query_id}/lease")
def give_back(context: ContextDep, key: QueryDep, author: AuthorDep) -> dict[str, bool]:
    """Give a query back, for others; nothing happens to one that somebody else has."""
    release(context.workspace.layout, key, author)
    return {"released": True}


def _query(round_number: int, stored: StoredQuery, lease: Lease | None) -> QueryOut:
    query = stored.query
    return QueryOut(
        id=str(QueryKey(round_number, stored.number)),
        number=stored.number,
        case=query.case_id,
        region=RegionOut(start=list(query.region.start), stop=list(query.region.stop)),
        axis=query.region.slice_axis,
        reason=query.reason,
        strategy=query.strategy,
        score=query.score,
        cost=query.cost,
        unit=query.unit,
        status=stored.status.value,
        lease=None if lease is None else LeaseOut(author=lease.author, until=lease.until),
    )
