"""Millimetres as colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.errors import UsageError
from voxloop.mesh.part import Part

__all__ = ["ColourScale"]

_ONE_SIDED = ((38, 44, 92), (36, 98, 140), (47, 148, 140), (128, 190, 98), (250, 228, 80))
"""From dark blue to light yellow: brightness rises evenly, also for colour-blind eyes."""

_TWO_SIDED = ((33, 82, 160), (130, 170, 215), (242, 240, 236), (226, 160, 110), (170, 66, 20))
"""From blue over near white, where nothing deviates, to orange brown."""


@dataclass(frozen=True, slots=True)
class ColourScale:
    """From which to which value the colours run; what lies beyond gets the colour of the end.

    Attributes:
        low_mm: value of the first colour.
        high_mm: value of the last colour, above `low_mm`.

    Raises:
        UsageError: if the range is empty or not finite.
    """

    low_mm: float
    high_mm: float

    def __post_init__(self) -> None:
        if not (np.isfinite([self.low_mm, self.high_mm]).all() and self.low_mm < self.high_mm):
            raise UsageError(f"a colour scale cannot run from {self.low_mm} to {self.high_mm} mm")

    @classmethod
    def of_values(cls, values_mm: npt.ArrayLike) -> ColourScale:
        """From zero to the 99th percentile; as far below zero where there are negative values."""
        values = np.asarray(values_mm, dtype=np.float64)
        sizes = np.abs(values)
        high = max(float(np.percentile(sizes, 99)) if sizes.size else 0.0, 1e-3)
        return cls(-high if values.size and values.min() < 0 else 0.0, high)

    @classmethod
    def of_parts(cls, parts: Sequence[Part]) -> ColourScale | None:
        """One scale for all parts of a file; None if none has values."""
        values = [part.values for part in parts if part.values is not None]
        return cls.of_values(np.concatenate(values)) if values else None

    @property
    def two_sided(self) -> bool:
        """Whether the scale shows deviations to both sides of zero."""
        return self.low_mm < 0 < self.high_mm

    def rgb(self, values_mm: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """Colours (N, 3), 0 to 255 in sRGB, of values (N,)."""
        stops = np.array(_TWO_SIDED if self.two_sided else _ONE_SIDED, dtype=np.float64)
        share = (np.asarray(values_mm, dtype=np.float64) - self.low_mm) / (
            self.high_mm - self.low_mm
        )
        if self.two_sided:  # zero keeps the middle colour, however far either side reaches
            middle = -self.low_mm / (self.high_mm - self.low_mm)
            share = np.interp(share, [0, middle, 1], [0, 0.5, 1])
        place = np.clip(share, 0, 1) * (len(stops) - 1)
        channels = [np.interp(place, np.arange(len(stops)), stops[:, c]) for c in range(3)]
        return np.stack(channels, axis=1).round().astype(np.uint8)
