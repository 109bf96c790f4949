"""All labels of a map as smooth surfaces that share what they touch in, and are certified."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.errors import DataError
from voxloop.mesh.certificate.certify import Certificate, SearchedCrossings, judge
from voxloop.mesh.certificate.tolerances import Tolerances
from voxloop.mesh.certificate.yardstick import LABEL_SURFACE, yardsticks
from voxloop.mesh.extraction.between_slices import between_slices
from voxloop.mesh.extraction.extract import Extraction, absent, extract_interfaces
from voxloop.mesh.extraction.odds import Odds
from voxloop.mesh.fairing.budget import Budget
from voxloop.mesh.fairing.simplify import Simplified, simplify_interfaces
from voxloop.mesh.fairing.smooth import Smoothed, smooth_interfaces
from voxloop.mesh.interfaces import Interfaces
from voxloop.mesh.mesh import Mesh
from voxloop.volume.boxes import bounding_box
from voxloop.volume.volume import LabelMap

__all__ = ["MeshedLabels", "mesh_label", "mesh_labels"]

_SUB_VOXEL_SHARE = 0.2
"""Of a voxel: what smoothing may move surfaces by that odds have put between voxels already. They
have no steps, and half a voxel would take away what the odds know."""

_SEARCHED_ALONE = 500_000
"""Triangles of all labels together up to which each surface is searched for crossings by itself,
whatever the joint search found: a sixth more time. Of a whole body's two million triangles it
would be a third more, and the joint search is trusted where it finds none."""

_SEARCHED_TOGETHER = "all labels together, wherever smoothing could have made surfaces meet"


@dataclass(frozen=True, eq=False)
class MeshedLabels:
    """The surfaces of a label map.

    Attributes:
        interfaces: all surfaces together.
        surfaces: label value to its closed surface, ascending; absent labels have no entry.
        certificates: label value to the findings about its surface.
        extracted: label value to its surface before smoothing, which deviations are measured from.
        smoothed: what smoothing did.
        simplified: what simplification did; None where it was not asked for.
        changes: what was done besides smoothing, in words.
    """

    interfaces: Interfaces
    surfaces: dict[int, Mesh]
    certificates: dict[int, Certificate]
    extracted: dict[int, Mesh]
    smoothed: Smoothed
    simplified: Simplified | None
    changes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """True if nothing was found against any surface."""
        return all(certificate.passed for certificate in self.certificates.values())


def mesh_label(
    label_map: LabelMap, value: int, tolerances: Tolerances | None = None
) -> tuple[Mesh, Certificate]:
    """One label's surface, as if there were no others, and its certificate.

    Raises:
        DataError: if no voxel has the label.
    """
    made = mesh_labels(label_map, tolerances, values=(value,))
    if value not in made.surfaces:
        raise DataError(absent(label_map, value))
    return made.surfaces[value], made.certificates[value]


def mesh_labels(
    label_map: LabelMap,
    tolerances: Tolerances | None = None,
    *,
    values: Collection[int] | None = None,
    triangles: int | None = None,
    odds: Odds | None = None,
) -> MeshedLabels:
    """Make a surface of every label that is present, all of them together.

    Thick slices are interpolated between first. Surfaces are extracted and smoothed together and
    perhaps simplified, so that touching labels share their triangles. No vertex leaves the budget:
    `tolerances.tolerance_mm`, where given, else half a voxel of the map along each axis, a fifth
    where odds have taken the steps away already.

    Args:
        label_map: any grid.
        tolerances: what the certificates allow; the defaults where None.
        values: labels to take, all others count as outside; all where None.
        triangles: how many are wanted at most, of all labels together; the budget wins.
        odds: how likely labels are at the map's voxels; surfaces then run between voxels where
            two labels are equally likely, and have the volumes that this gives. Thick slices are
            not interpolated between: odds tell where between them surfaces run.

    Raises:
        UsageError: if fewer than 4 triangles are wanted.
    """
    allowed = tolerances or Tolerances()
    fine = label_map
    if odds is None:
        label_map = _around_labels(label_map, values)
        fine = between_slices(label_map)
    extraction = extract_interfaces(fine, values=values, odds=odds)
    budget = _budget(label_map, allowed, sub_voxel=odds is not None)
    smoothed = smooth_interfaces(
        extraction, budget, volume_factors=_volume_factors(label_map, fine, extraction, odds)
    )
    interfaces, crossings, simplified = smoothed.interfaces, smoothed.crossings, None
    if triangles is not None and len(interfaces.faces) > triangles:
        extracted_mm = extraction.interfaces.vertices_mm
        simplified = simplify_interfaces(interfaces, budget, triangles, extracted_mm=extracted_mm)
        interfaces, crossings = simplified.interfaces, simplified.crossings
    changes = tuple(_changes(label_map, fine, smoothed, simplified, odds))
    extracted = {value: extraction.interfaces.surface(value) for value in interfaces.values}
    measured = yardsticks(label_map, extracted, surface_is=_surface_is(label_map, fine, odds))
    if odds is not None:
        measured = {value: each.of_surface() for value, each in measured.items()}
    elif fine is not label_map:
        measured = {value: each.centred_by_surface() for value, each in measured.items()}
    # where the joint search found crossings, the places are looked for in each surface
    alone = bool(crossings) or len(interfaces.faces) <= _SEARCHED_ALONE
    surfaces, certificates = {}, {}
    for value, against in measured.items():
        surfaces[value] = interfaces.surface(value)
        certificates[value] = judge(
            surfaces[value],
            against,
            allowed,
            crossings=None if alone else SearchedCrossings.none(_SEARCHED_TOGETHER),
            changes=changes,
        )
    return MeshedLabels(
        interfaces, surfaces, certificates, extracted, smoothed, simplified, changes
    )


def _around_labels(label_map: LabelMap, values: Collection[int] | None) -> LabelMap:
    """The part of a map that holds the labels, and a voxel of what is around them."""
    wanted = np.zeros(256, dtype=bool)
    wanted[[v for v in (label_map.labels if values is None else values) if 0 < v < 255]] = True
    box = bounding_box(wanted[label_map.array])
    if box is None:
        return label_map
    box = box.padded(1, label_map.geometry.shape)
    array, geometry = label_map.array[box.slices], label_map.geometry.part(box)
    return LabelMap(array, geometry, label_map.labels)


def _budget(label_map: LabelMap, allowed: Tolerances, *, sub_voxel: bool) -> Budget:
    """How far smoothing may move vertices."""
    if allowed.tolerance_mm is not None:
        return Budget.millimetres(allowed.tolerance_mm)
    # of the map's own grid: between thick slices a surface is less certain across them
    return Budget.voxels(label_map.geometry, _SUB_VOXEL_SHARE if sub_voxel else 0.5)


def _surface_is(label_map: LabelMap, fine: LabelMap, odds: Odds | None) -> str:
    if odds is not None:
        return f"{LABEL_SURFACE}, put between voxels by probabilities"
    return LABEL_SURFACE if fine is label_map else f"{LABEL_SURFACE}, between slices as well"


def _volume_factors(
    label_map: LabelMap, fine: LabelMap, extraction: Extraction, odds: Odds | None
) -> npt.NDArray[np.float64] | None:
    """Per label (256,) the volume it is to have over that of its (finer) voxels."""
    if odds is not None:
        wanted = np.zeros(256)
        for value in extraction.interfaces.values:
            wanted[value] = extraction.interfaces.surface(value).volume_mm3
        voxels = _voxel_volumes_mm3(label_map)
    elif fine is label_map:
        return None
    else:
        wanted, voxels = _voxel_volumes_mm3(label_map), _voxel_volumes_mm3(fine)
    present = (wanted > 0) & (voxels > 0)
    return np.asarray(np.divide(wanted, voxels, out=np.ones(256), where=present))


def _voxel_volumes_mm3(label_map: LabelMap) -> npt.NDArray[np.float64]:
    # slab by slab: counting widens every voxel to eight bytes
    counts = sum(np.bincount(slab.ravel(), minlength=256) for slab in label_map.array)
    return np.asarray(counts * label_map.geometry.voxel_volume_mm3)


def _changes(
    label_map: LabelMap,
    fine: LabelMap,
    smoothed: Smoothed,
    simplified: Simplified | None,
    odds: Odds | None,
) -> Iterator[str]:
    if odds is not None:
        yield "put between voxels where two labels are equally likely, volumes as that gives"
    if fine is not label_map:
        old, new = (
            " x ".join(f"{s:.3g}" for s in x.geometry.spacing_mm) for x in (label_map, fine)
        )
        yield f"interpolated between slices, voxels of {old} mm to {new} mm"
    if smoothed.brought_back:
        yield f"{smoothed.brought_back} vertices smoothed less, where surfaces would have crossed"
    if simplified is not None:
        text = f"simplified to {simplified.triangles} triangles in all"
        if simplified.stopped_by == "budget":
            text += f" instead of {simplified.wanted}: fewer would leave the tolerance"
        yield f"{text}, at most {simplified.largest_deviation_mm:.3g} mm from the label map"
