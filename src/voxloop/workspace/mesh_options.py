"""What is wanted of `voxloop mesh`, checked before any file is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from voxloop.errors import UsageError
from voxloop.mesh.certificate.tolerances import Tolerances
from voxloop.mesh.fairing.simplify import triangles_for_megabytes
from voxloop.mesh.formats.writers import WRITERS
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.shop.order import Order
from voxloop.mesh.shop.plate import name_plate

__all__ = ["MeshOptions", "plates"]

_CASE = "{case}"


@dataclass(frozen=True, slots=True)
class MeshOptions:
    """How surfaces are made, changed and written.

    Attributes:
        formats: file suffixes without their dots, at least one.
        tolerance_mm: no vertex lies farther from where the label map puts it; half a voxel where
            None.
        triangles: of all labels of a case together, at most; the tolerance wins.
        megabytes: the same as the size of their binary STL files.
        islands_ml: loose pieces smaller than that are taken out of the label map first.
        order: what is changed for the printer.
        plate: text of a name plate that is written as well; `{case}` stands for the case.
        uncertainty: a file, or a folder of files; see `doubt_files`. Surfaces are put between
            voxels by it.

    Raises:
        UsageError: if a format is unknown, a number is not above zero, or both targets are given.
    """

    formats: tuple[str, ...] = ("stl",)
    tolerance_mm: float | None = None
    triangles: int | None = None
    megabytes: float | None = None
    islands_ml: float | None = None
    order: Order = field(default_factory=Order)
    plate: str | None = None
    uncertainty: Path | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.formats if name not in WRITERS]
        if unknown or not self.formats:
            found = ", ".join(map(repr, unknown)) or "none"
            raise UsageError(f"formats are {', '.join(WRITERS)}; found {found}")
        object.__setattr__(self, "formats", tuple(dict.fromkeys(self.formats)))
        for name in ("tolerance_mm", "triangles", "megabytes", "islands_ml"):
            number = getattr(self, name)
            if number is not None and not 0 < number < np.inf:
                raise UsageError(f"{name.replace('_', ' in ')} must be above 0, found {number:g}")
        if self.triangles is not None and self.megabytes is not None:
            raise UsageError("give a number of triangles or a size in megabytes, not both")

    @property
    def tolerances(self) -> Tolerances:
        """What the certificates allow."""
        return Tolerances(tolerance_mm=self.tolerance_mm)

    @property
    def most_triangles(self) -> int | None:
        """How many triangles are wanted at most, however it was said."""
        if self.megabytes is None:
            return self.triangles
        return max(4, triangles_for_megabytes(self.megabytes))


def plates(options: MeshOptions, case_ids: Iterable[str]) -> dict[str, Mesh]:
    """The name plate of every case; none where none is wanted.

    Raises:
        UsageError: if a text cannot be drawn or is too long.
    """
    if options.plate is None:
        return {}
    texts = {case_id: options.plate.replace(_CASE, case_id) for case_id in case_ids}
    made = {text: name_plate(text).mesh for text in dict.fromkeys(texts.values())}
    return {case_id: made[text] for case_id, text in texts.items()}
