"""Labels at the scan's own resolution: what the network saw coarsely, led by the scan's detail.

A network that works on a coarse grid knows how much of a cell is bone, not where in the cell it
lies; the scan does. Within a few cells the probability of a class is close to a linear function of
the intensity (the idea of the guided filter, He et al. 2013; fitted on the coarse grid as in He and
Sun 2015). Here only the slope of that function is used: what the scan shows beyond its own coarse
version, times the slope, is added to the upsampled probability. Where the scan shows nothing more,
or what it shows has nothing to do with the class, the probability stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.plan.intensities import scale_of
from voxloop.plan.plan import Plan
from voxloop.predict.keeping import Seen
from voxloop.predict.refine.upsampler import Upsampler, blocks
from voxloop.volume.boxes import Box
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import BACKGROUND
from voxloop.volume.volume import LabelArray, Volume

__all__ = ["FINER", "CoarseView", "needs_refinement", "refine_labels", "refine_seen"]

Float32Array = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]

FINER = 1.5
"""A scan this much finer than the network's grid shows what the network has not seen."""

_FLOOR = 0.1
"""A class less probable than this cannot be brought up by the scan's detail: something of the same
brightness lies next to nearly everything."""

_WINDOW = 5
"""Coarse cells along each axis over which the slope is fitted. Three follow real edges a little
closer and are led astray by noise; see docs/decisions/0015."""

_CHANCE = 0.04
"""Share of a probability's variance that mere noise explains in such a window; slopes are shrunk by
what it may have contributed, to nothing where they explain no more."""

_STEADY = 1e-3
"""Share of the image's variance below which a window counts as even."""

_ROUNDING = 1e-5
"""Steps of intensity below this share of the greatest are rounding, not detail."""

_DENOISED = 0.5
"""Standard deviation of the smoothing of the detail, in the scan's smallest spacing."""


@dataclass(frozen=True, eq=False)
class CoarseView:
    """What the network saw of a case and what it made of it, on its own grid.

    Attributes:
        probabilities: (C, i, j, k), background first, summing to 1 over C; may be a memory map.
        image: (i, j, k), the channel that shows the structures best.
        grid: where both lie.
        source: the case's own grid, parallel to `grid`.
        values: label values of the classes after the background.
    """

    probabilities: npt.NDArray[np.floating]
    image: Float32Array
    grid: Geometry
    source: Geometry
    values: tuple[int, ...]

    def __post_init__(self) -> None:
        expected = (len(self.values) + 1, *self.grid.shape)
        if self.probabilities.shape != expected or self.image.shape != self.grid.shape:
            message = f"probabilities {self.probabilities.shape} and image {self.image.shape} on a "
            raise ValueError(message + f"grid of {self.grid.shape} with {len(self.values)} labels")


def needs_refinement(plan_spacing_mm: Sequence[float], scan_spacing_mm: Sequence[float]) -> bool:
    """True if the scan is clearly finer than the network's grid along some axis.

    Args:
        plan_spacing_mm: of the network's grid.
        scan_spacing_mm: of the scan, axes in the same order.
    """
    pairs = zip(plan_spacing_mm, scan_spacing_mm, strict=True)
    return any(coarse >= FINER * fine for coarse, fine in pairs)


def refine_seen(
    channels: tuple[Volume, ...], seen: Seen, plan: Plan, progress: ProgressSink = silent
) -> LabelArray:
    """The labels of a case at its own resolution, led by the channel that shows them best.

    Args:
        channels: of the case.
        seen: what the network saw and said.
        plan: of the network.
        progress: receives blocks done.

    Returns:
        (I, J, K) of uint8, on the case's own grid.
    """
    prepared = seen.prepared
    leader = _leader(prepared.array, seen.probabilities)
    scale = scale_of(channels[leader].array, plan.normalisation[leader])

    def intensity(block: npt.NDArray[Any]) -> Float32Array:
        return scale.standardise(scale.clip(block.astype(np.float32)))

    image, values = prepared.array[leader], plan.table.values
    view = CoarseView(seen.probabilities, image, prepared.grid, prepared.source, values)
    return refine_labels(channels[leader].array, view, intensity=intensity, progress=progress)


def _leader(images: Float32Array, probabilities: npt.NDArray[np.floating]) -> int:
    """The channel whose intensity tells best, in doubtful cells, whether there is something."""
    if len(images) == 1:
        return 0
    background = probabilities[0]
    doubtful = (background > _FLOOR) & (background < 1 - _FLOOR)
    if np.count_nonzero(doubtful) < 2:
        return 0
    sure = background[doubtful].astype(np.float64)
    follows = [abs(_correlation(image[doubtful], sure)) for image in images]
    return int(np.argmax(follows))


def _correlation(one: npt.NDArray[np.floating], other: FloatArray) -> float:
    a, b = one - one.mean(dtype=np.float64), other - other.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0 else 0.0


