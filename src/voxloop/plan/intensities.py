"""How a scan's intensities become network input: what is clipped, and what one unit is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.plan.plan import Normalisation

__all__ = ["IntensityScale", "scale_of"]

Float32Array = npt.NDArray[np.float32]

_MASKED_SHARE = 0.1
"""A scan of which more than this holds exactly its lowest value was masked or padded."""

_SAMPLE_VOX = 1 << 21
"""Two million voxels tell mean and deviation to a thousandth of the deviation."""

_LEAST_SD = 1e-6


@dataclass(frozen=True)
class IntensityScale:
    """What is done to the intensities of one channel of one scan.

    Attributes:
        low: lower intensities count as this.
        high: higher intensities count as this.
        mean: becomes 0.
        sd: becomes 1; above 0.
        empty: what a masked or padded scan holds outside the body and is left as it is; None if
            it was not masked.
    """

    low: float
    high: float
    mean: float
    sd: float
    empty: float | None = None

    def clip(self, values: Float32Array) -> Float32Array:
        """Limit intensities, in place."""
        if self.empty is None:
            return np.clip(values, self.low, self.high, out=values)
        kept = values == np.float32(self.empty)
        np.clip(values, self.low, self.high, out=values)
        values[kept] = self.empty
        return values

    def standardise(self, values: Float32Array) -> Float32Array:
        """Shift and scale intensities, in place; after resampling, which does not mind."""
        values -= np.float32(self.mean)
        values /= np.float32(self.sd)
        return values


def scale_of(array: npt.NDArray[np.generic], how: Normalisation) -> IntensityScale:
    """The scale of one channel, from the scan itself where the normalisation is by volume.

    Of a large scan a regular sample is measured.

    Args:
        array: (I, J, K), any real type.
        how: the channel's normalisation.
    """
    if how.method == "fixed" and how.clip is not None:
        return IntensityScale(*how.clip, how.mean, how.sd)
    lowest = float(np.float32(array.min()))
    step = max(1, int(np.ceil((array.size / _SAMPLE_VOX) ** (1 / 3))))
    values = array[::step, ::step, ::step].astype(np.float32, order="K").ravel(order="K")
    empty = _empty_value(values, lowest)
    inside = values[values != np.float32(empty)] if empty is not None else values
    low, high = (float(limit) for limit in np.percentile(inside, [0.5, 99.5]))
    inside = np.clip(inside, low, high)
    mean, sd = float(inside.mean()), max(float(inside.std()), _LEAST_SD)
    return IntensityScale(low, high, mean, sd, empty)


def _empty_value(values: Float32Array, lowest: float) -> float | None:
    """What a masked or padded scan holds outside the body; None if it was not masked.

    The body alone must set the scale: with the emptiness counted in, the same tissue would get
    another intensity in a small patient than in a large one.
    """
    share = float((values == np.float32(lowest)).mean())
    return lowest if _MASKED_SHARE < share < 1 else None
