"""One model (or several) applied to cases: label map, uncertainty, timings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from voxloop.compute.memory import GIB, peak_rss_bytes, require_bytes
from voxloop.compute.progress import ProgressSink, silent
from voxloop.model.checkpoint import Checkpoint
from voxloop.model.device import best_device
from voxloop.model.unet import UNet
from voxloop.plan.plan import Plan
from voxloop.plan.preprocess import Prepared, plan_grid, prepare_image
from voxloop.predict.body import find_body
from voxloop.predict.effort import EFFORTS
from voxloop.predict.embedding import network_features
from voxloop.predict.engines.choose import CheckedEngine, open_engine
from voxloop.predict.footprint import Footprint, plan_footprint
from voxloop.predict.keeping import Keeper, Seen
from voxloop.predict.labelling import Labeller
from voxloop.predict.look import FAINT, class_look, engine_logits
from voxloop.predict.options import QualityWord
from voxloop.predict.refine.detail import needs_refinement, refine_seen
from voxloop.predict.slabs import Look
from voxloop.predict.sliding_window import blend_tiles, class_probabilities
from voxloop.predict.streaming import Passage, stream
from voxloop.predict.tiling import TiledImage
from voxloop.predict.views import (
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

_COARSE = "too little memory to follow the scan's own detail; outlines have the model's resolution"


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of a case.

    Attributes:
        label_map: on the case's own grid.
        seconds: wall time, by stage: `prepare`, `network`, `labels`.
        peak_bytes: the most memory the process has held.
        uncertainty: (I, J, K), entropy of the probabilities at each voxel, 255 where all classes
            are equally probable; None if it was not wanted.
        engine: what ran the network, e.g. `openvino-bf16`.
        seen: the probabilities that the label map was made of; None if they were not wanted, or
            the memory limit did not suffice for them.
        remark: what could not be done as well as it is meant to be; empty if all was.
    """

    label_map: LabelMap
    seconds: dict[str, float]
    peak_bytes: int
    uncertainty: npt.NDArray[np.uint8] | None = None
    engine: str = ""
    seen: Seen | None = None
    remark: str = ""


