"""Accept a revision, or send it back to its annotator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from voxloop.errors import UsageError
from voxloop.workspace import audit
from voxloop.workspace.actions.undo import reopen, stage_withdrawal
from voxloop.workspace.annotations import Origin, Revision, active, append_revision
from voxloop.workspace.clock import utc_now
from voxloop.workspace.reviews import Review, Verdict, reviews_of
from voxloop.workspace.staging import open_staging
from voxloop.workspace.workspace import Workspace

__all__ = ["ReviewResult", "review"]


@dataclass(frozen=True)
class ReviewResult:
    """What `review` did.

    Attributes:
        review: as recorded.
        withdrawal: the revision that takes the reviewed one back; None if it was accepted.
        reopened: numbers of the current round's queries that are open again.
    """

    review: Review
    withdrawal: Revision | None
    reopened: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {
            "review": self.review.to_json(),
            "withdrawal": None if self.withdrawal is None else self.withdrawal.to_json(),
            "reopened": list(self.reopened),
        }


def review(
    workspace: Workspace,
    case_id: str,
    number: int,
    verdict: Verdict,
    *,
    reviewer: str = "",
    remark: str = "",
) -> ReviewResult:
    """Record what somebody thinks of a revision.

    What is sent back no longer counts, by a new revision, and its query is open again while its
    round waits for annotations. It stays readable for whoever corrects it.

    Args:
        workspace: the case's.
        case_id: the case.
        number: of the revision.
        verdict: accepted or sent back.
        reviewer: who says so; the workspace's author, then the system's user, where empty.
        remark: to the annotator.

    Raises:
        UsageError: if there is no such revision or it no longer counts, or the remark is too long.
        OvertakenError: if the case was annotated at the same moment; say it again.
        StorageError: if the disk refuses; nothing is changed.
    """
    layout = workspace.layout
    actor = reviewer or workspace.settings.author or audit.current_user()
    revision = next(
        (r for r in active(workspace.annotations_of(case_id)) if r.number == number), None
    )
    if revision is None:
        raise UsageError(f'case "{case_id}" has no revision {number} that counts')
    back, drafted = verdict is Verdict.SENT_BACK, None
    reopened: tuple[int, ...] = ()
    with open_staging(layout) as staging:
        if back:
            origin = Origin(actor, "review")
            drafted = stage_withdrawal(workspace, case_id, number, origin, staging)
        with staging.commit("review", actor) as commit:
            earlier = sum(r.revision == number for r in reviews_of(layout, case_id))
            said = Review(
                case_id, number, revision.sha256, earlier + 1, verdict, actor, remark, utc_now()
            )
            commit.detail["review"] = [case_id, number, verdict.value]
            commit.create_json(layout.review_file(case_id, number, said.number), said.to_json())
            if drafted is not None:
                append_revision(commit, layout, *drafted)
                reopened = reopen(commit, workspace, drafted[0])
    return ReviewResult(said, None if drafted is None else drafted[0], reopened)
