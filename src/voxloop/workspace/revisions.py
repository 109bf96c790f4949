"""The record of a revision: one delivery for a case, and which of them count."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from voxloop.errors import UsageError

__all__ = ["Coverage", "Origin", "OvertakenError", "Revision", "StaleError", "active"]


class OvertakenError(UsageError):
    """Another delivery for the same case was stored while this one was being prepared."""


class StaleError(UsageError):
    """A case has been annotated since the annotator looked at it.

    Attributes:
        newest: hash of its newest revision, or None without one.
    """

    def __init__(self, case_id: str, newest: str | None) -> None:
        self.newest = newest
        super().__init__(
            f'case "{case_id}" was annotated since it was opened; nothing was stored; look at '
            "what is new there, then send again"
        )


@dataclass(frozen=True)
class Coverage:
    """How much of a case is annotated after a revision.

    Attributes:
        voxels: looked at for any label.
        slices: in which somebody looked, along any axis: the fewest in which all of it lies.
        labels: voxels of each label that was found, by name.
    """

    voxels: int = 0
    slices: int = 0
    labels: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Origin:
    """Where an annotation comes from.

    Attributes:
        author: the annotator.
        tool: what delivered it, e.g. `collect`.
        round: the round it answers, or None.
        seconds: what it took, above zero, or None where nobody measured.
        query: number of the round's query that was worked on, or None.
        proposal: hash of the label map that the annotator started from, or None.
    """

    author: str
    tool: str
    round: int | None = None
    seconds: float | None = None
    query: int | None = None
    proposal: str | None = None


@dataclass(frozen=True)
class Revision:
    """The record of one delivery for a case.

    Attributes:
        case_id: the case.
        number: from 1 on, without gaps.
        origin: who, with what, when asked, in what time.
        asked: the labels that were looked for, name to value.
        parent: hash of the revision before, None for the first.
        sha256: hash of case, voxels, labels asked for, and parent.
        created: UTC, ISO 8601.
        coverage: of the case after this revision.
        withdraws: number of an earlier revision that this one takes back; its label map is then
            that of the one taken back, and neither counts.
    """

    case_id: str
    number: int
    origin: Origin
    asked: dict[str, int]
    parent: str | None
    sha256: str
    created: str
    coverage: Coverage
    withdraws: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The record as a document."""
        document = asdict(self)
        return {**document.pop("origin"), **document}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Revision:
        """Read what `to_json` wrote."""
        return cls(
            document["case_id"],
            document["number"],
            Origin(**{f.name: document[f.name] for f in _ORIGIN if f.name in document}),
            document["asked"],
            document["parent"],
            document["sha256"],
            document["created"],
            Coverage(**document["coverage"]),
            document.get("withdraws"),
        )


_ORIGIN = dataclasses.fields(Origin)


def active(revisions: Iterable[Revision]) -> tuple[Revision, ...]:
    """Those of a case's revisions that count: neither taken back nor a taking back themselves.

    Args:
        revisions: oldest first. Taking back a taking back makes the first count again.
    """
    counting, back = [], set[int]()
    for revision in reversed(tuple(revisions)):
        if revision.number in back:
            continue
        if revision.withdraws is None:
            counting.append(revision)
        else:
            back.add(revision.withdraws)
    return tuple(reversed(counting))