class Predictor:
    """Segments cases with one checkpoint or the mean of several of one plan.

    Args:
        checkpoints: at least one, all of the same plan.
        quality: how much time is given for accuracy, as `EFFORTS` says.
        mirror: average with mirrored views where the plan allows it; as the quality says, if not
            given.
        overlap: least shared part of neighbouring tiles; as the quality says, if not given.
        engine: what runs the network, one of `ENGINE_NAMES`.
        cache: folder for what engines compile; may be deleted at any time.
        memory_bytes: the most that the process may hold while it segments.
        skip_empty: whether air around the body goes unseen and is background. Not for structures
            of less than -700 HU, or of a masked scan's empty value, that lie outside the body.

    Raises:
        ValueError: if the checkpoints are not of one plan.
        UsageError: if there is no such engine.
        MissingExtraError: if it is not installed.
    """

    def __init__(
        self,
        *checkpoints: Checkpoint,
        quality: QualityWord = "default",
        mirror: bool | None = None,
        overlap: float | None = None,
        engine: str = "torch",
        cache: Path | None = None,
        memory_bytes: int = 4 * GIB,
        skip_empty: bool = True,
    ) -> None:
        self.plan: Plan = checkpoints[0].plan
        if any(c.plan.to_json() != self.plan.to_json() for c in checkpoints):
            raise ValueError("an ensemble needs checkpoints of one plan")
        effort = EFFORTS[quality]
        self._mirror = effort.mirror if mirror is None else mirror
        self._overlap = effort.overlap if overlap is None else overlap
        self._checkpoints = checkpoints
        self._wanted = _in_single_precision(engine) if effort.exact else engine
        self._refine = effort.refine
        self._cache = cache
        self._memory_bytes, self._skip_empty = memory_bytes, skip_empty

    @cached_property
    def engines(self) -> tuple[CheckedEngine, ...]:
        """What runs each model; made when first needed."""
        return tuple(open_engine(c, self._wanted, self._cache) for c in self._checkpoints)

    @cached_property
    def _networks(self) -> tuple[UNet, ...]:
        """The models as they were trained, for what looks inside them."""
        device = best_device()
        return tuple(checkpoint.network(device) for checkpoint in self._checkpoints)

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
        tiled = TiledImage(prepared.array, self.plan, prepared.grid.spacing_mm)
        blended = blend_tiles(self._look(), tiled, overlap=self._overlap, progress=progress)
        ends = zip(tiled.before, prepared.grid.shape, strict=True)
        inside = tuple(slice(b, b + n) for b, n in ends)
        return np.ascontiguousarray(blended[(slice(None), *inside)]), prepared

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

    def segment(
        self,
        channels: tuple[Volume, ...],
        progress: ProgressSink = silent,
        *,
        uncertainty: bool = False,
        keep: bool = False,
    ) -> Prediction:
        """Label map of a case on its own grid.

        The probabilities are never held at the scan's resolution: time and memory grow with the
        labels that compete in the same places, not with all there are. A scan clearly finer than
        the network's grid is refined by its own detail (`refine_seen`), for which they are kept on
        that grid.

        Args:
            channels: of the case.
            progress: told about the tiles.
            uncertainty: whether that is wanted as well.
            keep: whether the probabilities on the network's grid would be welcome.

        Raises:
            DataError: if the channels are not those of the plan.
            LimitError: if the memory limit does not suffice; nothing has been allocated then.
        """
        source = channels[0].geometry
        spacing_mm = plan_grid(source, self.plan).spacing_mm
        refine = self._refine and needs_refinement(spacing_mm, source.canonical().spacing_mm)
        footprint = self._footprint(channels, uncertainty=uncertainty, keep=keep or refine)
        start = time.monotonic()
        prepared = prepare_image(channels, self.plan)
        body = find_body(channels, self.plan) if self._skip_empty else None
        ready = time.monotonic()
        table, axis = self.plan.table, footprint.axis
        refined = refine and footprint.keep
        keeper = Keeper(prepared, len(table) + 1, axis) if footprint.keep else None
        labeller = None
        if uncertainty or not refined:
            labeller = Labeller(prepared, table.values, axis, uncertainty=uncertainty)
        passage = Passage(self._overlap, axis, footprint.half, body)
        receivers = [receiver for receiver in (labeller, keeper) if receiver is not None]
        spent = stream(
            self._look(FAINT), prepared, self.plan, passage, receivers, progress=progress
        )
        if labeller is not None and not refined:
            labels = labeller.labels
        elif keeper is not None:
            labels = refine_seen(channels, keeper.seen, self.plan, progress)
        seconds = {
            "prepare": ready - start,
            "network": spent,
            "labels": time.monotonic() - ready - spent,
        }
        return Prediction(
            LabelMap(labels, source, table),
            seconds,
            peak_rss_bytes(),
            uncertainty=None if labeller is None else labeller.entropy,
            engine=self.engines[0].name,
            seen=keeper.seen if keeper is not None and keep else None,
            remark=_COARSE if refine and not refined else "",
        )

    def _footprint(
        self, channels: tuple[Volume, ...], *, uncertainty: bool, keep: bool
    ) -> Footprint:
        return plan_footprint(
            channels[0].geometry,
            self.plan,
            sum(volume.array.nbytes for volume in channels),
            self._memory_bytes,
            engine=self._wanted,
            uncertainty=uncertainty,
            keep=keep,
        )

    def _look(self, faint: float = 0.0) -> Look:
        axes = self.plan.mirror_axes if self._mirror else ()
        models = [engine_logits(engine) for engine in self.engines]
        return class_look(models, mirror_axes=axes, faint=faint)

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


def _in_single_precision(engine: str) -> str:
    """An engine in fp32, unless its precision was asked for by name."""
    program, _, precision = engine.partition("-")
    if precision:
        return engine
    return "torch-fp32" if program == "auto" else f"{program}-fp32"
