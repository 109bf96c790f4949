"""All labels of a map as smooth surfaces that share what they touch in, and are certified."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.errors import DataError
from voxloop.mesh.certificate.certify import Certificate, judge
from voxloop.mesh.certificate.tolerances import Tolerances
from voxloop.mesh.certificate.yardstick import LABEL_SURFACE, yardsticks
from voxloop.mesh.extraction.between_slices import between_slices
from voxloop.mesh.extraction.extract import ProbabilityArray, absent, extract_interfaces
from voxloop.mesh.fairing.budget import Budget
from voxloop.mesh.fairing.simplify import Simplified, simplify_interfaces
from voxloop.mesh.fairing.smooth import Smoothed, smooth_interfaces
from voxloop.mesh.interfaces import Interfaces
from voxloop.mesh.mesh import Mesh
from voxloop.volume.boxes import bounding_box
from voxloop.volume.volume import LabelMap

__all__ = ["MeshedLabels", "mesh_label", "mesh_labels"]


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
    probabilities: ProbabilityArray | None = None,
) -> MeshedLabels:
    """Make a surface of every label that is present, all of them together.

    Thick slices are interpolated between first. Surfaces are extracted and smoothed together and
    perhaps simplified, so that touching labels share their triangles. No vertex leaves the budget:
    `tolerances.tolerance_mm`, where given, else half a voxel of the map along each axis.

    Args:
        label_map: any grid.
        tolerances: what the certificates allow; the defaults where None.
        values: labels to take, all others count as outside; all where None.
        triangles: how many are wanted at most, of all labels together; the budget wins.
        probabilities: (C, I, J, K), see `extract_interfaces`; thick slices are then not
            interpolated between, since probabilities tell where between them surfaces run.

    Raises:
        DataError: if the probabilities do not fit the label map.
        UsageError: if fewer than 4 triangles are wanted.
    """
    allowed = tolerances or Tolerances()
    fine = label_map
    if probabilities is None:
        label_map = _around_labels(label_map, values)
        fine = between_slices(label_map)
    extraction = extract_interfaces(fine, values=values, probabilities=probabilities)
    budget = (
        # of the map's own grid: between thick slices a surface is less certain across them
        Budget.voxels(label_map.geometry)
        if allowed.tolerance_mm is None
        else Budget.millimetres(allowed.tolerance_mm)
    )
    smoothed = smooth_interfaces(
        extraction, budget, volume_factors=_volume_factors(label_map, fine)
    )
    interfaces, crossings, simplified = smoothed.interfaces, smoothed.crossings, None
    if triangles is not None and len(interfaces.faces) > triangles:
        extracted_mm = extraction.interfaces.vertices_mm
        simplified = simplify_interfaces(interfaces, budget, triangles, extracted_mm=extracted_mm)
        interfaces, crossings = simplified.interfaces, simplified.crossings
    changes = tuple(_changes(label_map, fine, smoothed, simplified))
    extracted = {value: extraction.interfaces.surface(value) for value in interfaces.values}
    surface_is = LABEL_SURFACE if fine is label_map else f"{LABEL_SURFACE}, between slices as well"
    surfaces, certificates = {}, {}
    for value, against in yardsticks(label_map, extracted, surface_is=surface_is).items():
        surfaces[value] = interfaces.surface(value)
        certificates[value] = judge(
            surfaces[value],
            against,
            allowed,
            # where the joint search found none there are none; else places are looked for
            crossings=None if crossings else np.zeros((0, 2), dtype=np.int64),
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


def _volume_factors(label_map: LabelMap, fine: LabelMap) -> npt.NDArray[np.float64] | None:
    """Per label (256,) the volume of its voxels over that of its finer ones."""
    if fine is label_map:
        return None
    before, after = (
        # slab by slab: counting widens every voxel to eight bytes
        sum(np.bincount(slab.ravel(), minlength=256) for slab in x.array)
        * x.geometry.voxel_volume_mm3
        for x in (label_map, fine)
    )
    present = (before > 0) & (after > 0)
    return np.asarray(np.divide(before, after, out=np.ones(256), where=present))


def _changes(
    label_map: LabelMap, fine: LabelMap, smoothed: Smoothed, simplified: Simplified | None
) -> Iterator[str]:
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
