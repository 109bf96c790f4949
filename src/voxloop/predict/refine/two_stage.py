"""Two models in turn: one finds the structures anywhere, one draws them at full resolution."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from voxloop.compute.memory import peak_rss_bytes
from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.plan.preprocess import Prepared
from voxloop.predict.labelling import Labeller
from voxloop.predict.predictor import Prediction, Predictor
from voxloop.predict.refine.locate import cropped, likely_foreground, structure_box
from voxloop.predict.refine.upsampler import Upsampler, blocks
from voxloop.volume.boxes import Box
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import BACKGROUND
from voxloop.volume.volume import LabelArray, LabelMap, Volume

__all__ = ["TwoStagePredictor"]

Float32Array = npt.NDArray[np.float32]
Seen = tuple[Float32Array, Prepared]


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

    def segment(
        self,
        channels: tuple[Volume, ...],
        progress: ProgressSink = silent,
        *,
        uncertainty: bool = False,
    ) -> Prediction:
        """Label map of a case on its own grid, as `Predictor.segment` gives it.

        Where the coarse model finds nothing, nothing is looked for.

        Args:
            channels: of the case.
            progress: told about the tiles of either model, then about blocks.
            uncertainty: whether that is wanted as well.

        Raises:
            DataError: if the channels are not those of the plan.
            LimitError: if memory would not suffice.
        """
        start = time.monotonic()
        table, source = self.coarse.plan.table, channels[0].geometry
        found, prepared = self.coarse.probabilities(channels, progress)
        box = structure_box(likely_foreground(found), prepared.grid, source, self.margin_mm)
        located = time.monotonic()
        within = None if box is None else tuple(cropped(volume, box) for volume in channels)
        closer = None if within is None else self.fine.probabilities(within, progress)
        looked = time.monotonic()
        labeller = Labeller(prepared, table.values, axis=0, uncertainty=uncertainty)
        labeller.add(dict(enumerate(found)), 0, prepared.grid.shape[0])
        if box is not None and closer is not None:
            blend = _Blend((found, prepared), closer, box, self.margin_mm / 2)
            blend.into(labeller.labels, labeller.entropy, table.values, progress)
        seconds = {
            "locate": located - start,
            "network": looked - located,
            "labels": time.monotonic() - looked,
        }
        label_map = LabelMap(labeller.labels, source, table)
        return Prediction(label_map, seconds, peak_rss_bytes(), labeller.entropy)


class _Blend:
    """Probabilities of two models inside a box, block by block.

    Args:
        coarse: of the whole scan.
        fine: of the scan inside the box.
        box: of the scan.
        fade_mm: over which the fine model comes to count fully.
    """

    def __init__(self, coarse: Seen, fine: Seen, box: Box, fade_mm: float) -> None:
        self._coarse, self._fine, self._box = coarse[0], fine[0], box
        self._source = coarse[1].source
        self._from_coarse = Upsampler(coarse[1].grid, self._source)
        self._from_fine = Upsampler(fine[1].grid, fine[1].source)
        self._fade_vox = fade_mm / np.array(self._source.spacing_mm)

    def into(
        self,
        labels: LabelArray,
        entropy: npt.NDArray[np.uint8] | None,
        values: tuple[int, ...],
        progress: ProgressSink,
    ) -> None:
        """Write the most probable labels, and the entropies if wanted, into whole-scan arrays."""
        boxes = blocks(self._box)
        scale = 255 / np.log(len(values) + 1)
        for done, place in enumerate(boxes, start=1):
            best = np.full(place.shape, -np.inf, dtype=np.float32)
            winner = np.zeros(place.shape, dtype=np.uint8)
            doubt = np.zeros(place.shape, dtype=np.float32)
            for value, probability in zip((BACKGROUND, *values), self._of(place), strict=True):
                better = probability > best
                winner[better] = value
                np.copyto(best, probability, where=better)
                if entropy is not None:
                    doubt -= probability * np.log(np.maximum(probability, 1e-12))
            labels[place.slices] = winner
            if entropy is not None:
                entropy[place.slices] = np.rint(doubt * scale).clip(0, 255).astype(np.uint8)
            progress(Progress("blending", done, len(boxes)))

    def _of(self, place: Box) -> Iterator[Float32Array]:
        """The probability of each class in a block of the scan."""
        inner = _counted_from(place, self._box.start)
        there, here = self._from_coarse.cells(place), self._from_fine.cells(inner)
        weight = _trust(place, self._box, self._source, self._fade_vox)
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
