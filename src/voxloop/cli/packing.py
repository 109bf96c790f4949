"""The verb that hands out what is asked for: `pack`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from voxloop.cli.options import HERE, JsonOption, WorkspaceOption
from voxloop.cli.render import Screen
from voxloop.cli.result import Result, Table, counted

__all__ = ["pack", "register"]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(pack)


def pack(
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where to write; must be absent or empty.")
    ] = Path("packs"),
    workspace: WorkspaceOption = HERE,
    form: Annotated[
        Literal["nifti", "nrrd"],
        typer.Option(
            "--format", help="nifti for any editor; nrrd shows the labels by name in 3D Slicer."
        ),
    ] = "nifti",
    round_: Annotated[
        int | None,
        typer.Option("--round", min=0, help="Whose queries.", show_default="the current round"),
    ] = None,
    json: JsonOption = False,
) -> int:
    """Write each open query as a folder for any editor: image, proposal, where to label, how."""
    from voxloop.workspace.actions.pack import pack as action
    from voxloop.workspace.workspace import Workspace

    screen = Screen(json=json)
    opened = Workspace.open(workspace)
    with screen.progress() as progress:
        done = action(opened, out, form=form, round_number=round_, progress=progress)
    rows = tuple((q.number, q.case_id, q.folder, q.source) for q in done.pack.queries)
    result = Result(
        summary=f"packed {counted(len(rows), 'region')} of round {done.pack.round}",
        document=done.to_json(),
        tables=(Table("packs, most wanted first", ("query", "case", "folder", "proposal"), rows),),
        wrote=(done.folder / "readme.txt", done.folder),
        next_step=done.next_step,
    )
    return screen.show(result)
