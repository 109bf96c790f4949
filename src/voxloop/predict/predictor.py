"""One model (or several) applied to cases: label map, uncertainty, timings."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.compute.memory import peak_rss_bytes, require_bytes
from voxloop.compute.progress import ProgressSink, silent
from voxloop.model.checkpoint import Checkpoint
from voxloop.model.device import best_device
from voxloop.plan.plan import Plan
from voxloop.plan.preprocess import Prepared, argmax_on_grid, plan_grid, prepare_image
from voxloop.predict.sliding_window import class_probabilities
from voxloop.volume.resample import resample_linear
from voxloop.volume.volume import LabelMap, Volume

__all__ = ["Prediction", "Predictor"]

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of a case.

    Attributes:
        label_map: on the case's own grid.
        seconds: wall time, by stage.
        peak_bytes: the most memory the process has held.
    """

    label_map: LabelMap
    seconds: dict[str, float]
    peak_bytes: int


class Predictor:
    """Segments cases with one checkpoint or the mean of several of one plan.

    Args:
        checkpoints: at least one, all of the same plan.
        mirror: average with mirrored views where the plan allows it; slower, slightly better.
        overlap: least shared part of neighbouring tiles.
    """

    def __init__(
        self, *checkpoints: Checkpoint, mirror: bool = False, overlap: float = 0.5
    ) -> None:
        self.plan: Plan = checkpoints[0].plan
        if any(c.plan.to_json() != self.plan.to_json() for c in checkpoints):
            raise ValueError("an ensemble needs checkpoints of one plan")
        device = best_device()
        self._networks = [checkpoint.network(device) for checkpoint in checkpoints]
        self._mirror, self._overlap = mirror, overlap

    def probabilities(
        self, channels: tuple[Volume, ...], progress: ProgressSink = silent
    ) -> tuple[Float32Array, Prepared]:
        """Probability of each class on the network's grid, and the prepared case.

        Raises:
            DataError: if the channels are not those of the plan.
            LimitError: if memory would not suffice; nothing has been allocated then.
        """
        grid = plan_grid(channels[0].geometry, self.plan)
        classes = len(self.plan.labels) + 1
        working = 4 * (grid.voxel_count * (2 * classes + 6) + channels[0].array.size * 6)
        require_bytes(working, f"segmenting a scan of {channels[0].geometry.shape} voxels")
        prepared = prepare_image(channels, self.plan)
        total: Float32Array | None = None
        for network in self._networks:
            found = class_probabilities(
                network,
                prepared.array,
                self.plan,
                prepared.grid.spacing_mm,
                overlap=self._overlap,
                mirror=self._mirror,
                progress=progress,
            )
            total = found if total is None else total + found
        if total is None:
            raise ValueError("a predictor needs at least one checkpoint")
        return np.asarray(total / len(self._networks), dtype=np.float32), prepared

    def probabilities_on_grid(
        self, channels: tuple[Volume, ...], progress: ProgressSink = silent
    ) -> Float32Array:
        """Probability of each class (C, I, J, K) on the case's own grid.

        Holds all classes at the scan's resolution; `segment` does without.

        Raises:
            DataError, LimitError: as `probabilities`.
        """
        found, prepared = self.probabilities(channels, progress)
        return np.stack([resample_linear(p, prepared.grid, prepared.source) for p in found])

    def segment(self, channels: tuple[Volume, ...], progress: ProgressSink = silent) -> Prediction:
        """Label map of a case on its own grid.

        Raises:
            DataError, LimitError: as `probabilities`.
        """
        start = time.monotonic()
        probabilities, prepared = self.probabilities(channels, progress)
        predicted = time.monotonic()
        table = self.plan.table
        labels = argmax_on_grid(probabilities, table.values, prepared)
        label_map = LabelMap(labels, prepared.source, table)
        seconds = {"network": predicted - start, "labels": time.monotonic() - predicted}
        return Prediction(label_map, seconds, peak_rss_bytes())
