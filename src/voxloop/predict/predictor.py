"""One model (or several) applied to cases: label map, uncertainty, timings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.compute.memory import peak_rss_bytes, require_bytes
from voxloop.compute.progress import ProgressSink, silent
from voxloop.model.checkpoint import Checkpoint
from voxloop.model.device import best_device
from voxloop.model.unet import UNet
from voxloop.plan.plan import Plan
from voxloop.plan.preprocess import Prepared, argmax_on_grid, plan_grid, prepare_image
from voxloop.predict.embedding import network_features
from voxloop.predict.sliding_window import class_probabilities
from voxloop.predict.views import (
    AS_IT_IS,
    View,
    seen_back,
    seen_through,
    views_for,
    with_dropped,
)
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
        self._require_memory(channels)
        prepared = prepare_image(channels, self.plan)
        total: Float32Array | None = None
        for network in self._networks:
            found = self._through(AS_IT_IS, network, prepared, progress)
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
        return _on_source(found, prepared)

    def each_member(
        self,
        channels: tuple[Volume, ...],
        views: tuple[View, ...] = (),
        progress: ProgressSink = silent,
    ) -> Iterator[Float32Array]:
        """Probabilities (C, I, J, K) on the case's own grid: each model, through each view.

        One at a time, so that memory does not grow with their number.

        Args:
            channels: of the case.
            views: those that the plan allows are taken; the scan as it is, if there are none.
            progress: told about the tiles, anew for each member.

        Raises:
            DataError, LimitError: as `probabilities`, when the first is asked for.
        """
        self._require_memory(channels)
        prepared = prepare_image(channels, self.plan)
        for network in self._networks:
            for view in views_for(self.plan, views):
                yield _on_source(self._through(view, network, prepared, progress), prepared)

    def members_on_grid(
        self,
        channels: tuple[Volume, ...],
        views: tuple[View, ...] = (),
        progress: ProgressSink = silent,
    ) -> Float32Array:
        """All of `each_member` at once, (M, C, I, J, K), model by model.

        Raises:
            DataError, LimitError: as `probabilities`; nothing has been allocated then.
        """
        shape = channels[0].geometry.shape
        members = len(self._networks) * len(views_for(self.plan, views))
        classes = len(self.plan.labels) + 1
        held = 4 * channels[0].array.size * classes * (members + 1)
        self._require_memory(channels, held, f"{members} predictions of ")
        found = np.empty((members, classes, *shape), dtype=np.float32)
        for place, member in enumerate(self.each_member(channels, views, progress)):
            found[place] = member
        return found

    def features_on_grid(self, channels: tuple[Volume, ...]) -> Float32Array:
        """What the first model makes of a case before it decides.

        Returns:
            (F, a, b, c): F features on coarse cells that span the case's own grid evenly, in the
            order of its axes: voxel i of I lies in cell i * a // I.

        Raises:
            DataError, LimitError: as `probabilities`.
        """
        self._require_memory(channels)
        prepared = prepare_image(channels, self.plan)
        return network_features(self._networks[0], prepared, self.plan, overlap=self._overlap)

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

    def _through(
        self, view: View, network: UNet, prepared: Prepared, progress: ProgressSink
    ) -> Float32Array:
        """What a network gives for a view of a case, on the case's prepared grid."""
        spacing_mm = prepared.grid.spacing_mm
        with with_dropped(view, network):
            found = class_probabilities(
                network,
                seen_through(view, prepared.array, spacing_mm),
                self.plan,
                spacing_mm,
                overlap=self._overlap,
                mirror=self._mirror,
                turn=view.turn,
                progress=progress,
            )
        return seen_back(view, found, prepared.grid.shape, spacing_mm)

    def _require_memory(self, channels: tuple[Volume, ...], held: int = 0, what: str = "") -> None:
        grid = plan_grid(channels[0].geometry, self.plan)
        classes = len(self.plan.labels) + 1
        working = 4 * (grid.voxel_count * (2 * classes + 6) + channels[0].array.size * 6)
        shape = channels[0].geometry.shape
        require_bytes(working + held, f"{what or 'segmenting '}a scan of {shape} voxels")


def _on_source(probabilities: Float32Array, prepared: Prepared) -> Float32Array:
    return np.stack([resample_linear(p, prepared.grid, prepared.source) for p in probabilities])
