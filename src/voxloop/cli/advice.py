"""The verbs that say whether to go on: `forecast`, `referee`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from voxloop.cli.options import HERE, JsonOption, WorkspaceOption
from voxloop.cli.render import Screen
from voxloop.cli.result import Result, Table, counted

if TYPE_CHECKING:  # numpy, which `voxloop --help` can do without
    from voxloop.active.advice.referee import Judgement
    from voxloop.workspace.actions.forecast import RoundPoint

__all__ = ["forecast", "referee", "register"]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (forecast, referee):
        app.command()(command)


def forecast(
    *,
    workspace: WorkspaceOption = HERE,
    slices: Annotated[
        float | None,
        typer.Option(
            help="How many more slices would be labelled.",
            show_default="as many as in the last round",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="How much longer would be labelled, instead of slices; needs logged times.",
            show_default="none",
        ),
    ] = None,
    gain: Annotated[
        float, typer.Option(help="A smaller gain in Dice is not worth the labels.")
    ] = 0.005,
    probability: Annotated[
        float,
        typer.Option(help="How probable so small a gain must be before stopping is suggested."),
    ] = 0.8,
    json: JsonOption = False,
) -> int:
    """Forecast what more labels bring, from the validated rounds, and say whether to stop."""
    from voxloop.active.advice.forecast import LEVEL
    from voxloop.active.advice.stopping import StoppingRule
    from voxloop.workspace.actions.forecast import forecast as action
    from voxloop.workspace.workspace import Workspace

    screen = Screen(json=json)
    rule = StoppingRule(gain, probability)
    done = action(Workspace.open(workspace), slices=slices, minutes=minutes, rule=rule)
    summary = f"{done.sentence}. {done.advice.reason[0].upper()}{done.advice.reason[1:]}."
    if done.forecast is not None:
        found = done.forecast
        summary = (
            f"{done.sentence} Dice ({LEVEL:.0%} interval), to {found.value:.3f} "
            f"[{found.low:.3f}, {found.high:.3f}]. "
            f"{'Stopping is suggested' if done.advice.stop else 'Going on is suggested'}: "
            f"{done.advice.reason}."
        )
    numbers = ", ".join(map(str, done.unvalidated))
    result = Result(
        summary=summary,
        document=done.to_json(),
        tables=(_round_table(done.points),) if done.points else (),
        warnings=(f"not validated, so left out: round {numbers}",) if numbers else (),
        next_step=done.next_step,
    )
    return screen.show(result)


def referee(
    *,
    workspace: WorkspaceOption = HERE,
    seed: Annotated[int, typer.Option(min=0, help="Of the permutations of the test.")] = 0,
    json: JsonOption = False,
) -> int:
    """Say whether the query strategy pays, from answered queries and control regions."""
    from voxloop.workspace.actions.referee import referee as action
    from voxloop.workspace.workspace import Workspace

    screen = Screen(json=json)
    opened = Workspace.open(workspace)
    with screen.progress() as progress:
        done = action(opened, seed=seed, progress=progress)
    controls = sum(answer.is_control for answer in done.answers)
    summary = (
        f"{done.judgements[0].strategy}: {done.judgements[0].in_words()}. {done.caveat}"
        if done.judgements
        else "too early to say: no query of a strategy with a model is answered yet"
    )
    result = Result(
        summary=f"{summary} ({counted(len(done.answers) - controls, 'answer')}, "
        f"{counted(controls, 'control')})",
        document=done.to_json(),
        tables=(_judgement_table(done.judgements),) if done.judgements else (),
        next_step=done.next_step,
    )
    return screen.show(result)


def _round_table(points: tuple[RoundPoint, ...]) -> Table:
    rows = tuple(
        (point.number, f"{point.measured.budget:.1f}", point.measured.score, point.measured.error)
        for point in points
    )
    return Table(
        "what the forecast rests on: Dice on cases left out",
        ("round", "slices labelled", "Dice", "error between rounds"),
        rows,
    )


def _judgement_table(judgements: tuple[Judgement, ...]) -> Table:
    rows = tuple(
        (
            found.strategy,
            found.verdict.value,
            f"{found.advantage:+.0%}" if found.chosen and found.controls else "-",
            f"[{found.low:+.0%}, {found.high:+.0%}]" if found.is_bounded else "-",
            f"{found.p_value:.2g}",
            found.chosen,
            found.controls,
        )
        for found in judgements
    )
    return Table(
        "error found per cost, against control regions of the same rounds",
        ("strategy", "verdict", "advantage", "95 % interval", "p", "regions", "controls"),
        rows,
    )
