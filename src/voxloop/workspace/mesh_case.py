"""The surfaces of one case: made, changed for the printer, written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop import __version__
from voxloop.compute.atomic import write_bytes, write_json
from voxloop.errors import MissingExtraError
from voxloop.mesh.certificate.certify import Certificate
from voxloop.mesh.envelope import envelopes, surface_uncertainty
from voxloop.mesh.formats.names import file_stems
from voxloop.mesh.formats.sidecar import sidecar_document, write_sidecar
from voxloop.mesh.formats.writers import WRITERS
from voxloop.mesh.formats.written import Written
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.part import Part
from voxloop.mesh.shop.alteration import Alteration
from voxloop.mesh.shop.islands import clear_islands
from voxloop.mesh.shop.order import Piece, carry_out
from voxloop.mesh.shop.plate import in_front
from voxloop.mesh.shop.soundness import Soundness, inspect
from voxloop.mesh.surfaces import MeshedLabels, mesh_labels
from voxloop.report.html import write_html
from voxloop.report.meshes import meshes_png
from voxloop.report.surfaces import ShownSurfaces, surfaces_report
from voxloop.volume.volume import LabelMap, Volume
from voxloop.workspace.mesh_doubt import odds_from, probabilities_from
from voxloop.workspace.mesh_options import MeshOptions

__all__ = ["CaseSurfaces", "make_surfaces", "write_surfaces"]

FloatArray = npt.NDArray[np.float64]

_PLATE = "name plate"
_PLATE_COLOUR = (200, 200, 200)
_ONE_FILE_PER_PART = frozenset({"stl"})
"""Formats that cannot tell parts apart."""


@dataclass(frozen=True, eq=False)
class CaseSurfaces:
    """All that was made of a case.

    Attributes:
        case_id: the case.
        label_map: what it was made of, islands taken out.
        meshed: the certified surfaces.
        parts: what is written: surfaces as they were certified or altered, and a plate.
        envelopes: what is nearly sure to be a label, and what may be; where doubt is known.
        label_of: part's name to label value; the plate has none.
        alterations: part's name to what was changed on it.
        soundness: part's name to the findings about what was altered.
        doubt_mm: label value to the uncertainty (V,) at its vertices.
        absent: names of labels without a voxel.
    """

    case_id: str
    label_map: LabelMap
    meshed: MeshedLabels
    parts: tuple[Part, ...]
    envelopes: tuple[Part, ...]
    label_of: dict[str, int]
    alterations: dict[str, tuple[Alteration, ...]]
    soundness: dict[str, Soundness]
    doubt_mm: dict[int, FloatArray]
    absent: tuple[str, ...]

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """Of the surfaces before they were altered."""
        return tuple(self.meshed.certificates.values())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What somebody should know before printing."""
        failed = (f"{c.name}: {'; '.join(c.reasons)}" for c in self.certificates if not c.passed)
        unsound = (
            f"{name}, as altered: {'; '.join(found.reasons)}"
            for name, found in self.soundness.items()
            if found.reasons
        )
        missing = (f"no voxel is labelled {name!r}" for name in self.absent)
        return (*failed, *unsound, *missing)


@dataclass(eq=False)
class _Doubt:
    """What is known of where else the surfaces may lie."""

    at_vertices_mm: dict[int, FloatArray] = field(default_factory=dict)
    envelopes: list[Part] = field(default_factory=list)


def make_surfaces(
    case_id: str,
    label_map: LabelMap,
    options: MeshOptions,
    *,
    doubt: Sequence[Volume] = (),
    plate: Mesh | None = None,
) -> CaseSurfaces:
    """Make the surfaces of a case and whatever the options want done to them.

    Args:
        case_id: the case.
        label_map: its labels.
        options: what is wanted.
        doubt: entropies, or probabilities of labels, see `odds_from`; surfaces are put between
            voxels by it.
        plate: its name plate.

    Raises:
        DataError: if something cannot be done; the problems name the labels.
        LimitError: if something is too large.
    """
    below_ml = options.islands_ml
    cleared = label_map
    gone: dict[int, tuple[Alteration, ...]] = {}
    if below_ml is not None:
        cleared, gone = clear_islands(label_map, below_mm3=1000 * below_ml)
    odds = odds_from(doubt, cleared)
    meshed = mesh_labels(cleared, options.tolerances, triangles=options.most_triangles, odds=odds)
    known = _doubts(doubt, cleared, meshed) if doubt else _Doubt()
    names = label_map.labels.names
    pieces = carry_out(options.order, meshed.surfaces, names)
    parts, label_of, alterations, soundness = [], {}, {}, {}
    for piece in pieces:
        part = _part(piece, cleared, meshed, known)
        islands = gone.get(piece.value, ()) if piece.number == 1 else ()
        parts.append(part)
        label_of[part.name] = piece.value
        alterations[part.name] = (*islands, *piece.alterations)
        if piece.mesh is not meshed.surfaces[piece.value]:
            soundness[part.name] = inspect(piece.mesh, thinnest_mm=options.order.thinnest_mm)
    if plate is not None and parts:
        bounds = np.array([part.mesh.bounds_mm for part in parts])
        box = np.stack([bounds.min(axis=(0, 1)), bounds.max(axis=(0, 1))])
        parts.append(Part(_PLATE, in_front(plate, box), _PLATE_COLOUR))
    return CaseSurfaces(
        case_id,
        cleared,
        meshed,
        tuple(parts),
        tuple(known.envelopes),
        label_of,
        {name: made for name, made in alterations.items() if made},
        soundness,
        known.at_vertices_mm,
        tuple(name for value, name in names.items() if value not in meshed.surfaces),
    )


