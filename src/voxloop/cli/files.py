"""The verb that compares plain files, without a workspace: `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voxloop.cli.labels import LabelOption, parse_labels
from voxloop.cli.options import JsonOption
from voxloop.cli.render import Screen
from voxloop.cli.result import Result, Table, counted

if TYPE_CHECKING:  # numpy and scipy, which `voxloop --help` can do without
    from voxloop.metrics.table import Summary

__all__ = ["evaluate", "register"]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(evaluate)


def evaluate(
    *,
    reference: Annotated[
        Path, typer.Option(help="A label map taken as the truth, or a folder of them.")
    ],
    prediction: Annotated[
        Path, typer.Option(help="The label map to score, or a folder with the same names.")
    ],
    label: LabelOption = None,
    tolerance_mm: Annotated[
        float, typer.Option(help="Distance that counts as no error in the surface Dice, in mm.")
    ] = 1.0,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the tables.", show_default="none is written"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the intervals' resampling.")] = 0,
    json: JsonOption = False,
) -> int:
    """Score label maps against references, with intervals."""
    from voxloop.workspace.actions.evaluate import evaluate as action

    screen = Screen(json=json)
    table = parse_labels(label) if label else None
    with screen.progress() as progress:
        done = action(
            reference, prediction, labels=table, tolerance_mm=tolerance_mm, out=out, seed=seed,
            progress=progress,
        )  # fmt: skip
    cases = len({score.case_id for score in done.scores})
    result = Result(
        summary=f"scored {counted(cases, 'case')}",
        document=done.to_json(),
        tables=(_summary_table(done.per_volume),),
        wrote=done.wrote,
        warnings=tuple(f'prediction "{name}" has no reference' for name in done.unscored),
        next_step="" if out is not None else "add `--out FOLDER` to keep the tables",
    )
    return screen.show(result)


def _summary_table(summaries: tuple[Summary, ...]) -> Table:
    rows = tuple((s.name, s.metric, s.mean, _interval(s), s.n, s.undefined) for s in summaries)
    columns = ("label", "metric", "mean", "95 % interval", "n", "undefined")
    return Table("scores per volume", columns, rows)


def _interval(summary: Summary) -> str:
    if summary.low is None or summary.high is None:
        return summary.note
    return f"{summary.low:.3f} to {summary.high:.3f}"
