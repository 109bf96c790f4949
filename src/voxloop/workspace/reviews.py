"""Reviews: what a second person thinks of a revision."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from voxloop.errors import UsageError
from voxloop.workspace.documents import read_record
from voxloop.workspace.layout import Layout

__all__ = ["MOST_REMARK", "Review", "Verdict", "newest_reviews", "reviews_of"]

MOST_REMARK = 2000
"""Characters of a remark."""


class Verdict(StrEnum):
    """What is said of a revision."""

    ACCEPTED = "accepted"
    SENT_BACK = "sent_back"


@dataclass(frozen=True)
class Review:
    """One judgement of a revision.

    Attributes:
        case_id: the case.
        revision: the revision's number.
        sha256: the revision's hash, so that it is known what was looked at.
        number: of this review of the revision, from 1 on.
        verdict: accepted or sent back.
        reviewer: who says so.
        remark: to the annotator; may be empty.
        created: UTC, ISO 8601.

    Raises:
        UsageError: if nobody is named, or the remark is too long.
    """

    case_id: str
    revision: int
    sha256: str
    number: int
    verdict: Verdict
    reviewer: str
    remark: str
    created: str

    def __post_init__(self) -> None:
        if not self.reviewer.strip():
            raise UsageError("a review names its reviewer")
        if len(self.remark) > MOST_REMARK:
            raise UsageError(f"a remark has up to {MOST_REMARK} characters")

    def to_json(self) -> dict[str, Any]:
        """The record as a document."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Review:
        """Read what `to_json` wrote."""
        return cls(**{**document, "verdict": Verdict(document["verdict"])})


def reviews_of(layout: Layout, case_id: str) -> tuple[Review, ...]:
    """All reviews of a case's revisions, by revision, oldest first."""
    files = sorted((layout.reviews / case_id).glob("[0-9]*.json"))
    found = [read_record(file, Review.from_json) for file in files]
    return tuple(sorted(found, key=lambda review: (review.revision, review.number)))


def newest_reviews(layout: Layout, case_id: str) -> dict[int, Review]:
    """The last review of each revision of a case that was reviewed."""
    return {review.revision: review for review in reviews_of(layout, case_id)}
