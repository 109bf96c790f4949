"""A surface with the name and colour under which it goes into a file."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.errors import DataError, Problem, UsageError
from voxloop.mesh.mesh import Mesh
from voxloop.volume.labels import LabelTable

__all__ = ["Part", "checked_parts"]

Colour = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Part:
    """One structure of a file for printers or viewers.

    Attributes:
        name: what people call it; any characters but control characters.
        mesh: its surface, in world millimetres.
        colour: red, green, blue from 0 to 255.
        values: (V,) finite, one per vertex, in millimetres, e.g. of uncertainty; drawn as colours
            by the formats that have colours per vertex; read-only. None for one plain colour.

    Raises:
        DataError: if the name is blank or has control characters, the colour is none, or the
            values do not belong to the vertices.
    """

    name: str
    mesh: Mesh
    colour: Colour
    values: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if not self.name.strip() or any(_is_control(letter) for letter in self.name):
            raise _bad("a name without control characters", f"{self.name!r}", "rename the label")
        if len(self.colour) != 3 or not all(0 <= level <= 255 for level in self.colour):
            raise _bad("red, green and blue from 0 to 255", f"{self.colour}", "correct the colour")
        if self.values is None:
            return
        values = np.array(self.values, dtype=np.float64)
        count = len(self.mesh.vertices_mm)
        if values.shape != (count,) or not np.isfinite(values).all():
            raise _bad(
                f"{count} finite values, one per vertex",
                f"shape {values.shape}, {np.count_nonzero(~np.isfinite(values))} not finite",
                "compute the values on this very surface",
            )
        values.setflags(write=False)
        object.__setattr__(self, "values", values)

    @classmethod
    def of_label(
        cls,
        mesh: Mesh,
        labels: LabelTable,
        value: int,
        values: npt.NDArray[np.float64] | None = None,
    ) -> Part:
        """The surface of a label, under the name and colour that its table gives it."""
        colour = labels.colour(value)
        red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
        return cls(labels.names[value], mesh, (red, green, blue), values)


def checked_parts(parts: Sequence[Part]) -> tuple[Part, ...]:
    """The parts of a file, of which there must be one at least.

    Raises:
        UsageError: if there is none.
    """
    if not parts:
        raise UsageError("a file of surfaces needs at least one part")
    return tuple(parts)


def _is_control(letter: str) -> bool:
    # neither XML nor JSON can carry these
    return unicodedata.category(letter) in {"Cc", "Cs"} or letter in "\ufffe\uffff"


def _bad(expected: str, found: str, remedy: str) -> DataError:
    return DataError(Problem("part", expected, found, remedy))
