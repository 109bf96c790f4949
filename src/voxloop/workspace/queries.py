"""The queries of a round and what became of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from voxloop.active.query import Query
from voxloop.workspace.documents import read_record
from voxloop.workspace.layout import Layout
from voxloop.workspace.staging import Commit

__all__ = ["QueryStatus", "StoredQuery", "put_queries", "queries_of", "with_status"]


class QueryStatus(StrEnum):
    """What became of a query."""

    OPEN = "open"
    ANSWERED = "answered"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class StoredQuery:
    """A query with its place in a round.

    Attributes:
        number: from 1 on within the round, in the order of the strategy's preference.
        query: what was asked.
        status: what became of it.
    """

    number: int
    query: Query
    status: QueryStatus = QueryStatus.OPEN

    @property
    def is_open(self) -> bool:
        """True as long as nobody has answered or skipped it."""
        return self.status is QueryStatus.OPEN

    def to_json(self) -> dict[str, Any]:
        """The record as a document."""
        return {
            "number": self.number,
            "status": self.status.value,
            "query": self.query.to_json(),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> StoredQuery:
        """Read what `to_json` wrote."""
        query = Query.from_json(document["query"])
        return cls(document["number"], query, QueryStatus(document["status"]))


def queries_of(layout: Layout, round_number: int) -> tuple[StoredQuery, ...]:
    """The queries of a round by number; none before it has asked."""
    path = layout.queries_file(round_number)
    if not path.exists():
        return ()
    return read_record(
        path, lambda document: tuple(StoredQuery.from_json(q) for q in document["queries"])
    )


def put_queries(
    commit: Commit, layout: Layout, round_number: int, queries: Iterable[StoredQuery]
) -> None:
    """Make a round's queries, new or with another status, part of a change."""
    documents = [query.to_json() for query in queries]
    path = layout.queries_file(round_number)
    commit.replace_json(path, {"round": round_number, "queries": documents})


def with_status(
    queries: Iterable[StoredQuery], numbers: Iterable[int], status: QueryStatus
) -> tuple[StoredQuery, ...]:
    """The same queries, those of the given numbers with another status."""
    chosen = frozenset(numbers)
    return tuple(
        dataclasses.replace(q, status=status) if q.number in chosen else q for q in queries
    )
