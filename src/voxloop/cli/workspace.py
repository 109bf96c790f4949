"""The verbs about a workspace's cases: `init`, `add`, `info`, `collect`, `export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from voxloop.cli.estimates import estimate_table
from voxloop.cli.labels import LabelOption, parse_labels
from voxloop.cli.options import HERE, AskedOption, AuthorOption, JsonOption, WorkspaceOption
from voxloop.cli.render import Screen
from voxloop.cli.result import Result, Table, counted
from voxloop.errors import UsageError

if TYPE_CHECKING:  # numpy and the catalogue, which `voxloop --help` can do without
    from voxloop.volume.labels import LabelTable
    from voxloop.workspace.actions.info import InfoResult

__all__ = ["LookedAtPolicy", "add", "collect", "export", "info", "init", "register"]

LookedAtPolicy = Literal["auto", "marked", "queries", "labelled-slices", "all"]
"""The values of `voxloop.workspace.delivery.LookedAt`, written out so that help stays quick."""


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (init, add, info, collect, export):
        app.command()(command)


def init(
    folder: Annotated[Path, typer.Argument(help="Where to make it; created if need be.")],
    *,
    label: LabelOption = None,
    labels_from: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="A data set's folder whose label table is taken."),
    ] = None,
    name: Annotated[
        str, typer.Option(help="The workspace's name for people.", show_default="the folder's name")
    ] = "",
    author: Annotated[
        str, typer.Option(help="Who makes it, for the audit trail.", show_default="the system user")
    ] = "",
    json: JsonOption = False,
) -> int:
    """Make a workspace for one table of labels."""
    from voxloop.workspace.actions.init import init as action

    table = _label_table(label or [], labels_from)
    done = action(folder, table, name=name, actor=author)
    names = ", ".join(f"{text} = {value}" for value, text in table.names.items())
    result = Result(
        summary=f'workspace "{done.workspace.name}" for {names}',
        document=done.to_json(),
        wrote=(done.workspace.root,),
        next_step=done.next_step,
    )
    return Screen(json=json).show(result)


def add(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="A data set's folder (nnU-Net v2, Decathlon, or plain scans), or single scans."
        ),
    ],
    *,
    workspace: WorkspaceOption = HERE,
    copy: Annotated[
        bool,
        typer.Option("--copy", help="Copy the scans; otherwise they are used where they lie."),
    ] = False,
    with_labels: Annotated[
        bool,
        typer.Option(
            "--with-labels", help="Take the label maps beside the scans as first annotations."
        ),
    ] = False,
    asked: AskedOption = None,
    author: AuthorOption = "",
    json: JsonOption = False,
) -> int:
    """Take scans into the workspace: all of them or, if any is wrong, none."""
    from voxloop.workspace.actions.add import add as action
    from voxloop.workspace.workspace import Workspace

    screen = Screen(json=json)
    opened = Workspace.open(workspace)
    source = sources[0] if len(sources) == 1 and sources[0].is_dir() else sources
    with screen.progress() as progress:
        done = action(
            opened, source, copy=copy, with_labels=with_labels, asked=asked, actor=author,
            progress=progress,
        )  # fmt: skip
    result = Result(
        summary=f"added {counted(len(done.added), 'case')}, "
        f"{len(done.annotated)} of them annotated",
        document=done.to_json(),
        wrote=(opened.layout.images,),
        next_step=done.next_step,
    )
    return screen.show(result)


def info(*, workspace: WorkspaceOption = HERE, json: JsonOption = False) -> int:
    """Say how the workspace stands and what to do next."""
    from voxloop.workspace.actions.info import info as action
    from voxloop.workspace.workspace import Workspace

    found = action(Workspace.open(workspace))
    result = Result(
        summary=f'workspace "{found.name}": {counted(len(found.cases), "case")}, '
        f"{found.voxel_share:.1%} of the voxels looked at, {counted(len(found.rounds), 'round')}, "
        f"{found.open_queries} queries open",
        document=found.to_json(),
        tables=_info_tables(found),
        warnings=(
            *(f"the last job of kind {kind} was interrupted" for kind in found.interrupted),
            *(str(problem) for problem in found.changed_scans),
        ),
        next_step=found.next_step,
    )
    return Screen(json=json).show(result)


def collect(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="A folder of label maps named by case, single label maps, or a folder that "
            "`voxloop pack` wrote."
        ),
    ],
    *,
    workspace: WorkspaceOption = HERE,
    looked_at: Annotated[
        LookedAtPolicy | None,
        typer.Option(
            help="How to tell where somebody looked: where the map has not the ignore value "
            "(marked), in the open queries (queries), in slices with a label (labelled-slices), "
            "everywhere (all), or by what fits (auto).",
            show_default="the workspace's setting",
        ),
    ] = None,
    axis: Annotated[
        int | None,
        typer.Option(
            help="Array axis across which slices count, 0 to 2.", show_default="the case's"
        ),
    ] = None,
    asked: AskedOption = None,
    author: Annotated[
        str,
        typer.Option(help="The annotator.", show_default="the workspace's, or system user"),
    ] = "",
    seconds: Annotated[
        float | None,
        typer.Option(help="Time the whole delivery took, in seconds.", show_default="not known"),
    ] = None,
    ignore_value: Annotated[
        int | None,
        typer.Option(help="A value that means not looked at, beside 255.", show_default="none"),
    ] = None,
    confirm: Annotated[
        list[int] | None,
        typer.Option(
            metavar="QUERY",
            help="Number of a query in a pack whose proposal is right as it is; once for each.",
        ),
    ] = None,
    json: JsonOption = False,
) -> int:
    """Store label maps that people have drawn; nothing older is ever overwritten."""
    from voxloop.workspace.actions.checked_delivery import CollectOptions
    from voxloop.workspace.actions.collect import collect as action
    from voxloop.workspace.actions.info import info as look
    from voxloop.workspace.delivery import LookedAt
    from voxloop.workspace.workspace import Workspace

    screen = Screen(json=json)
    opened = Workspace.open(workspace)
    policy = None if looked_at is None else LookedAt(looked_at)
    names = None if asked is None else tuple(asked)
    options = CollectOptions(
        policy, axis, names, author, seconds, ignore_value, confirm=frozenset(confirm or ())
    )
    with screen.progress() as progress:
        done = action(opened, sources, options, progress)
    result = Result(
        summary=f"stored {counted(len(done.stored), 'annotation')}, "
        f"{len(done.unchanged)} said nothing new, {len(done.answered)} queries answered"
        + (f", {len(done.untouched)} not touched" if done.untouched else ""),
        document=done.to_json(),
        wrote=tuple(opened.layout.revision_map(r.case_id, r.number) for r in done.stored),
        warnings=done.warnings,
        next_step=look(opened).next_step,
    )
    return screen.show(result)


def export(
    folder: Annotated[Path, typer.Argument(help="Where to write; must be absent or empty.")],
    *,
    workspace: WorkspaceOption = HERE,
    layout: Annotated[
        Literal["nnunet", "msd"],
        typer.Option(help="nnU-Net v2 raw data, or the layout of the Decathlon (msd)."),
    ] = "nnunet",
    format_: Annotated[
        Literal["onnx", "openvino", "monai-bundle"] | None,
        typer.Option("--format", help="Write the model instead, for other programs to run."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="The model's file, with --format.", show_default="the workspace's newest"
        ),
    ] = None,
    json: JsonOption = False,
) -> int:
    """Write what is annotated as a data set for other tools, or the model for other programs.

    In a data set, what nobody looked at leaves as `ignore`.
    """
    from voxloop.workspace.actions.export import export as action
    from voxloop.workspace.workspace import Workspace

    screen = Screen(json=json)
    if format_ is not None:
        return _export_model(screen, folder, format_, model, workspace)
    if model is not None:
        raise UsageError("--model needs --format: onnx, openvino or monai-bundle")
    with screen.progress() as progress:
        done = action(Workspace.open(workspace), folder, layout=layout, progress=progress)
    left_out = ", ".join(done.left_out)
    result = Result(
        summary=f"exported {counted(len(done.cases), 'case')}",
        document=done.to_json(),
        wrote=(done.folder,),
        warnings=(f"left out, since not all labels were asked for: {left_out}",)
        if left_out
        else (),
    )
    return screen.show(result)


def _export_model(
    screen: Screen,
    folder: Path,
    form: Literal["onnx", "openvino", "monai-bundle"],
    model: Path | None,
    workspace: Path,
) -> int:
    from voxloop.workspace.actions.export_model import export_model as action
    from voxloop.workspace.learning import newest_model
    from voxloop.workspace.workspace import Workspace

    name = "model"
    if model is None:
        opened = Workspace.open(workspace)
        model, name = newest_model(opened), opened.name
    done = action(model, folder, form, name=name)
    result = Result(
        summary=f"exported the model of {', '.join(done.labels)} as {form}",
        document=done.to_json(),
        wrote=done.files,
    )
    return screen.show(result)


def _label_table(written: list[str], labels_from: Path | None) -> LabelTable:
    """The table that `--label` or `--labels-from` asks for."""
    if bool(written) == (labels_from is not None):
        raise UsageError("say which labels there are: either --label NAME, or --labels-from FOLDER")
    if labels_from is None:
        return parse_labels(written)
    from voxloop.dataset.layouts import read_dataset

    table = read_dataset(labels_from).labels
    if table is None:
        raise UsageError(f"the data set {labels_from} has no label table; use --label NAME")
    return table


def _info_tables(found: InfoResult) -> tuple[Table, ...]:
    cases = tuple(
        (
            case.id,
            case.revisions,
            f"{case.voxel_share:.1%}",
            f"{case.slice_share:.1%}",
            "all" if len(case.asked) == len(found.labels) else ", ".join(case.asked),
        )
        for case in found.cases
    )
    columns = ("case", "annotations", "voxels looked at", "slices looked at", "labels looked for")
    labels = tuple((name, voxels) for name, voxels in found.labels.items())
    rounds = tuple((number, stage) for number, stage in found.rounds)
    quality = () if found.quality is None else (estimate_table(found.quality),)
    tables = (
        Table("cases", columns, cases),
        Table("labels", ("label", "annotated voxels"), labels),
        Table("rounds", ("round", "stage"), rounds),
        *quality,
    )
    return tuple(table for table in tables if table.rows)
