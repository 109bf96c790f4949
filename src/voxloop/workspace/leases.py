"""Leases: who works on which query now, so that two people are not given the same one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from voxloop.compute.atomic import write_json
from voxloop.errors import DataError, UsageError
from voxloop.workspace.documents import read_record
from voxloop.workspace.layout import Layout
from voxloop.workspace.lock import exclusive

__all__ = [
    "LEASE_S",
    "Lease",
    "LeasedError",
    "QueryKey",
    "hold",
    "lease_next",
    "leases_of",
    "release",
]

LEASE_S = 900.0
"""How long a query stays with somebody of whom nothing is heard."""

_KEY = re.compile(r"(0|[1-9]\d{0,5})-([1-9]\d{0,5})")


class LeasedError(UsageError):
    """Somebody else works on a query."""


@dataclass(frozen=True, order=True)
class QueryKey:
    """Names a query in all rounds: a window that was left open never answers another one.

    Attributes:
        round: the round's number.
        number: within the round.
    """

    round: int
    number: int

    def __str__(self) -> str:
        return f"{self.round}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> QueryKey:
        """Read what `str` gives.

        Raises:
            UsageError: if it is none.
        """
        match = _KEY.fullmatch(text)
        if match is None:
            raise UsageError(f"queries are named like 0-3, not {text[:20]!r}")
        return cls(int(match[1]), int(match[2]))


@dataclass(frozen=True)
class Lease:
    """A query that somebody works on.

    Attributes:
        author: who.
        until: UTC, ISO 8601; extended by every save of a draft.
    """

    author: str
    until: str

    def to_json(self) -> dict[str, str]:
        """The record as a document."""
        return {"author": self.author, "until": self.until}


def leases_of(layout: Layout, round_number: int) -> Mapping[int, Lease]:
    """The leases of a round that have not run out, by the query's number."""
    path = layout.leases_file(round_number)
    if not path.exists():
        return {}
    with contextlib.suppress(DataError):  # a lease is a courtesy: a damaged file is none
        found = read_record(path, _parse)
        now = _stamp(0)
        return {number: lease for number, lease in found.items() if lease.until > now}
    return {}


def lease_next(
    layout: Layout, round_number: int, numbers: Iterator[int], author: str, seconds: float = LEASE_S
) -> tuple[int, Lease] | None:
    """Give somebody the first of some queries that nobody else has; an own one comes first.

    Args:
        layout: the workspace.
        round_number: that asks.
        numbers: of the open queries, the most wanted first.
        author: who asks.
        seconds: for how long.
    """
    with _changing(layout, round_number) as leases:
        wanted = list(numbers)
        own = [n for n in wanted if n in leases and leases[n].author == author]
        free = [n for n in wanted if n not in leases]
        for number in (*own, *free)[:1]:
            leases[number] = Lease(author, _stamp(seconds))
            return number, leases[number]
    return None


def hold(layout: Layout, key: QueryKey, author: str, seconds: float = LEASE_S) -> Lease:
    """Take or extend a lease.

    Raises:
        LeasedError: if somebody else has it.
    """
    with _changing(layout, key.round) as leases:
        lease = leases.get(key.number)
        if lease is not None and lease.author != author:
            raise LeasedError(
                f"query {key} is being answered by somebody else until {lease.until}; take "
                "another, or wait"
            )
        leases[key.number] = Lease(author, _stamp(seconds))
        return leases[key.number]


def release(layout: Layout, key: QueryKey, author: str | None = None) -> None:
    """Give a query back; whose ever it is where no author is named."""
    with _changing(layout, key.round) as leases:
        lease = leases.get(key.number)
        if lease is not None and author in {None, lease.author}:
            del leases[key.number]


@contextlib.contextmanager
def _changing(layout: Layout, round_number: int) -> Iterator[dict[int, Lease]]:
    with exclusive(layout.leases_lock, "leasing a query", wait_s=30):
        before = leases_of(layout, round_number)
        leases = dict(before)
        yield leases
        if leases != before:
            document = {str(number): lease.to_json() for number, lease in leases.items()}
            write_json(layout.leases_file(round_number), document)


def _parse(document: Any) -> dict[int, Lease]:
    return {int(number): Lease(str(d["author"]), str(d["until"])) for number, d in document.items()}


def _stamp(seconds_on: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds_on)).isoformat(timespec="milliseconds")
