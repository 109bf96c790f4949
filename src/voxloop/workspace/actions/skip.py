"""Skip queries that nobody can or wants to answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from voxloop.errors import UsageError
from voxloop.workspace.queries import QueryStatus, put_queries, queries_of, with_status
from voxloop.workspace.rounds import (
    NEXT_STEPS,
    RoundStage,
    current_round,
    put_round,
)
from voxloop.workspace.staging import open_staging
from voxloop.workspace.workspace import Workspace

__all__ = ["SKIP_REASONS", "SkipResult", "skip"]

SKIP_REASONS = ("unclear", "poor_image", "not_in_view", "too_long", "other")
"""Why somebody may skip a query; words of our own, since free text may name a patient."""


@dataclass(frozen=True)
class SkipResult:
    """What `skip` did.

    Attributes:
        skipped: numbers of the queries.
        round_complete: True if none is open any more.
    """

    skipped: tuple[int, ...]
    round_complete: bool

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {"skipped": list(self.skipped), "round_complete": self.round_complete}


def skip(
    workspace: Workspace, numbers: Iterable[int], actor: str = "", reason: str = ""
) -> SkipResult:
    """Give up waiting for some of the current round's queries; they are not asked for again.

    Args:
        workspace: where they are open.
        numbers: of the queries; none of them is asked again in this round.
        actor: for the audit trail; the workspace's author, then the system's user, where empty.
        reason: one of `SKIP_REASONS`, or empty.

    Raises:
        UsageError: if the reason is unknown, the round is not waiting for annotations, or a query
            is not open.
    """
    layout, wanted = workspace.layout, tuple(sorted(set(numbers)))
    if reason not in {"", *SKIP_REASONS}:
        raise UsageError(f"queries are skipped for {', '.join(SKIP_REASONS)}, not {reason!r}")
    author = actor or workspace.settings.author
    with open_staging(layout) as staging, staging.commit("skip", author) as commit:
        latest = current_round(layout)
        if latest is None or latest.stage is not RoundStage.ANNOTATING:
            step = "run `voxloop suggest`" if latest is None else NEXT_STEPS[latest.stage]
            raise UsageError(f"no round is waiting for annotations; {step}")
        before = queries_of(layout, latest.number)
        open_now = [query.number for query in before if query.is_open]
        if set(wanted) - set(open_now) or not wanted:
            raise UsageError(f"open queries are {open_now}; found {list(wanted)}")
        after = with_status(before, wanted, QueryStatus.SKIPPED)
        put_queries(commit, layout, latest.number, after)
        commit.detail["skipped"] = list(wanted)
        if reason:
            commit.detail["reason"] = reason
        complete = not any(query.is_open for query in after)
        if complete:
            put_round(commit, layout, latest.advanced(RoundStage.COMPLETE))
    return SkipResult(wanted, complete)
