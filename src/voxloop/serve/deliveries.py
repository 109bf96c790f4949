"""What is known of a delivery beside its content, and what is said of it afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query

from voxloop.serve.context import AuthorDep, Context
from voxloop.serve.schemas import Document
from voxloop.workspace.actions.checked_delivery import CollectOptions
from voxloop.workspace.actions.take_in import TakenIn
from voxloop.workspace.delivery import LookedAt
from voxloop.workspace.leases import QueryKey

__all__ = ["Details", "DetailsDep", "taken_document"]


@dataclass(frozen=True)
class Details:
    """Who delivers, with what, in what time.

    Attributes:
        author: the annotator.
        seconds: that it took; None if nobody measured.
        tool: that was drawn with.
        proposal: name of the label map that was started from; None without one.
        asked: names of the labels that were looked for; None for all.
    """

    author: str
    seconds: float | None
    tool: str
    proposal: str | None
    asked: tuple[str, ...] | None

    def options(
        self, *, looked_at: LookedAt | None = None, expected: str | None = None
    ) -> CollectOptions:
        """As `collect` wants them.

        Args:
            looked_at: how to tell where somebody looked.
            expected: hash of the newest revision that the annotator has seen.
        """
        return CollectOptions(
            looked_at=looked_at,
            asked=self.asked,
            author=self.author,
            seconds=self.seconds,
            tool=self.tool,
            proposal=self.proposal,
            expected=expected,
        )


def _details(
    author: AuthorDep,
    seconds: Annotated[float | None, Query(gt=0, le=1e7, description="That it took.")] = None,
    tool: Annotated[str, Query(pattern=r"^[A-Za-z0-9 ._-]{1,40}$")] = "page",
    proposal: Annotated[
        str | None, Query(pattern=r"^[0-9a-f]{64}$", description="X-Proposal as it was given.")
    ] = None,
    asked: Annotated[
        list[str] | None,
        Query(max_length=254, description="Labels that were looked for; all if not given."),
    ] = None,
) -> Details:
    return Details(author, seconds, tool, proposal, None if asked is None else tuple(asked))


DetailsDep = Annotated[Details, Depends(_details)]


def taken_document(context: Context, taken: TakenIn) -> Document:
    """What became of a delivery, with queries named as in all of the API."""
    latest = context.workspace.current_round()
    document = taken.to_json()
    number = 0 if latest is None else latest.number
    document["answered"] = [str(QueryKey(number, n)) for n in document["answered"]]
    document["warnings"] = [context.hide(warning) for warning in document["warnings"]]
    return document