def refine_labels(
    image: npt.NDArray[Any],
    view: CoarseView,
    *,
    intensity: Callable[[npt.NDArray[Any]], npt.NDArray[np.floating]] | None = None,
    progress: ProgressSink = silent,
) -> LabelArray:
    """The most probable label at each voxel, after the scan's own detail was heard.

    Takes the place of any other upsampling. Works block by block: beside the result it takes a few
    megabytes, and only blocks in which classes compete take time. Nothing is learned, and the
    scale of the intensities does not matter. To be followed, not preceded, by post-processing.

    Args:
        image: (I, J, K) on the case's own grid; may be a memory map.
        view: what the network saw; its image is this one, resampled.
        intensity: brings a block of `image` to the scale of `view.image`, if that was normalised
            or clipped. Clipping to the range of the structures helps: metal and air then say no
            more than bone and soft tissue.
        progress: receives blocks done.

    Returns:
        (I, J, K) of uint8.

    Raises:
        ValueError: if the image does not have the shape of the case's grid, or the network's grid
            is turned against it.
    """
    if image.shape != view.source.shape:
        message = f"image of shape {image.shape} for a grid of {view.source.shape}"
        raise ValueError(message)
    upsampler = Upsampler(view.grid, view.source)
    values = np.array([BACKGROUND, *view.values], dtype=np.uint8)
    floor = min(_FLOOR, 1 / len(values))
    steady = _steady(view.image)
    labels = np.empty(image.shape, dtype=np.uint8, order="F")
    boxes = blocks(Box.whole(view.source.shape))
    for done, box in enumerate(boxes, start=1):
        cells = upsampler.cells(box, halo=_WINDOW - 1)
        here = view.probabilities[(slice(None), *cells.slices)]
        rivals = np.flatnonzero(here.reshape(len(values), -1).max(axis=1) >= floor)
        if len(rivals) == 1:
            labels[box.slices] = values[rivals[0]]
        else:
            seen = view.image[cells.slices]
            beyond = _smooth(image, box, view.source, intensity) - upsampler(seen, cells, box)
            slopes = _Slopes(seen, steady)
            best = np.full(box.shape, -np.inf, dtype=np.float32)
            for rival in rivals.tolist():
                plain = upsampler(here[rival], cells, box)
                led = plain + upsampler(slopes.of(here[rival]), cells, box) * beyond
                score = np.where(plain < floor, plain, np.maximum(led, floor))
                better = score > best
                labels[box.slices][better] = values[rival]
                np.copyto(best, score, where=better)
        progress(Progress("refining", done, len(boxes)))
    return labels


def _smooth(
    image: npt.NDArray[Any],
    box: Box,
    grid: Geometry,
    intensity: Callable[[npt.NDArray[Any]], npt.NDArray[np.floating]] | None,
) -> Float32Array:
    """The scan in a block, single voxels' noise taken off."""
    from scipy.ndimage import gaussian_filter

    around = box.padded(2, image.shape)
    before = [a - b for a, b in zip(box.start, around.start, strict=True)]
    inside = tuple(slice(b, b + n) for b, n in zip(before, box.shape, strict=True))
    values = image[around.slices]
    values = np.asarray(values if intensity is None else intensity(values), dtype=np.float32)
    spacing = np.array(grid.spacing_mm)
    smooth = gaussian_filter(values, _DENOISED * spacing.min() / spacing, mode="nearest")
    return np.asarray(smooth[inside])


class _Slopes:
    """Slope of probabilities against the image, fitted around each coarse cell of a crop."""

    def __init__(self, image: Float32Array, steady: float) -> None:
        # centred first: the variance of large numbers would drown in their rounding
        self._image = image.astype(np.float64) - float(image.mean())
        self._mean = _windowed(self._image)
        self._spread = np.maximum(_windowed(self._image**2) - self._mean**2, 0) + steady

    def of(self, probability: npt.NDArray[np.floating]) -> FloatArray:
        """Change of probability per unit of intensity, averaged over the window."""
        values = probability.astype(np.float64)
        mean = _windowed(values)
        spread = np.maximum(_windowed(values**2) - mean**2, _STEADY**2)
        covariance = _windowed(self._image * values) - self._mean * mean
        explained = covariance**2 / (self._spread * spread)
        trusted = 1 - _CHANCE / np.maximum(explained, _CHANCE)
        return _windowed(trusted * covariance / self._spread)


def _steady(image: Float32Array) -> float:
    """Variance of intensity that says nothing."""
    rounding = _ROUNDING * float(np.abs(image).max())
    least = float(np.finfo(np.float32).tiny)
    return max(_STEADY * float(image.var(dtype=np.float64)), rounding**2, least)


def _windowed(array: FloatArray) -> FloatArray:
    from scipy.ndimage import uniform_filter

    return np.asarray(uniform_filter(array, _WINDOW, mode="nearest"))
