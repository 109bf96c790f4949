"""The verbs about what was annotated: `history`, `undo`, `compare`, `agreement`, `review`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from voxloop.cli.options import HERE, AuthorOption, JsonOption, WorkspaceOption
from voxloop.cli.render import Screen
from voxloop.cli.result import Result, Table, counted

if TYPE_CHECKING:  # numpy, which `voxloop --help` can do without
    from voxloop.metrics.score import LabelScore

__all__ = ["agreement", "compare", "history", "propose", "register", "review", "undo"]

CaseArgument = Annotated[str, typer.Argument(help="The case's id.")]
ToleranceOption = Annotated[
    float, typer.Option(help="Distance that still counts as agreement of the surfaces, in mm.")
]

_SCORES = ("label", "Dice", "HD95 mm", "mean distance mm", "surface Dice")


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (history, undo, compare, agreement, review, propose):
        app.command()(command)


def history(
    case: CaseArgument, *, workspace: WorkspaceOption = HERE, json: JsonOption = False
) -> int:
    """List the revisions of a case: who, when, with what, and whether they count."""
    from voxloop.workspace.annotations import active
    from voxloop.workspace.reviews import newest_reviews
    from voxloop.workspace.workspace import Workspace

    opened = Workspace.open(workspace)
    revisions = opened.annotations_of(opened.case(case).id)
    counting = {revision.number for revision in active(revisions)}
    judged = newest_reviews(opened.layout, case)
    documents = [
        {
            **revision.to_json(),
            "active": revision.number in counting,
            "review": judged[revision.number].to_json() if revision.number in judged else None,
        }
        for revision in revisions
    ]
    rows = tuple(
        (
            r.number,
            r.created[:16].replace("T", " "),
            r.origin.author,
            r.origin.tool if r.withdraws is None else f"takes back {r.withdraws}",
            r.origin.seconds,
            "yes" if r.number in counting else "no",
            judged[r.number].verdict.value if r.number in judged else "",
        )
        for r in revisions
    )
    columns = ("revision", "at (UTC)", "author", "tool", "seconds", "counts", "review")
    result = Result(
        summary=f'case "{case}": {counted(len(revisions), "revision")}, {len(counting)} count',
        document={"revisions": documents},
        tables=(Table("revisions", columns, rows),) if rows else (),
    )
    return Screen(json=json).show(result)


def undo(
    case: CaseArgument,
    *,
    workspace: WorkspaceOption = HERE,
    revision: Annotated[
        int | None,
        typer.Option(help="Number of the revision.", show_default="the newest that counts"),
    ] = None,
    author: AuthorOption = "",
    json: JsonOption = False,
) -> int:
    """Take a revision back, by a new one; taking that back restores it."""
    from voxloop.workspace.actions.undo import undo as action
    from voxloop.workspace.workspace import Workspace

    done = action(Workspace.open(workspace), case, revision, author=author)
    made = done.revision
    result = Result(
        summary=f'revision {made.number} of case "{case}" takes revision {made.withdraws} back; '
        f"{len(done.reopened)} queries are open again",
        document=done.to_json(),
        next_step=f"`voxloop undo {case} --revision {made.number}` restores it",
    )
    return Screen(json=json).show(result)


def compare(
    case: CaseArgument,
    first: Annotated[int, typer.Argument(help="Number of a revision.")],
    second: Annotated[int, typer.Argument(help="Number of another.")],
    *,
    workspace: WorkspaceOption = HERE,
    tolerance_mm: ToleranceOption = 1.0,
    json: JsonOption = False,
) -> int:
    """Say what changed between the states after two revisions of a case."""
    from voxloop.workspace.actions.compare import compare as action
    from voxloop.workspace.workspace import Workspace

    opened = Workspace.open(workspace)
    done = action(opened, case, first, second, tolerance_mm=tolerance_mm)
    names = {0: "background", 255: "not looked at", **opened.labels.names}
    rows = tuple((names[c.before], names[c.after], c.voxels) for c in done.changes)
    tables = (Table("changes", ("from", "to", "voxels"), rows),) if rows else ()
    if done.scores:
        tables = (*tables, Table("agreement", _SCORES, _score_rows(done.scores)))
    result = Result(
        summary=f'case "{case}", revision {first} to {second}: '
        f"{done.changed_voxels} voxels changed",
        document=done.to_json(),
        tables=tables,
    )
    return Screen(json=json).show(result)


def agreement(
    cases: Annotated[list[str] | None, typer.Argument(help="Ids; all cases if not given.")] = None,
    *,
    workspace: WorkspaceOption = HERE,
    tolerance_mm: ToleranceOption = 1.0,
    json: JsonOption = False,
) -> int:
    """Measure how far annotators agree where several have looked."""
    from voxloop.workspace.actions.agreement import agreement as action
    from voxloop.workspace.workspace import Workspace

    done = action(Workspace.open(workspace), cases or None, tolerance_mm=tolerance_mm)
    rows = tuple(
        (pair.case_id, " and ".join(pair.authors), pair.voxels, *scores)
        for pair in done.pairs
        for scores in _score_rows(pair.scores)
    )
    columns = ("case", "annotators", "voxels", *_SCORES)
    result = Result(
        summary=f"{counted(len(done.pairs), 'pair')} of annotators looked at the same voxels",
        document=done.to_json(),
        tables=(Table("agreement", columns, rows),) if rows else (),
    )
    return Screen(json=json).show(result)


def review(
    case: CaseArgument,
    revision: Annotated[int, typer.Argument(help="Number of the revision.")],
    verdict: Annotated[
        Literal["accepted", "sent_back"],
        typer.Argument(help="What is sent back no longer counts, and is asked for again."),
    ],
    *,
    workspace: WorkspaceOption = HERE,
    remark: Annotated[str, typer.Option(help="To the annotator.", show_default="none")] = "",
    author: AuthorOption = "",
    json: JsonOption = False,
) -> int:
    """Accept a revision, or send it back to its annotator."""
    from voxloop.workspace.actions.review import review as action
    from voxloop.workspace.reviews import Verdict
    from voxloop.workspace.workspace import Workspace

    done = action(
        Workspace.open(workspace), case, revision, Verdict(verdict), reviewer=author, remark=remark
    )
    result = Result(
        summary=f'revision {revision} of case "{case}": {verdict.replace("_", " ")}; '
        f"{len(done.reopened)} queries are open again",
        document=done.to_json(),
    )
    return Screen(json=json).show(result)


def propose(*, workspace: WorkspaceOption = HERE, json: JsonOption = False) -> int:
    """Let the newest model propose labels for every case, to start from; resumes."""
    from voxloop.workspace.actions.propose import propose as action
    from voxloop.workspace.workspace import Workspace

    screen = Screen(json=json)
    with screen.progress() as progress:
        done = action(Workspace.open(workspace), progress)
    result = Result(
        summary=f"{counted(len(done.cases), 'case')} with a proposal, {len(done.failed)} failed",
        document=done.to_json(),
        warnings=tuple(f'case "{case_id}": {why}' for case_id, why in done.failed.items()),
        next_step="run `voxloop serve` or `voxloop pack` to label with them",
    )
    return screen.show(result)


def _score_rows(
    scores: tuple[LabelScore, ...],
) -> tuple[tuple[str, float, float, float, float], ...]:
    return tuple((s.name, s.dice, s.hd95_mm, s.assd_mm, s.surface_dice) for s in scores)