def write_surfaces(case: CaseSurfaces, out: Path, options: MeshOptions) -> tuple[Path, ...]:
    """Write a case's surfaces in every format, with certificates, sidecar, picture and page.

    Without jinja2 there is no page.

    Returns:
        What was written, surfaces first.

    Raises:
        StorageError: if the disk refuses.
    """
    written = [
        *_written(case.case_id, case.parts, out, options.formats),
        *_written(f"{case.case_id}_envelopes", case.envelopes, out, options.formats),
    ]
    paths = [path for each in written for path in each.paths]
    certificates = out / f"{case.case_id}_certificates.json"
    write_json(certificates, [found.to_json() for found in case.certificates])
    paths.append(certificates)
    if case.parts:
        sidecar = out / f"{case.case_id}_surfaces.json"
        write_sidecar(sidecar, _sidecar(case, written))
        picture = out / f"{case.case_id}_meshes.png"
        drawn = meshes_png(case.meshed.surfaces, case.label_map.labels)
        write_bytes(picture, drawn)
        paths += [sidecar, picture]
        page = out / f"{case.case_id}_meshes.html"
        try:
            write_html(page, surfaces_report(_shown(case, drawn), _provenance(case, options)))
            paths.append(page)
        except MissingExtraError:
            pass
    return tuple(paths)


def _doubts(doubt: Sequence[Volume], label_map: LabelMap, meshed: MeshedLabels) -> _Doubt:
    known = _Doubt()
    labels = label_map.labels
    for value, mesh in meshed.surfaces.items():
        probability = probabilities_from(doubt, label_map, value)
        known.at_vertices_mm[value] = surface_uncertainty(mesh, probability).values_mm
        both = envelopes(probability)
        colour = Part.of_label(mesh, labels, value).colour
        for surface, what in ((both.inner, "nearly sure"), (both.outer, "possible")):
            if surface is not None:
                known.envelopes.append(Part(f"{labels.names[value]}, {what}", surface, colour))
    return known


def _part(piece: Piece, label_map: LabelMap, meshed: MeshedLabels, known: _Doubt) -> Part:
    from scipy.spatial import cKDTree

    values = known.at_vertices_mm.get(piece.value)
    surface = meshed.surfaces[piece.value]
    if values is not None and piece.mesh is not surface:
        _, nearest = cKDTree(surface.vertices_mm).query(piece.mesh.vertices_mm)
        values = values[nearest]
    whole = Part.of_label(piece.mesh, label_map.labels, piece.value, values)
    if piece.of == 1:
        return whole
    return Part(f"{whole.name} {piece.number} of {piece.of}", piece.mesh, whole.colour, values)


def _written(
    stem: str, parts: tuple[Part, ...], out: Path, formats: tuple[str, ...]
) -> list[Written]:
    if not parts:
        return []
    made = []
    for name in formats:
        if name in _ONE_FILE_PER_PART:
            stems = file_stems([part.name for part in parts])
            made += [
                WRITERS[name](out / f"{stem}_{own}.{name}", [part])
                for own, part in zip(stems, parts, strict=True)
            ]
        else:
            made.append(WRITERS[name](out / f"{stem}.{name}", parts))
    return made


def _sidecar(case: CaseSurfaces, written: list[Written]) -> dict[str, Any]:
    found = case.meshed.certificates
    document = sidecar_document(
        case.case_id,
        case.label_map.geometry,
        (*case.parts, *case.envelopes),
        written,
        certificates={name: found[value] for name, value in case.label_of.items()},
        alterations={
            name: [alteration.to_json() for alteration in made]
            for name, made in case.alterations.items()
        },
    )
    document["as_altered"] = {name: found.to_json() for name, found in case.soundness.items()}
    return document


def _shown(case: CaseSurfaces, picture: bytes) -> ShownSurfaces:
    return ShownSurfaces(
        case.case_id,
        case.label_map.labels,
        case.meshed.surfaces,
        case.meshed.extracted,
        case.certificates,
        case.parts,
        case.alterations,
        case.doubt_mm,
        picture,
        case.warnings,
    )


def _provenance(case: CaseSurfaces, options: MeshOptions) -> tuple[tuple[str, str], ...]:
    geometry = case.label_map.geometry
    share = "half" if options.uncertainty is None else "a fifth of"
    tolerance = f"{share} a voxel along each axis"
    if options.tolerance_mm is not None:
        tolerance = f"{options.tolerance_mm:g} mm"
    searched = dict.fromkeys(found.crossings.searched for found in case.certificates)
    return (
        ("voxloop", __version__),
        ("voxels", " x ".join(f"{s:.4g}" for s in geometry.spacing_mm) + " mm"),
        ("tolerance", tolerance),
        ("besides smoothing", "; ".join(case.meshed.changes) or "nothing"),
        ("crossings searched among", "; ".join(searched)),
    )
