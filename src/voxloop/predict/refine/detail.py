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
import torch

from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.plan.intensities import scale_of
from voxloop.plan.plan import Plan
from voxloop.predict.keeping import Seen
from voxloop.predict.refine.upsampler import Upsampler, between, blocks
from voxloop.predict.rivals import least_to_win, places_to_win
from voxloop.volume.boxes import Box, bounding_box
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
    channels: tuple[Volume, ...],
    seen: Seen,
    plan: Plan,
    progress: ProgressSink = silent,
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
    values = np.array([BACKGROUND, *view.values], dtype=np.uint8)
    labels = np.empty(image.shape, dtype=np.uint8, order="F")
    work = _Refinement(image, view, intensity)
    boxes = blocks(Box.whole(view.source.shape))
    for done, box in enumerate(boxes, start=1):
        labels[box.slices] = values[work(box)]
        progress(Progress("refining", done, len(boxes)))
    return labels


class _Refinement:
    """What the blocks of a case share; none depends on another."""

    def __init__(
        self,
        image: npt.NDArray[Any],
        view: CoarseView,
        intensity: Callable[[npt.NDArray[Any]], npt.NDArray[np.floating]] | None,
    ) -> None:
        self._image, self._view, self._intensity = image, view, intensity
        self._upsample = Upsampler(view.grid, view.source)
        self._steady = _steady(view.image)

    def __call__(self, box: Box) -> npt.NDArray[np.uint8]:
        """Number of the class at each voxel of a block; (1, 1, 1) where it is but one."""
        cells = self._upsample.cells(box)
        here = _in_single(self._view.probabilities[(slice(None), *cells.slices)])
        highest = here.reshape(len(here), -1).max(axis=1)
        # where none reaches the floor, the one that leads as it is must be found all the same
        least = min(_FLOOR, float(least_to_win(highest, float(here.sum(axis=0).min()))))
        rivals = np.flatnonzero(highest >= least)
        if len(rivals) > 1:
            places = places_to_win(here[rivals], self._upsample.reach(box), _FLOOR)
            winning = places.any(axis=(1, 2, 3))
            rivals, places = rivals[winning], places[winning]
        if len(rivals) == 1:
            return rivals.astype(np.uint8).reshape(1, 1, 1)
        wide = cells.padded(_WINDOW - 1, self._view.grid.shape)
        beyond = self._beyond(box)
        slopes = _Slopes(self._view.image[wide.slices], wide, self._steady)
        best = np.full(box.shape, -np.inf, dtype=np.float32)
        found = np.full(box.shape, rivals[0], dtype=np.uint8)
        starts = self._upsample.starts(box)
        for rival, likely in zip(rivals.tolist(), places, strict=True):
            around = bounding_box(likely)
            part = around and between(around.moved(cells.start), box, starts)
            if part is None:
                continue
            place = _counted_from(box, part)
            seen = _in_single(self._view.probabilities[(rival, *wide.slices)])
            score = self._score(seen, part, slopes, beyond[place])
            better = score > best[place]
            found[place][better] = rival
            np.copyto(best[place], score, where=better)
        return found

    def _beyond(self, box: Box) -> Float32Array:
        """What the scan shows in a block beyond its own coarse version, less the noise."""
        from scipy.ndimage import gaussian_filter

        around = box.padded(2, self._image.shape)
        values = self._image[around.slices]
        if self._intensity is not None:
            values = self._intensity(values)
        spacing = np.array(self._view.source.spacing_mm)
        smooth = gaussian_filter(
            np.asarray(values, dtype=np.float32),
            _DENOISED * spacing.min() / spacing,
            mode="nearest",
        )
        cells = self._upsample.cells(box)
        coarse = self._upsample(self._view.image[cells.slices], cells, box)
        return np.asarray(smooth[_counted_from(around, box)] - coarse)

    def _score(
        self, probability: Float32Array, part: Box, slopes: _Slopes, beyond: Float32Array
    ) -> Float32Array:
        """How probable a class is in a part of a block, the scan's detail heard."""
        cells = self._upsample.cells(part)
        plain = self._upsample(probability[_counted_from(slopes.around, cells)], cells, part)
        led = plain + self._upsample(slopes.of(probability, cells), cells, part) * beyond
        return np.where(plain < _FLOOR, plain, np.maximum(led, np.float32(_FLOOR)))


def _counted_from(outer: Box, inner: Box) -> tuple[slice, slice, slice]:
    """Where `inner` lies in an array of `outer`."""
    i, j, k = outer.start
    return inner.moved((-i, -j, -k)).slices


def _in_single(values: npt.NDArray[np.floating]) -> Float32Array:
    """A copy in single precision; NumPy takes ten times as long from half precision."""
    return np.asarray(torch.from_numpy(np.array(values)).float().numpy())


class _Slopes:
    """Slope of probabilities against the image, fitted around each of some coarse cells.

    Args:
        image: (i, j, k), the cells `around`.
        around: the cells, with those at their border for the windows of the others.
        steady: variance of intensity that says nothing.
    """

    def __init__(self, image: Float32Array, around: Box, steady: float) -> None:
        self.around = around
        # centred first: the variance of large numbers would drown in their rounding
        self._image = image.astype(np.float64) - float(image.mean())
        self._mean = _windowed(self._image)
        self._spread = np.maximum(_windowed(self._image**2) - self._mean**2, 0) + steady

    def of(self, probability: Float32Array, cells: Box) -> FloatArray:
        """Change of a probability per unit of intensity in some of the cells, averaged there.

        Args:
            probability: (i, j, k), in all of `around`.
            cells: some of those inside the border.
        """
        i, j, k = self.around.start
        wide = cells.moved((-i, -j, -k)).padded(_WINDOW - 1, self.around.shape)
        image, image_mean, image_spread = (
            array[wide.slices] for array in (self._image, self._mean, self._spread)
        )
        values = probability[wide.slices].astype(np.float64)
        mean = _windowed(values)
        spread = np.maximum(_windowed(values**2) - mean**2, _STEADY**2)
        covariance = _windowed(image * values) - image_mean * mean
        explained = covariance**2 / (image_spread * spread)
        trusted = 1 - _CHANCE / np.maximum(explained, _CHANCE)
        slopes = _windowed(trusted * covariance / image_spread)
        return slopes[_counted_from(wide.moved(self.around.start), cells)]


def _steady(image: Float32Array) -> float:
    """Variance of intensity that says nothing."""
    rounding = _ROUNDING * float(np.abs(image).max())
    least = float(np.finfo(np.float32).tiny)
    return max(_STEADY * float(image.var(dtype=np.float64)), rounding**2, least)


def _windowed(array: FloatArray) -> FloatArray:
    from scipy.ndimage import uniform_filter

    return np.asarray(uniform_filter(array, _WINDOW, mode="nearest"))
