"""Two models in turn: one finds the structures anywhere, one draws them at full resolution."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from voxloop.compute.memory import peak_rss_bytes
from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.plan.plan import Plan
from voxloop.predict.engines.choose import CheckedEngine
from voxloop.predict.keeping import Seen
from voxloop.predict.predictor import Prediction, Predictor
from voxloop.predict.refine.locate import cropped, likely_foreground, structure_box
from voxloop.predict.refine.upsampler import Upsampler, blocks
from voxloop.volume.boxes import Box
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import BACKGROUND
from voxloop.volume.volume import LabelArray, LabelMap, Volume

__all__ = ["TwoStagePredictor"]

Float32Array = npt.NDArray[np.float32]

_UNSHARP = "too little memory for the model at full resolution; outlines have the first model's"


class TwoStagePredictor:
    """Segments with a coarse model, and again with a fine one in the box of what was found.

    Args:
        coarse: works on the whole scan.
        fine: of a plan with a smaller spacing, trained on crops around the structures; knows the
            same labels.
        margin_mm: how far the box reaches beyond what the coarse model found. Over the outer half
            of it the fine model's word fades into the coarse one's.

    Raises:
        ValueError: if the two models do not share labels and channels, or the margin is negative.
    """

    def __init__(self, coarse: Predictor, fine: Predictor, margin_mm: float = 10.0) -> None:
        for what in ("labels", "channel_names"):
            one, other = getattr(coarse.plan, what), getattr(fine.plan, what)
            if one != other:
                raise ValueError(f"two stages need the same {what}, found {one} and {other}")
        if margin_mm < 0:
            raise ValueError(f"the margin must be 0 mm or more, found {margin_mm}")
        self.coarse, self.fine, self.margin_mm = coarse, fine, margin_mm

    @property
    def plan(self) -> Plan:
        """That of the coarse model; labels and channels are those of both."""
        return self.coarse.plan

    @property
    def engines(self) -> tuple[CheckedEngine, ...]:
        """What runs the models; made when first needed."""
        return (*self.coarse.engines, *self.fine.engines)

    def segment(
        self,
        channels: tuple[Volume, ...],
        progress: ProgressSink = silent,
        *,
        uncertainty: bool = False,
        keep: bool = False,
    ) -> Prediction:
        """Label map of a case on its own grid, as `Predictor.segment` gives it.

        Where the coarse model finds nothing, nothing is looked for; where memory does not suffice
        for the second look, the first one counts and the prediction remarks it.

        Args:
            channels: of the case.
            progress: told about the tiles of either model, then about blocks.
            uncertainty: whether that is wanted as well.
            keep: whether the coarse model's probabilities would be welcome.

        Raises:
            DataError: if the channels are not those of the plan.
            LimitError: if memory would not suffice for the coarse model.
        """
        source = channels[0].geometry
        first = self.coarse.segment(channels, progress, uncertainty=uncertainty, keep=True)
        if first.seen is None:
            return dataclasses.replace(first, remark=_UNSHARP)
        start = time.monotonic()
        likely = likely_foreground(first.seen.probabilities)
        box = structure_box(likely, first.seen.prepared.grid, source, self.margin_mm)
        located = time.monotonic() - start
        kept = first if keep else dataclasses.replace(first, seen=None)
        if box is None:
            return kept
        within = tuple(cropped(volume, box) for volume in channels)
        second = self.fine.segment(within, progress, uncertainty=uncertainty, keep=True)
        if second.seen is None:
            return dataclasses.replace(kept, remark=_UNSHARP)
        looked = time.monotonic()
        labels = first.label_map.array.copy(order="K")
        doubt = None if first.uncertainty is None else first.uncertainty.copy(order="K")
        blend = _Blend(first.seen, second, box, self.margin_mm / 2)
        blend.into(labels, doubt, self.plan.table.values, progress)
        spent = {"locate": located, "blend": time.monotonic() - looked}
        both = {name: first.seconds[name] + second.seconds[name] for name in first.seconds}
        return dataclasses.replace(
            kept,
            label_map=LabelMap(labels, source, self.plan.table),
            seconds={**both, **spent},
            peak_bytes=peak_rss_bytes(),
            uncertainty=doubt,
        )


class _Blend:
    """Two models' words inside a box, block by block.

    Args:
        coarse: what the first said of the whole scan.
        fine: the second's prediction of the scan inside the box, with its probabilities.
        box: of the scan.
        fade_mm: over which the fine model comes to count fully.
    """

    def __init__(self, coarse: Seen, fine: Prediction, box: Box, fade_mm: float) -> None:
        if fine.seen is None:
            raise ValueError("blending needs the fine model's probabilities")
        self._coarse, self._fine, self._box = coarse.probabilities, fine.seen.probabilities, box
        self._closer = fine
        self._source = coarse.prepared.source
        self._from_coarse = Upsampler(coarse.prepared.grid, self._source)
        self._from_fine = Upsampler(fine.seen.prepared.grid, fine.seen.prepared.source)
        self._fade_vox = fade_mm / np.array(self._source.spacing_mm)

    def into(
        self,
        labels: LabelArray,
        entropy: npt.NDArray[np.uint8] | None,
        values: tuple[int, ...],
        progress: ProgressSink,
    ) -> None:
        """Write the most probable labels, and the entropies if wanted, into whole-scan arrays.

        Where the fine model counts fully, its own labels are taken: they may have been led by the
        scan's detail.
        """
        boxes = blocks(self._box)
        for done, place in enumerate(boxes, start=1):
            inner = _counted_from(place, self._box.start).slices
            weight = _trust(place, self._box, self._source, self._fade_vox)
            winner, doubt = self._closer.label_map.array[inner], None
            if self._closer.uncertainty is not None:
                doubt = self._closer.uncertainty[inner]
            if not (weight == 1).all():
                blended, unsure = self._blended(place, weight, values)
                winner = np.where(weight == 1, winner, blended)
                doubt = None if doubt is None else np.where(weight == 1, doubt, unsure)
            labels[place.slices] = winner
            if entropy is not None and doubt is not None:
                entropy[place.slices] = doubt
            progress(Progress("blending", done, len(boxes)))

    def _blended(
        self, place: Box, weight: Float32Array, values: tuple[int, ...]
    ) -> tuple[LabelArray, LabelArray]:
        """Labels and entropies of a block in which both models count."""
        best = np.full(place.shape, -np.inf, dtype=np.float32)
        winner = np.zeros(place.shape, dtype=np.uint8)
        doubt = np.zeros(place.shape, dtype=np.float32)
        for value, probability in zip((BACKGROUND, *values), self._of(place, weight), strict=True):
            better = probability > best
            winner[better] = value
            np.copyto(best, probability, where=better)
            doubt -= probability * np.log(np.maximum(probability, 1e-12))
        scaled = np.rint(doubt * (255 / np.log(len(values) + 1))).clip(0, 255)
        return winner, scaled.astype(np.uint8)

    def _of(self, place: Box, weight: Float32Array) -> Iterator[Float32Array]:
        """The probability of each class in a block of the scan."""
        inner = _counted_from(place, self._box.start)
        there, here = self._from_coarse.cells(place), self._from_fine.cells(inner)
        for one, other in zip(self._coarse, self._fine, strict=True):
            coarse = self._from_coarse(one[there.slices], there, place)
            fine = self._from_fine(other[here.slices], here, inner)
            yield coarse + weight * (fine - coarse)


def _counted_from(box: Box, by: tuple[int, int, int]) -> Box:
    i, j, k = box.start
    a, b, c = box.stop
    return Box((i - by[0], j - by[1], k - by[2]), (a - by[0], b - by[1], c - by[2]))


def _trust(
    block: Box, box: Box, source: Geometry, fade_vox: npt.NDArray[np.float64]
) -> Float32Array:
    """Weight of the fine model, 0 to 1: rising from those faces of the box that cut the scan."""
    weight = np.ones(block.shape, dtype=np.float32)
    for axis in range(3):
        place = np.arange(block.start[axis], block.stop[axis])
        depth = np.full(len(place), np.inf)
        if box.start[axis] > 0:
            depth = np.minimum(depth, place - box.start[axis] + 1)
        if box.stop[axis] < source.shape[axis]:
            depth = np.minimum(depth, box.stop[axis] - place)
        rise = np.clip(depth / max(float(fade_vox[axis]), 1.0), 0, 1).astype(np.float32)
        shape = [1, 1, 1]
        shape[axis] = -1
        weight *= rise.reshape(shape)
    return weight
