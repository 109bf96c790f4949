"""The verb that applies a model: `segment`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voxloop.cli.options import HERE, JsonOption, WorkspaceOption
from voxloop.cli.render import Screen
from voxloop.cli.result import Result, Table, counted

if TYPE_CHECKING:  # numpy, which `voxloop --help` can do without
    from voxloop.workspace.actions.segment import SegmentResult

__all__ = ["register", "segment"]

_GIB = 1 << 30


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(segment)


def segment(
    scans: Annotated[
        list[Path], typer.Argument(help="A folder of scans or a data set, or single scans.")
    ],
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the label maps; created if need be.")
    ] = Path("predictions"),
    model: Annotated[
        Path | None,
        typer.Option(help="The model's file.", show_default="the workspace's newest"),
    ] = None,
    workspace: WorkspaceOption = HERE,
    quality: Annotated[
        str, typer.Option(help="Accuracy for time: fast, default or best.")
    ] = "default",
    engine: Annotated[
        str,
        typer.Option(
            help="What runs the network: torch, openvino or onnxruntime, with -bf16 or -fp32 for "
            "one precision; auto takes the fastest that agrees with torch."
        ),
    ] = "auto",
    memory: Annotated[
        float,
        typer.Option(help="GiB that may be held; a scan that needs more is refused beforehand."),
    ] = 4.0,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="Also write how unsure the model is, per voxel.")
    ] = False,
    estimate: Annotated[
        bool,
        typer.Option(
            "--estimate/--no-estimate",
            help="Predict how good each result is, if the model was validated; the network looks "
            "at each scan once more for it.",
        ),
    ] = True,
    layout: Annotated[
        str,
        typer.Option(help="Of the folder: plain, or nnunet for nnU-Net's evaluation."),
    ] = "plain",
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Segment everything anew, also replacing label maps of others."
        ),
    ] = False,
    json: JsonOption = False,
) -> int:
    """Apply a model to scans: a label map for each, and a summary of all; resumes."""
    from voxloop.predict.options import InferenceOptions
    from voxloop.workspace.actions.segment import segment as action
    from voxloop.workspace.learning import newest_model
    from voxloop.workspace.workspace import Workspace

    screen = Screen(json=json)
    file, cache = model, None
    if file is None:
        opened = Workspace.open(workspace)
        file, cache = newest_model(opened), opened.layout.cache / "engines"
    options = InferenceOptions(
        quality,  # type: ignore[arg-type] # which checks the word itself
        engine,
        int(memory * _GIB),
        uncertainty,
        estimate,
        cache,
    )
    with screen.progress() as progress:
        done = action(
            file, scans, out, progress, options=options, overwrite=overwrite,
            layout=layout,  # type: ignore[arg-type]
        )  # fmt: skip
    return screen.show(_result(done))


def _result(done: SegmentResult) -> Result:
    checks = tuple((case.id, case.checks) for case in done.summary.worst_first if case.checks)
    failed = done.summary.counts["failed"]
    to_check = f", {len(checks)} to check before use" if checks else ""
    rows = tuple((case_id, "; ".join(reasons)) for case_id, reasons in checks)
    return Result(
        summary=f"{counted(len(done.written), 'scan')} segmented in {done.seconds:.1f} s, "
        f"{len(done.kept)} were done before, {failed} failed{to_check}",
        document=done.to_json(),
        tables=(Table("check before use", ("case", "why"), rows),) if rows else (),
        wrote=(*done.wrote, done.out),
        warnings=tuple(str(problem) for problem in done.failed),
        next_step=done.next_step,
        exit_code=done.exit_code,
    )
