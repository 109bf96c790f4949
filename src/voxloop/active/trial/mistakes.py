"""How an annotator errs: outlines that stray by a millimetre or so, structures not noticed."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.errors import UsageError
from voxloop.volume.boxes import Box
from voxloop.volume.labels import BACKGROUND, IGNORE
from voxloop.volume.volume import LabelArray, LabelMap

__all__ = ["AnnotatorError"]

FloatArray = npt.NDArray[np.float64]

_REACH = 4.0
"""Standard deviations beyond which an outline is taken not to stray."""


@dataclass(frozen=True)
class AnnotatorError:
    """A model of mistakes; the same region of a case is always answered with the same ones.

    Attributes:
        jitter_mm: root mean square of how far the outline strays, to either side, 0 or more. Of
            repeated drawings by experts this is about the thickness of a pencil line or two.
        missed: probability that a label is overlooked in a region altogether, 0 to 1.
        waviness_mm: over which distance along the outline the straying changes, above 0.
        seed: of the mistakes.

    Raises:
        UsageError: if a number is out of range.
    """

    jitter_mm: float = 0.0
    missed: float = 0.0
    waviness_mm: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        finite = math.isfinite(self.jitter_mm) and math.isfinite(self.waviness_mm)
        if not finite or self.jitter_mm < 0 or self.waviness_mm <= 0:
            raise UsageError(
                "an outline strays by 0 mm or more, over distances above 0; found "
                f"{self.jitter_mm} mm over {self.waviness_mm} mm"
            )
        if not 0 <= self.missed <= 1 or self.seed < 0:
            raise UsageError(
                "a label is missed with a probability of 0 to 1, by a seed not below 0; found "
                f"{self.missed} and {self.seed}"
            )

    @property
    def none(self) -> bool:
        """True if nothing is done wrong."""
        return self.jitter_mm == 0 and self.missed == 0

    def answer(self, case_id: str, reference: LabelMap, region: Box) -> LabelArray:
        """What the annotator draws in a region.

        Args:
            case_id: the case.
            reference: what is really there; its unknown voxels stay unknown.
            region: inside the grid. Within a slice the outline strays in its plane only.

        Returns:
            Labels of the region's shape.
        """
        place = [zlib.crc32(case_id.encode()), *region.start, *region.stop]
        rng = np.random.default_rng([self.seed, *place])
        exact = reference.array[region.slices]
        drawn = _strayed(self, reference, region, rng) if self.jitter_mm else exact.copy()
        for value in reference.labels:  # drawn for every label, so that none depends on another
            if rng.random() < self.missed:
                drawn[drawn == value] = BACKGROUND
        drawn[drawn == IGNORE] = exact[drawn == IGNORE]
        drawn[exact == IGNORE] = IGNORE
        return drawn


def _strayed(
    error: AnnotatorError, reference: LabelMap, region: Box, rng: np.random.Generator
) -> LabelArray:
    from scipy import ndimage

    spacing_mm = np.asarray(reference.geometry.spacing_mm)
    reach = [
        0 if thick == 1 else math.ceil(_REACH * error.jitter_mm / step)
        for thick, step in zip(region.shape, spacing_mm, strict=True)
    ]
    around = region.padded((reach[0], reach[1], reach[2]), reference.geometry.shape)
    offset = np.subtract(region.start, around.start)
    places = np.indices(region.shape, dtype=np.float64)
    for axis in range(3):
        places[axis] += offset[axis]
        if region.shape[axis] > 1:
            shift_mm = error.jitter_mm * _waves(region, spacing_mm, error.waviness_mm, rng)
            places[axis] += shift_mm / spacing_mm[axis]
    found = ndimage.map_coordinates(reference.array[around.slices], places, order=0, mode="nearest")
    return np.asarray(found, dtype=np.uint8)


def _waves(
    region: Box, spacing_mm: FloatArray, waviness_mm: float, rng: np.random.Generator
) -> FloatArray:
    """A smooth random field over a region, of mean 0 and variance 1 wherever one looks."""
    from scipy import ndimage

    sigmas = [
        0.0 if thick == 1 else waviness_mm / step
        for thick, step in zip(region.shape, spacing_mm, strict=True)
    ]
    margin = [math.ceil(3 * sigma) for sigma in sigmas]
    shape = [thick + 2 * m for thick, m in zip(region.shape, margin, strict=True)]
    smooth = ndimage.gaussian_filter(rng.standard_normal(shape), sigmas, truncate=3.0)
    inner = smooth[tuple(slice(m, n - m) for m, n in zip(margin, shape, strict=True))]
    # what smoothing leaves of the noise's variance is the sum of the squared weights
    gain = math.prod(_root_of_squares(sigma) for sigma in sigmas)
    return np.asarray(inner / gain)


def _root_of_squares(sigma: float) -> float:
    if sigma == 0:
        return 1.0
    reach = int(3.0 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return float(np.sqrt((weights**2).sum()) / weights.sum())
