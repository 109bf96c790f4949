"""A batch of scans on its way to label maps: each case on its own, and what became of it."""

from __future__ import annotations

import hashlib
import json
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from voxloop import __version__
from voxloop.compute.memory import format_bytes
from voxloop.compute.progress import ProgressSink
from voxloop.dataset.case import Case
from voxloop.dataset.load import naming_case, read_case_channels
from voxloop.errors import (
    DataError,
    LimitError,
    MissingExtraError,
    Problem,
    StorageError,
    UsageError,
)
from voxloop.model.checkpoint import Checkpoint
from voxloop.predict.options import InferenceOptions
from voxloop.predict.postprocess import PostProcessing, apply
from voxloop.predict.predictor import Prediction, Predictor
from voxloop.predict.quality.assess import Assessor
from voxloop.predict.refine.two_stage import TwoStagePredictor
from voxloop.report.batch import BatchSummary, write_batch
from voxloop.report.outcome import CaseEstimate, CaseOutcome, LabelOutcome, Quality
from voxloop.report.thumbnail import thumbnail_plane, thumbnail_png
from voxloop.volume.volume import LabelMap, Volume
from voxloop.workspace.detail import Detail, detail_of
from voxloop.workspace.lessons import lessons_for
from voxloop.workspace.predictions import PredictionFolder, file_sha256
from voxloop.workspace.scans import FoundScans

__all__ = ["Batch"]


