"""The verbs that play with a simulated annotator: `simulate`, `demo`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voxloop.cli.options import JsonOption
from voxloop.cli.render import Screen
from voxloop.cli.result import Result, Table, counted
from voxloop.errors import UsageError

if TYPE_CHECKING:  # numpy and torch, which `voxloop --help` can do without
    from voxloop.active.trial.campaign import Campaign
    from voxloop.workspace.actions.demo import DemoResult
    from voxloop.workspace.actions.simulate import SimulateResult

__all__ = ["OnlyOption", "RulesOption", "demo", "register", "simulate"]


RulesOption = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="A TOML file with these settings and the rarer ones: start, first_steps, full_steps, "
        "warm_start, minutes, regions, side_mm, jitter_mm, missed, test_share.",
        show_default="none",
    ),
]

OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STRATEGY:SEED",
        help="A campaign to play, as elsewhere the others; once for each. `start` and `full` "
        "name what the strategies share.",
        show_default="all",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (simulate, demo):
        app.command()(command)


def simulate(
    dataset: Annotated[
        Path, typer.Argument(help="A data set's folder with a label map for every case.")
    ],
    *,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Folder for the results; continued, and shared with other processes.",
        ),
    ] = Path("simulation"),
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            help="A strategy to compare, or the place of one's own; once for each.",
            show_default="hybrid, foreground_random",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, help="Campaigns per strategy; the seeds count from 0.", show_default="1"
        ),
    ] = None,
    rules: RulesOption = None,
    budgets: Annotated[
        str | None,
        typer.Option(
            help="Slices labelled in all before each model; the first are chosen without one.",
            show_default="16,32,48,64",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Optimiser steps of each training: exactly equal budgets.",
            show_default="1.5 minutes",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that play campaigns, a thread each if several.")
    ] = 1,
    only: OnlyOption = None,
    json: JsonOption = False,
) -> int:
    """Compare query strategies on a labelled data set, with a simulated annotator."""
    from voxloop.compute.executor import InProcess, Processes
    from voxloop.workspace.actions.simulate import simulate as action
    from voxloop.workspace.simulation import Simulation, one_thread

    screen = Screen(json=json)
    given = {
        "strategies": strategy or None,
        "seeds": seeds,
        "budgets": _numbers(budgets),
        "steps": steps,
    }
    document = _read_rules(rules) | {k: v for k, v in given.items() if v is not None}
    with screen.progress() as progress:
        done = action(
            dataset,
            Simulation.from_json(document),
            out,
            progress,
            executor=InProcess() if workers == 1 else Processes(workers, one_thread),
            only=_campaigns(only or []),
        )
    return screen.show(_simulated(done))


def _read_rules(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} is no TOML file: {error}") from error


def _campaigns(named: list[str]) -> tuple[Campaign, ...]:
    from voxloop.active.trial.campaign import Campaign

    found = []
    for text in named:
        strategy, _, seed = text.rpartition(":")
        if not strategy or not seed.isdecimal():
            raise UsageError(f"--only takes a strategy and a seed, as entropy:0; found {text!r}")
        found.append(Campaign(strategy, int(seed)))
    return tuple(found)


def _simulated(done: SimulateResult) -> Result:
    played = counted(len(done.campaigns), "campaign")
    summary = (
        f"{played} on {done.pool_cases} cases of the pool, scored on "
        f"{counted(done.test_cases, 'test case')}"
    )
    if done.comparison is None:
        missing = counted(len(done.missing), "campaign")
        return Result(
            summary=f"{summary}; {missing} still to play",
            document=done.to_json(),
            wrote=done.wrote,
            next_step="run the same command without --only for the rest and the comparison",
        )
    columns = ("strategy", "seeds", "area under the curve", "final Dice", "mean rank")
    one_seed = len(done.comparison.grid.seeds) == 1
    lonely = ("one seed says nothing about a strategy; use --seeds 5 or more",) if one_seed else ()
    return Result(
        summary=summary,
        document=done.to_json(),
        tables=(Table("strategies at equal cost", columns, done.standings),),
        wrote=done.wrote,
        warnings=(*lonely, *done.warnings),
        next_step=f"open {done.wrote[0]}",
    )


def _numbers(text: str | None) -> list[int] | None:
    """Whole numbers between commas."""
    try:
        return None if text is None else [int(word) for word in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--budgets are whole numbers with commas, found {text!r}") from error


def demo(
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the results; continued if it exists.")
    ] = Path("demo-output"),
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder in nnU-Net v2 layout with imagesTr, labelsTr, imagesTs and labelsTs.",
            show_default="the bundled sample",
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds after the seed set.")] = 3,
    minutes: Annotated[float, typer.Option(help="Wall time of each training.")] = 1.4,
    steps: Annotated[
        int | None,
        typer.Option(help="Optimiser steps of each training, instead.", show_default="none"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    json: JsonOption = False,
) -> int:
    """Play the whole loop on real scans: ask, answer, train, segment, score, mesh, report."""
    from voxloop.train.config import TrainConfig
    from voxloop.workspace.actions.demo import demo as action
    from voxloop.workspace.actions.demo import sample_folder

    screen = Screen(json=json)
    config = TrainConfig(steps=steps, minutes=minutes, seed=seed)
    with screen.progress() as progress:
        done = action(data or sample_folder(), out, rounds=rounds, config=config,
                      progress=progress)  # fmt: skip
    last = next(iter(done.arms.values()))[-1]
    result = Result(
        summary=f"mean foreground Dice {_dice(last.dice.mean, last.dice.low, last.dice.high)} on "
        f"{last.dice.cases} test cases with {last.share:.1%} of the pool's slices annotated, "
        f"in {done.seconds / 60:.1f} minutes",
        document=done.to_json(),
        tables=(_arms_table(done),),
        wrote=done.wrote,
        warnings=() if done.meshes_passed else ("a mesh did not pass; see the report",),
        next_step=f"open {done.wrote[0]}",
    )
    return screen.show(result)


def _arms_table(done: DemoResult) -> Table:
    keys = tuple(done.arms)
    rows = tuple(
        (
            str(at_once[0].slices),
            f"{at_once[0].share:.1%}",
            *(_dice(p.dice.mean, p.dice.low, p.dice.high) for p in at_once),
        )
        for at_once in zip(*done.arms.values(), strict=True)
    )
    title = "mean foreground Dice on the test cases [95 % interval]"
    return Table(title, ("slices", "of the pool", *keys), rows)


def _dice(mean: float, low: float | None, high: float | None) -> str:
    return f"{mean:.3f}" if low is None or high is None else f"{mean:.3f} [{low:.3f}, {high:.3f}]"
