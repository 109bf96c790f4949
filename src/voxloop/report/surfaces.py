"""The page of one case's surfaces: pictures, deviations, certificates, what was altered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from voxloop.mesh.certificate.certify import Certificate
from voxloop.mesh.certificate.distance import MOST_POINTS, signed_distance_mm
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.part import Part
from voxloop.mesh.shop.alteration import Alteration
from voxloop.report.content import Block, Figure, Report, Section, Table, Text
from voxloop.report.meshes import meshes_png
from voxloop.report.shading import ANTERIOR, LEFT
from voxloop.report.tables import certificate_table
from voxloop.report.value_map import value_map_png
from voxloop.volume.labels import LabelTable

__all__ = ["ShownSurfaces", "deviation_mm", "surfaces_report"]

FloatArray = npt.NDArray[np.float64]

_TWO_SIDES = (ANTERIOR, LEFT)

_MOST_ALTERATIONS = 200
"""Rows of the table; a noisy scan has thousands of thin places."""


@dataclass(frozen=True, eq=False)
class ShownSurfaces:
    """What there is to show of a case.

    Attributes:
        case_id: the case.
        labels: names and colours.
        surfaces: label value to certified surface.
        extracted: label value to the surface before smoothing.
        certificates: of the surfaces.
        parts: what was written for the printer.
        alterations: part's name to what was changed on it.
        doubt_mm: label value to the uncertainty (V,) at its vertices, where it is known.
        picture: of the certified surfaces, as PNG, if it was drawn already.
        warnings: in words.
    """

    case_id: str
    labels: LabelTable
    surfaces: Mapping[int, Mesh]
    extracted: Mapping[int, Mesh]
    certificates: Sequence[Certificate]
    parts: Sequence[Part] = ()
    alterations: Mapping[str, Sequence[Alteration]] = field(default_factory=dict)
    doubt_mm: Mapping[int, FloatArray] = field(default_factory=dict)
    picture: bytes = b""
    warnings: Sequence[str] = ()


def surfaces_report(shown: ShownSurfaces, provenance: tuple[tuple[str, str], ...]) -> Report:
    """Put together the page of a case.

    Args:
        shown: the case.
        provenance: name and value of everything that made the surfaces.
    """
    sections = [Section("Surfaces", _pictures(shown))] if shown.surfaces else []
    if shown.surfaces:
        sections.append(Section("Deviation from the label map", _deviations(shown)))
    if shown.doubt_mm:
        sections.append(Section("Uncertainty", _doubts(shown)))
    if shown.certificates:
        sections.append(Section("Certificates", (certificate_table(shown.certificates),)))
    return Report(
        title=f"Surfaces of {shown.case_id}",
        provenance=provenance,
        sections=(
            Section("Warnings", _warnings(shown)),
            *sections,
            Section("Altered on purpose", _alterations(shown)),
            Section("Limits", (Text(_LIMITS),)),
        ),
    )


def deviation_mm(mesh: Mesh, extracted: Mesh) -> FloatArray:
    """How far each vertex (V,) lies outside a surface before smoothing; negative inside.

    Of a large surface some vertices are measured, the others get the value of the nearest.
    """
    from scipy.spatial import cKDTree

    count = len(mesh.vertices_mm)
    if count <= MOST_POINTS:
        return signed_distance_mm(mesh.vertices_mm, extracted)
    measured = np.sort(np.random.default_rng(count).choice(count, MOST_POINTS, replace=False))
    places = mesh.vertices_mm[measured]
    _, nearest = cKDTree(places).query(mesh.vertices_mm)
    return np.asarray(signed_distance_mm(places, extracted)[nearest])


_LIMITS = (
    "Research use only; not a medical device, not for diagnosis or treatment. A surface is as "
    "right as the label map, never more: look at the label map on top of the scan before anything "
    "is printed. Errors of segmentation, of editing and of the printer add up."
)


def _pictures(shown: ShownSurfaces) -> tuple[Block, ...]:
    blocks: list[Block] = [
        Figure(
            shown.picture or meshes_png(shown.surfaces, shown.labels),
            alt=f"Surfaces of {shown.case_id} from three sides",
            caption="As they were certified. L and R are the patient's sides.",
        )
    ]
    if shown.parts and any(shown.alterations.values()):
        tints = {number: part.mesh for number, part in enumerate(shown.parts, start=1)}
        names = LabelTable({n: part.name for n, part in enumerate(shown.parts, start=1)})
        blocks.append(
            Figure(
                meshes_png(tints, names, views=_TWO_SIDES),
                alt=f"What was written of {shown.case_id}, after alterations, from two sides",
                caption="As they were written, after what is listed under Altered on purpose; "
                "colours of this picture only.",
            )
        )
    return tuple(blocks)


def _deviations(shown: ShownSurfaces) -> tuple[Block, ...]:
    values = [
        deviation_mm(shown.surfaces[value], shown.extracted[value]) for value in shown.surfaces
    ]
    meshes = list(shown.surfaces.values())
    picture = value_map_png(meshes, values, "outside the label map's surface", views=_TWO_SIDES)
    return (
        Figure(
            picture,
            alt=f"Deviation of each point of the surfaces of {shown.case_id} from the label map",
            caption="Distance to the label map's own surface: positive where the smoothed surface "
            "lies outside it. Stripes as wide as voxels are steps that were smoothed away.",
        ),
    )


def _doubts(shown: ShownSurfaces) -> tuple[Block, ...]:
    meshes = [shown.surfaces[value] for value in shown.doubt_mm]
    values = list(shown.doubt_mm.values())
    picture = value_map_png(meshes, values, "where else the border may lie", views=_TWO_SIDES)
    rows = tuple(
        (
            shown.labels.names[value],
            *(f"{np.percentile(doubt, share):.2f}" for share in (50, 95, 100)),
        )
        for value, doubt in shown.doubt_mm.items()
    )
    return (
        Text(
            "Half the distance, along the normal, between where the model is 95 % sure of the "
            "label and where it is 95 % sure of something else. It is the model's own doubt: an "
            "error that the model is sure of does not show."
        ),
        Figure(picture, alt=f"Uncertainty in millimetres on the surfaces of {shown.case_id}"),
        Table("Uncertainty over all vertices, mm", ("label", "median", "p95", "largest"), rows),
    )


def _alterations(shown: ShownSurfaces) -> tuple[Block, ...]:
    rows = [
        (
            name,
            made.what,
            f"{made.how_much:.3g} {made.unit}",
            ", ".join(f"{number:.1f}" for number in made.where_mm),
        )
        for name, found in shown.alterations.items()
        for made in found
    ]
    if not rows:
        return (Text("Nothing. The surfaces are those that were certified."),)
    blocks: list[Block] = [
        Text(
            "These differences from the label map were asked for. The certificates are of the "
            "surfaces before them."
        ),
        Table(
            "Alterations; places in the scan's world, RAS millimetres",
            ("part", "what", "how much", "where"),
            tuple(rows[:_MOST_ALTERATIONS]),
        ),
    ]
    if len(rows) > _MOST_ALTERATIONS:
        more = f"{len(rows) - _MOST_ALTERATIONS} more are listed in the file beside the surfaces."
        blocks.append(Text(more))
    return tuple(blocks)


def _warnings(shown: ShownSurfaces) -> tuple[Block, ...]:
    if not shown.warnings:
        return (Text("None."),)
    return tuple(Text(warning) for warning in shown.warnings)
