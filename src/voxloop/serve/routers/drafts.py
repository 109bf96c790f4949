"""Drafts: every stroke is on the disk before it is acknowledged."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from voxloop.serve.context import QUERY_PATTERN, AuthorDep, CaseDep, ContextDep
from voxloop.serve.problems import not_found
from voxloop.serve.schemas import Document, DraftBody, DraftSaved, LeaseOut
from voxloop.workspace.actions.take_in import open_query
from voxloop.workspace.drafts import DraftKey, append_draft, discard_draft, read_draft
from voxloop.workspace.leases import QueryKey, hold

__all__ = ["load_draft", "router", "save_draft", "throw_draft_away"]

router = APIRouter(tags=["drafts"])


def _key(
    record: CaseDep,
    author: AuthorDep,
    query: Annotated[
        str | None,
        Query(pattern=QUERY_PATTERN, description="That is worked on; none for the whole case."),
    ] = None,
) -> DraftKey:
    return DraftKey(record.id, author, query or "")


KeyDep = Annotated[DraftKey, Depends(_key)]


@router.put("/cases/{case_id}/draft")
def save_draft(context: ContextDep, record: CaseDep, key: KeyDep, body: DraftBody) -> DraftSaved:
    """Add strokes to a draft, and extend the lease of its query.

    409 if the query is closed or somebody else's by now, or the draft went on in another window.
    """
    layout, lease = context.workspace.layout, None
    patches = [patch.patch(record.geometry.shape) for patch in body.patches]
    if key.query:
        query = QueryKey.parse(key.query)
        if open_query(context.workspace, query).query.case_id != record.id:
            raise not_found("this query is for another case")
        lease = hold(layout, query, key.author, context.settings.lease_s)
    base = "" if body.base == "none" else body.base
    count = append_draft(layout, key, patches, base=base, seconds=body.seconds, after=body.after)
    out = None if lease is None else LeaseOut(author=lease.author, until=lease.until)
    return DraftSaved(count=count, lease=out)


@router.get("/cases/{case_id}/draft")
def load_draft(context: ContextDep, key: KeyDep) -> Document:
    """All strokes of a draft, in the order in which they were drawn; count 0 without one."""
    return read_draft(context.workspace.layout, key).to_json()


@router.delete("/cases/{case_id}/draft")
def throw_draft_away(context: ContextDep, key: KeyDep) -> dict[str, bool]:
    """End a draft."""
    return {"discarded": discard_draft(context.workspace.layout, key)}
