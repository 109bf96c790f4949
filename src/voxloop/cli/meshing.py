"""The verb that makes surfaces of plain files, without a workspace: `mesh`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voxloop.cli.labels import LabelOption, parse_labels
from voxloop.cli.options import JsonOption
from voxloop.cli.render import Screen
from voxloop.cli.result import Result, Table, counted

if TYPE_CHECKING:  # numpy and scipy, which `voxloop --help` can do without
    from voxloop.workspace.actions.mesh import MeshResult

__all__ = ["mesh", "register"]

FormatsOption = Annotated[
    str, typer.Option(help="Any of stl, 3mf, obj, ply and glb, with commas between them.")
]
ToleranceOption = Annotated[
    float | None,
    typer.Option(
        help="How far smoothing and simplification may move the surface, in mm.",
        show_default="half a voxel along each axis",
    ),
]
TrianglesOption = Annotated[
    int | None,
    typer.Option(
        help="At most so many for all labels of a case, as far as the tolerance permits; a "
        "telephone shows 200000.",
        show_default="no simplification",
    ),
]
MegabytesOption = Annotated[
    float | None,
    typer.Option(
        help="The same as the size of all binary STL files of a case.",
        show_default="no simplification",
    ),
]
IslandsOption = Annotated[
    float | None,
    typer.Option(
        help="Leave out loose pieces smaller than that, in ml.", show_default="none is left out"
    ),
]
WallOption = Annotated[
    float | None,
    typer.Option(help="Thicken thinner walls to that, in mm.", show_default="none is"),
]
GapOption = Annotated[
    float | None,
    typer.Option(
        help="Cut labels that touch apart by that, in mm, to print them separately.",
        show_default="they share their border",
    ),
]
CutOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PLANE",
        help="Cut in two: x, y or z through the middle, z=12.5 at a place, or POINT:NORMAL as "
        "1,2,3:0,0,1; in the scan's RAS millimetres; once for each plane.",
    ),
]
PinOption = Annotated[
    float,
    typer.Option(min=0.0, help="Diameter of the pins that hold cut parts together; 0 for none."),
]
HollowOption = Annotated[
    float | None,
    typer.Option(
        help="Hollow to walls of that, in mm, with two holes of 3.5 mm to drain.",
        show_default="solid",
    ),
]
PlateOption = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="Write a name plate as well, with this text engraved; {case} stands for the case. "
        "Give no patient's name.",
        show_default="none",
    ),
]
UncertaintyOption = Annotated[
    Path | None,
    typer.Option(
        help="A file of `segment --uncertainty`, or a folder of them; or of probabilities, as "
        "<case>_<label>.nii.gz for every label. Puts surfaces between voxels, where two labels are "
        "equally likely; drawn in mm on them, with an inner and an outer envelope.",
        show_default="surfaces halfway between voxels, then smoothed",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(mesh)


def mesh(
    label_map: Annotated[Path, typer.Argument(help="A label map, or a folder of them.")],
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the surfaces; created if need be.")
    ] = Path("meshes"),
    label: LabelOption = None,
    formats: FormatsOption = "stl",
    tolerance_mm: ToleranceOption = None,
    triangles: TrianglesOption = None,
    megabytes: MegabytesOption = None,
    islands_ml: IslandsOption = None,
    min_wall_mm: WallOption = None,
    gap_mm: GapOption = None,
    cut: CutOption = None,
    pin_mm: PinOption = 4.0,
    hollow_mm: HollowOption = None,
    plate: PlateOption = None,
    uncertainty: UncertaintyOption = None,
    json: JsonOption = False,
) -> int:
    """Make a printable surface of every label, each with its certificate."""
    from voxloop.mesh.shop.cut import Pins
    from voxloop.mesh.shop.order import Order
    from voxloop.mesh.shop.plane import parse_plane
    from voxloop.workspace.actions.mesh import mesh as action
    from voxloop.workspace.mesh_options import MeshOptions

    screen = Screen(json=json)
    table = parse_labels(label) if label else None
    order = Order(
        thinnest_mm=min_wall_mm,
        gap_mm=gap_mm,
        cuts=tuple(parse_plane(text) for text in cut or ()),
        pins=Pins(pin_mm, pin_mm) if pin_mm else None,
        wall_mm=hollow_mm,
    )
    chosen = tuple(name.strip().lower().lstrip(".") for name in formats.split(",") if name.strip())
    options = MeshOptions(
        chosen,
        tolerance_mm,
        triangles,
        megabytes,
        islands_ml,
        order,
        plate,
        uncertainty,
    )
    with screen.progress() as progress:
        done = action(label_map, out, labels=table, options=options, progress=progress)
    return screen.show(_mesh_result(done))


def _mesh_result(done: MeshResult) -> Result:
    found = [certificate for each in done.certificates.values() for certificate in each]
    passed = sum(certificate.passed for certificate in found)
    altered = sum(len(made) for parts in done.alterations.values() for made in parts.values())
    failed = f", {counted(len(done.failed), 'problem')}" if done.failed else ""
    on_purpose = f", {counted(altered, 'alteration')} on purpose" if altered else ""
    return Result(
        summary=f"{counted(len(found), 'surface')}, {passed} of them certified{on_purpose}{failed}",
        document=done.to_json(),
        tables=(_certificate_table(done),),
        wrote=done.wrote,
        warnings=(
            *(f"{case}, {text}" for case, texts in done.warnings.items() for text in texts),
            *map(str, done.failed),
        ),
        exit_code=3 if done.failed else 0,
    )


def _certificate_table(done: MeshResult) -> Table:
    rows = tuple(
        (
            case,
            certificate.name,
            "passed" if certificate.passed else "failed",
            certificate.triangles,
            certificate.volume_mm3 / 1000,
            certificate.volume_change_percent,
            certificate.distance.p95_mm,
        )
        for case, found in done.certificates.items()
        for certificate in found
    )
    columns = ("case", "label", "state", "triangles", "ml", "change %", "p95 error mm")
    return Table("surfaces", columns, rows)
