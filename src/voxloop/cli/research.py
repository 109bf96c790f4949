"""The verbs that play with a simulated annotator: `simulate`, `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voxloop.cli.options import JsonOption
from voxloop.cli.render import Screen
from voxloop.cli.result import Result, Table, counted

if TYPE_CHECKING:  # numpy and torch, which `voxloop --help` can do without
    from voxloop.workspace.actions.demo import DemoResult

__all__ = ["demo", "register", "simulate"]


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
        Path, typer.Option("--out", "-o", help="Folder for the results; continued if it exists.")
    ] = Path("simulation"),
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            help="A strategy to compare; once for each.", show_default="entropy, foreground_random"
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="Campaigns per strategy; the seeds count from 0.")
    ] = 1,
    seed_size: Annotated[int, typer.Option(min=1, help="Slices before the first model.")] = 16,
    query_size: Annotated[int, typer.Option(min=1, help="Slices per round after that.")] = 16,
    rounds: Annotated[int, typer.Option(min=0, help="Rounds after the first model.")] = 3,
    minutes: Annotated[float, typer.Option(help="Wall time of each training.")] = 1.5,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Optimiser steps of each training, instead of minutes: exactly equal budgets.",
            show_default="none",
        ),
    ] = None,
    test_share: Annotated[
        float, typer.Option(help="Share of the cases that is scored and never asked for.")
    ] = 0.25,
    json: JsonOption = False,
) -> int:
    """Compare query strategies on a labelled data set, with a simulated annotator."""
    from voxloop.train.config import TrainConfig
    from voxloop.workspace.actions.simulate import Simulation
    from voxloop.workspace.actions.simulate import simulate as action

    screen = Screen(json=json)
    simulation = Simulation(
        strategies=tuple(strategy or Simulation().strategies),
        seeds=tuple(range(seeds)),
        seed_size=seed_size,
        query_size=query_size,
        rounds=rounds,
        train=TrainConfig(steps=steps, minutes=minutes),
        test_share=test_share,
    )
    with screen.progress() as progress:
        done = action(dataset, simulation, out, progress)
    columns = ("strategy", "seeds", "area under the curve", "final Dice")
    result = Result(
        summary=f"{counted(len(done.campaigns), 'campaign')} on {done.pool_cases} cases of the "
        f"pool, scored on {counted(done.test_cases, 'test case')}",
        document=done.to_json(),
        tables=(Table("strategies at equal cost", columns, done.areas),),
        wrote=done.wrote,
        warnings=("one seed says nothing about a strategy; use --seeds 3 or more",)
        if seeds == 1
        else (),
        next_step=f"open {done.wrote[0]}",
    )
    return screen.show(result)


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
