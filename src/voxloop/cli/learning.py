"""The verbs of the loop: `suggest`, `train`, `validate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from voxloop.cli.estimates import dice_words, estimate_table
from voxloop.cli.options import HERE, AuthorOption, JsonOption, WorkspaceOption
from voxloop.cli.render import Screen
from voxloop.cli.result import Result, Table, counted

if TYPE_CHECKING:  # numpy, which `voxloop --help` can do without
    from voxloop.volume.boxes import Box
    from voxloop.workspace.queries import StoredQuery
    from voxloop.workspace.workspace import Workspace

__all__ = ["register", "suggest", "train", "validate"]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (suggest, train, validate):
        app.command()(command)


def suggest(
    *,
    workspace: WorkspaceOption = HERE,
    query_size: Annotated[int, typer.Option(min=1, help="How many regions to ask for.")] = 16,
    strategy: Annotated[
        str,
        typer.Option(
            help="How to choose; an unknown name is answered with those there are. FILE.py:NAME "
            "for one of your own."
        ),
    ] = "entropy",
    regions: Annotated[
        str,
        typer.Option(
            help="What can be asked for: planes (slices along any axis), slices (along the "
            "scan's own), slice_boxes, "
            "boxes or volumes."
        ),
    ] = "planes",
    side_mm: Annotated[float, typer.Option(help="Side of a box, in millimetres.")] = 40.0,
    minutes: Annotated[
        float | None,
        typer.Option(help="Time you have for labelling; asks for no more.", show_default="any"),
    ] = None,
    control: Annotated[
        float,
        typer.Option(help="Share drawn by chance, 0 to 0.5, for `referee` to compare with."),
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the first round's random choices.")] = 0,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Draw a page of what is asked.")
    ] = True,
    author: AuthorOption = "",
    json: JsonOption = False,
) -> int:
    """Choose what to label next; the same again while it is open."""
    from voxloop.active.cut import Cut
    from voxloop.workspace.actions.suggest import Wish
    from voxloop.workspace.actions.suggest import suggest as action
    from voxloop.workspace.workspace import Workspace

    screen = Screen(json=json)
    opened = Workspace.open(workspace)
    cut = Cut(regions, side_mm)  # type: ignore[arg-type] # which checks the word itself
    wish = Wish(query_size, strategy, cut, minutes, control, seed, pictures)
    with screen.progress() as progress:
        done = action(opened, wish, actor=author, progress=progress)
    takes = "" if done.seconds is None else f", about {max(1, round(done.seconds / 60))} minutes"
    result = Result(
        summary=f"round {done.round_number} asks for {counted(len(done.queries), 'region')}"
        f"{takes}, chosen by {done.strategy}; {done.share_annotated:.1%} of the {regions} are "
        "annotated",
        document=done.to_json(),
        tables=(_query_table(opened, done.queries),),
        wrote=(
            opened.layout.queries_file(done.round_number),
            *(() if done.page is None else (done.page,)),
        ),
        next_step=done.next_step,
    )
    return screen.show(result)


def train(
    *,
    workspace: WorkspaceOption = HERE,
    minutes: Annotated[
        float,
        typer.Option(
            help="Wall time that learning may take; it stops before where it gains nothing."
        ),
    ] = 10.0,
    steps: Annotated[
        int | None, typer.Option(help="Optimiser steps, instead of minutes.", show_default="none")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, patches and augmentation.")] = 0,
    from_scratch: Annotated[
        bool,
        typer.Option("--from-scratch", help="Do not begin with the weights of an earlier round."),
    ] = False,
    detail: Annotated[
        bool,
        typer.Option(
            "--detail",
            help="Also learn, for as long again, to draw at the scans' own resolution what the "
            "model finds; for thin structures in large scans.",
        ),
    ] = False,
    author: AuthorOption = "",
    json: JsonOption = False,
) -> int:
    """Learn from everything annotated so far; resumes after an interruption."""
    from voxloop.train.config import TrainConfig
    from voxloop.workspace.actions.train import train as action
    from voxloop.workspace.actions.train_detail import train_detail
    from voxloop.workspace.workspace import Workspace

    screen = Screen(json=json)
    config = TrainConfig(steps=steps, minutes=minutes, seed=seed, warm_start=not from_scratch)
    opened = Workspace.open(workspace)
    with screen.progress() as progress:
        done = action(opened, config, actor=author, progress=progress)
        closer = train_detail(opened, config, progress=progress) if detail else None
    training = done.training
    warnings = (
        *_if_any(len(done.skipped_queries), "open queries were given up unanswered"),
        *(
            f"label {name!r} has no annotated voxel and cannot be learned; label a slice that "
            "shows it"
            for name in done.unlearned
        ),
        *_if_any(training.skipped, "steps had no effect, because their loss was not finite"),
    )
    result = Result(
        summary=f"round {done.round_number}: learned from {counted(done.cases, 'case')} in "
        f"{counted(training.steps, 'step')} and {training.seconds:.0f} s; {training.outlook}"
        + ("" if closer is None else f"; {closer.words}"),
        document=done.to_json() | ({} if closer is None else {"detail": closer.to_json()}),
        wrote=(done.model, *(() if closer is None else (closer.model,))),
        warnings=warnings,
        next_step=done.next_step,
    )
    return screen.show(result)


def validate(
    *,
    workspace: WorkspaceOption = HERE,
    folds: Annotated[
        int,
        typer.Option(
            min=2,
            help="Into how many parts the cases are divided; with no more cases than that, each "
            "is left out in turn.",
        ),
    ] = 5,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Wall time of each fold's training. By default a third of what the model was "
            "given: the whole takes less than two trainings, and the estimate is rather too low.",
            show_default="a third of the model's, at least 1",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Optimiser steps of each fold's training, instead of minutes.", show_default="none"
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the division into folds and of each training.")
    ] = 0,
    author: AuthorOption = "",
    json: JsonOption = False,
) -> int:
    """Estimate how good the model is by leaving cases out in turn; resumes."""
    from voxloop.workspace.actions.validate import validate as action
    from voxloop.workspace.workspace import Workspace

    screen = Screen(json=json)
    opened = Workspace.open(workspace)
    with screen.progress() as progress:
        done = action(
            opened, folds=folds, minutes=minutes, steps=steps, seed=seed, actor=author,
            progress=progress,
        )  # fmt: skip
    validation, estimate = done.validation, done.estimate
    unlearned = ", ".join(f"{name} of {case_id}" for case_id, name in validation.not_learned)
    result = Result(
        summary=f"round {done.round_number}, {counted(validation.cases, 'case')}: out-of-fold "
        f"Dice {dice_words(estimate.labels[-1])}. {' '.join(validation.meaning)}",
        document=done.to_json(),
        tables=(estimate_table(estimate),),
        wrote=(done.file, done.predictions),
        warnings=(
            *((f"not scored, since no other case shows it: {unlearned}",) if unlearned else ()),
            *_if_any(done.newer, "newer deliveries do not count; run `voxloop train` first"),
        ),
        next_step=done.next_step,
    )
    return screen.show(result)


def _query_table(workspace: Workspace, queries: tuple[StoredQuery, ...]) -> Table:
    shapes = {record.id: record.geometry.shape for record in workspace.cases()}
    rows = tuple(
        (
            stored.number,
            stored.query.case_id,
            _region_words(stored.query.region, shapes[stored.query.case_id]),
            stored.query.cost_words,
            stored.query.reason,
        )
        for stored in queries
    )
    return Table("to label, best first", ("query", "case", "region", "cost", "why"), rows)


def _region_words(region: Box, shape: tuple[int, int, int]) -> str:
    """A region as people find it in a viewer; indices count from 0."""
    whole = [n == size for n, size in zip(region.shape, shape, strict=True)]
    if all(whole):
        return "the whole scan"
    axis = region.slice_axis
    spans = [f"{a}-{b - 1}" for a, b in zip(region.start, region.stop, strict=True)]
    if axis is None:
        return " x ".join(spans)
    others = [number for number in range(3) if number != axis]
    part = "" if all(whole[n] for n in others) else f", {' x '.join(spans[n] for n in others)}"
    return f"slice {region.start[axis]} of axis {axis}{part}"


def _if_any(count: int, what: str) -> tuple[str, ...]:
    return (f"{count} {what}",) if count else ()