class Batch:
    """A batch on its way: what became of each case so far.

    Args:
        checkpoint: the model.
        model: its file.
        folder: for the label maps.
        options: quality, engine, memory and uncertainty.
        found: the scans.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        model: Path,
        folder: PredictionFolder,
        options: InferenceOptions,
        found: FoundScans,
    ) -> None:
        self._checkpoint, self._folder, self._options = checkpoint, folder, options
        self._found = found
        detail = detail_of(model, checkpoint)
        first = _open(checkpoint, options)
        self._predictor: Predictor | TwoStagePredictor = first
        if detail is not None:
            second = _open(detail.checkpoint, options)
            self._predictor = TwoStagePredictor(first, second, detail.margin_mm)
        lessons = lessons_for(model)
        self._rules = lessons.rules
        self._assess: Assessor | None = None
        if options.estimate and lessons.calibration is not None:
            self._assess = Assessor(first, lessons.calibration, lessons.rules)
        self._source = {
            "model": checkpoint.sha256,
            "detail": "" if detail is None else detail.checkpoint.sha256,
            "recipe": _recipe(checkpoint, lessons.rules),
            "calibration": lessons.calibration_sha256 if options.estimate else "",
            "labels": folder.stored_table.to_json(),
            "quality": options.quality,
        }
        self._provenance = (
            ("model", f"{model.name}, weights {checkpoint.sha256[:12]}"),
            *_about_detail(detail),
            ("quality", options.quality),
            ("memory", f"at most {format_bytes(options.memory_bytes)}"),
            ("labels", ", ".join(f"{v} {n}" for v, n in folder.stored_table.names.items())),
            ("Voxloop", __version__),
        )
        self._outcomes = {case.id: CaseOutcome(case.id, "waiting") for case in found.cases}
        refusals: dict[str, list[Problem]] = {}
        for scan in found.refused:
            refusals.setdefault(scan.id, []).append(scan.problem)
        for case_id, problems in refusals.items():
            self._outcomes[case_id] = CaseOutcome(
                case_id, "failed", problems=tuple(problems), cause="data"
            )
        self._earlier = tuple(folder.earlier(set(self._outcomes)))
        self._pictures = True

    def do(self, case: Case, progress: ProgressSink, *, overwrite: bool) -> CaseOutcome:
        """Segment a case, unless that was done; whatever is wrong with it is noted."""
        try:
            self._outcomes[case.id] = self._done(case, progress, overwrite=overwrite)
        except (StorageError, UsageError):  # which every other case would meet as well
            raise
        except DataError as error:
            self._note_failure(case, "data", error.problems)
        except (LimitError, MemoryError) as error:
            limit = format_bytes(self._options.memory_bytes)
            expected = f"a scan that can be segmented within {limit} of memory"
            found = str(error).partition("; ")[0] or "no memory left"
            remedy = "allow more (--memory), or crop or downsample the scan"
            self._note_failure(case, "limit", [_about(case, expected, found, remedy)])
        except Exception as error:  # noqa: BLE001 - hours of other cases must not be lost to a bug
            found = f"a bug of ours: {type(error).__name__}: {error}"
            remedy = "please report it with the traceback, which summary.json holds"
            problem = _about(case, "a label map", found, remedy)
            self._note_failure(case, "bug", [problem], traceback.format_exc())
        return self._outcomes[case.id]

    def write_summary(self) -> tuple[Path, ...]:
        """Bring the summary up to date."""
        return write_batch(self._folder.path, self.summary())

    def summary(self) -> BatchSummary:
        """What became of all so far."""
        cases = (*self._outcomes.values(), *self._earlier)
        names = tuple(self._folder.table.names.values())
        return BatchSummary(cases, names, self._provenance, self._found.ignored)

    def _done(self, case: Case, progress: ProgressSink, *, overwrite: bool) -> CaseOutcome:
        with naming_case(case):
            source = {**self._source, "scans": [_scan_hash(path) for path in case.channels]}
        if not overwrite:
            wanted = {k: v for k, v in source.items() if v or k != "calibration"}
            kept = self._folder.kept(case, wanted, uncertainty=self._options.uncertainty)
            if kept is not None:
                return kept
            self._folder.require_replaceable(case)
        started = time.monotonic()
        channels = read_case_channels(case)
        read = time.monotonic()
        _ = self._predictor.engines  # made for the first case
        opened = time.monotonic()
        with naming_case(case):
            prediction = self._predictor.segment(
                channels,
                progress,
                uncertainty=self._options.uncertainty,
                keep=self._assess is not None,
            )
        predicted = time.monotonic()
        label_map = _cleaned(prediction.label_map, self._rules)
        cleaned = time.monotonic()
        estimate, remark = self._estimate(channels, prediction)
        assessed = time.monotonic()
        plane = thumbnail_plane(label_map.geometry)
        counts = _counts(label_map, plane.array_axis(label_map.geometry))
        thumbnail = self._thumbnail(channels[0], label_map, counts)
        seconds = {
            "read": read - started,
            "engine": opened - read,
            **prediction.seconds,
            "clean": cleaned - predicted,
            "assess": assessed - cleaned,
            "picture": time.monotonic() - assessed,
        }
        outcome = CaseOutcome(
            case.id,
            "done",
            self._per_label(label_map, counts.sum(axis=0), estimate),
            _case_flags(counts, estimate),
            seconds={stage: round(value, 3) for stage, value in seconds.items()},
            peak_bytes=prediction.peak_bytes,
            engine=prediction.engine,
            remark="; ".join(filter(None, (prediction.remark, remark))),
        )
        return self._folder.write(label_map, outcome, source, prediction.uncertainty, thumbnail)

    def _estimate(
        self, channels: tuple[Volume, ...], prediction: Prediction
    ) -> tuple[CaseEstimate | None, str]:
        """How good the result is expected to be, or why that is not known."""
        if self._assess is None:
            return None, ""
        try:
            return self._assess(channels, prediction), ""
        except LimitError as error:  # which does not make the label map any worse
            return None, f"its quality could not be estimated: {error}"

    def _per_label(
        self,
        label_map: LabelMap,
        counts: npt.NDArray[np.int64],
        estimate: CaseEstimate | None,
    ) -> tuple[LabelOutcome, ...]:
        voxel_ml = label_map.geometry.voxel_volume_mm3 / 1000
        known = {} if estimate is None else {e.label: Quality.of(e) for e in estimate.labels}
        return tuple(
            LabelOutcome(name, round(int(counts[value]) * voxel_ml, 4), known.get(name))
            for value, name in self._folder.table.names.items()
        )

    def _thumbnail(
        self, image: Volume, label_map: LabelMap, counts: npt.NDArray[np.int64]
    ) -> bytes:
        if not self._pictures:
            return b""
        try:
            return thumbnail_png(image, label_map, counts[:, 1:].sum(axis=1))
        except MissingExtraError:
            self._pictures = False
            return b""

    def _note_failure(
        self,
        case: Case,
        cause: Literal["data", "limit", "bug"],
        problems: Sequence[Problem],
        trace: str = "",
    ) -> None:
        old = self._folder.label_map_file(case.id)
        remark = f"{old.name} is of an earlier run" if old.is_file() else ""
        self._outcomes[case.id] = CaseOutcome(
            case.id, "failed", problems=tuple(problems), cause=cause, traceback=trace, remark=remark
        )


def _open(checkpoint: Checkpoint, options: InferenceOptions) -> Predictor:
    """The one place where options become a predictor."""
    return Predictor(
        checkpoint,
        quality=options.quality,
        engine=options.engine,
        cache=options.cache,
        memory_bytes=options.memory_bytes,
    )


def _about_detail(detail: Detail | None) -> tuple[tuple[str, str], ...]:
    if detail is None:
        return ()
    spacing = " x ".join(f"{side:.2g}" for side in detail.checkpoint.plan.spacing_mm)
    return (("drawn by", f"a second model at {spacing} mm; estimates are those of the first"),)


def _case_flags(counts: npt.NDArray[np.int64], estimate: CaseEstimate | None) -> tuple[str, ...]:
    if estimate is not None:
        return tuple(flag.reason for flag in estimate.flags)
    return () if counts[:, 1:].any() else ("nothing was found of any label",)


def _cleaned(label_map: LabelMap, rules: PostProcessing) -> LabelMap:
    array = apply(label_map.array, rules, label_map.geometry.spacing_mm)
    unchanged = array is label_map.array
    return label_map if unchanged else LabelMap(array, label_map.geometry, label_map.labels)


def _recipe(checkpoint: Checkpoint, rules: PostProcessing) -> str:
    """Hash of all that determines a label map beside weights and scan."""
    document = [checkpoint.plan.to_json(), dict(checkpoint.provenance), rules.to_json()]
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _counts(label_map: LabelMap, axis: int) -> npt.NDArray[np.int64]:
    """Voxels of each value (255 last) in each slice across an axis, a slice at a time."""
    slices = np.moveaxis(label_map.array, axis, 0)
    return np.stack([np.bincount(part.ravel(order="K"), minlength=256) for part in slices])


def _scan_hash(path: Path) -> str:
    found = file_sha256(path)
    if found is None:
        problem = Problem(str(path), "a file", "none of this name", "check the path")
        raise DataError(problem)
    return found


def _about(case: Case, expected: str, found: str, remedy: str) -> Problem:
    return Problem(case.where(case.channels[0]), expected, found, remedy)
