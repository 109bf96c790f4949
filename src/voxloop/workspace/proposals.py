"""What an annotator starts from: what is known of a case, and the model's opinion of the rest."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voxloop.compute.atomic import write_json
from voxloop.compute.progress import ProgressSink, silent
from voxloop.dataset.annotation import Target
from voxloop.dataset.case import Case
from voxloop.errors import DataError
from voxloop.io.formats import read_label_map, write_label_map
from voxloop.volume.labels import BACKGROUND
from voxloop.volume.volume import LabelArray, LabelMap
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.documents import read_record
from voxloop.workspace.rounds import RoundStage
from voxloop.workspace.workspace import Workspace

__all__ = [
    "Proposal",
    "model_file",
    "predicted",
    "prediction_file",
    "proposal_of",
    "segment_into",
    "voxel_hash",
]

_KEY_DIGITS = 16

_MODEL = "model.safetensors"
"""`train.loop.MODEL_FILE`, whose module brings torch along."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """A label map to start from.

    Attributes:
        label_map: on the case's grid; 0 where nothing is known and no model was asked.
        source: where it comes from, in words.
        sha256: of its voxels.
    """

    label_map: LabelMap
    source: str
    sha256: str


def proposal_of(
    workspace: Workspace, record: CaseRecord, progress: ProgressSink = silent
) -> Proposal:
    """What an annotator of a case starts from.

    While a round waits for annotations it stays the same for each case and is kept, so that it
    is known later what the annotator has changed.

    Args:
        workspace: the case's.
        record: the case.
        progress: told about the model's work, which takes seconds to minutes the first time.

    Raises:
        DataError: if the scan was changed or is bad.
        LimitError: if memory does not suffice for the model.
        StorageError: if the disk refuses.
    """
    latest = workspace.current_round()
    if latest is None or latest.stage is not RoundStage.ANNOTATING:
        return _made(workspace, record, progress)
    path = workspace.layout.packed_map(latest.number, record.id)
    about = path.with_name(f"{record.id}.json")
    if path.exists() and about.exists():
        source, sha256 = read_record(about, lambda d: (d["source"], d["sha256"]))
        label_map = read_label_map(path, workspace.labels)
        if voxel_hash(label_map.array) == sha256:
            return Proposal(label_map, source, sha256)
    made = _made(workspace, record, progress)
    write_json(about, {"source": made.source, "sha256": made.sha256})
    write_label_map(path, made.label_map)
    return made


def prediction_file(workspace: Workspace, record: CaseRecord) -> Path | None:
    """Where the newest model's label map of a case lies or will lie; None without a model."""
    model = model_file(workspace)
    if model is None:
        return None
    return workspace.layout.cache / "proposals" / _key(_stamps(model)) / f"{record.id}.nii.gz"


def model_file(workspace: Workspace) -> Path | None:
    """The model of the newest round that has one; None before the first."""
    for record in reversed(workspace.rounds()):
        path = workspace.layout.member_folder(record.number, 0) / _MODEL
        if path.exists():
            return path
    return None


def predicted(
    workspace: Workspace, record: CaseRecord, progress: ProgressSink = silent
) -> LabelMap | None:
    """What the newest model says of a case, as `voxloop segment` would; None without a model.

    Raises:
        DataError: if the scan was changed or is bad.
        LimitError: if memory does not suffice.
    """
    path = prediction_file(workspace, record)
    if path is None:
        return None
    if not path.exists():
        changes = record.changes(workspace.layout)
        if changes:
            raise DataError(changes)
        segment_into(workspace, record.case(workspace.layout), path.parent, progress)
    return read_label_map(path, workspace.labels)


def segment_into(
    workspace: Workspace, case: Case, folder: Path, progress: ProgressSink = silent
) -> Path:
    """Write what the newest model says of any scan, as `voxloop segment` would, and give the file.

    Args:
        workspace: with a model.
        case: a scan of the model's channels; need not be in the workspace.
        folder: where to write `<case>.nii.gz`.
        progress: told about the tiles.

    Raises:
        DataError: if the scan is bad.
        UsageError: if there is no model.
    """
    from voxloop.model.checkpoint import load_checkpoint
    from voxloop.predict.options import InferenceOptions
    from voxloop.workspace.batch import Batch
    from voxloop.workspace.learning import newest_model
    from voxloop.workspace.predictions import PredictionFolder
    from voxloop.workspace.scans import FoundScans

    model = newest_model(workspace)
    checkpoint = load_checkpoint(model)
    target = PredictionFolder(folder, "plain", checkpoint.plan.table)
    options = InferenceOptions(uncertainty=True, cache=workspace.layout.cache / "engines")
    batch = Batch(checkpoint, model, target, options, FoundScans((case,), (), ()))
    outcome = batch.do(case, progress, overwrite=True)
    if outcome.problems:
        raise DataError(outcome.problems)
    return target.label_map_file(case.id)


def voxel_hash(array: LabelArray) -> str:
    """SHA-256 of a label map's shape and voxels, whatever file they are in."""
    digest = hashlib.sha256(repr(array.shape).encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _made(workspace: Workspace, record: CaseRecord, progress: ProgressSink) -> Proposal:
    target = workspace.target_of(record.id)
    prediction = predicted(workspace, record, progress)
    array = _joined(target, None if prediction is None else prediction.array)
    parts = []
    if prediction is not None:
        parts.append(f"the model {_model_words(workspace)}")
    if target.looked_at.any():
        parts.append("earlier annotations")
    label_map = LabelMap(array, record.geometry, workspace.labels)
    return Proposal(label_map, " and ".join(parts) or "empty", voxel_hash(array))


def _joined(target: Target, prediction: LabelArray | None) -> LabelArray:
    """What people said where they looked for a label, what the model says elsewhere."""
    if prediction is None:
        return np.where(target.looked_at, target.values, np.uint8(BACKGROUND))
    joined = prediction.copy()
    for index, asked in enumerate(target.asked_sets):
        known = target.asked == index
        known &= (target.values != BACKGROUND) | np.isin(prediction, [BACKGROUND, *asked])
        if asked:
            joined[known] = target.values[known]
    return joined


def _model_words(workspace: Workspace) -> str:
    model = model_file(workspace)
    return "" if model is None else f"of round {model.parents[2].name}"


@functools.lru_cache(maxsize=8)
def _key(stamps: tuple[tuple[Path, int, int], ...]) -> str:
    """Hash of all files that determine what a model says."""
    digest = hashlib.sha256()
    for path, _, _ in stamps:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:_KEY_DIGITS]


def _stamps(model: Path) -> tuple[tuple[Path, int, int], ...]:
    """The files that determine what a model says, each with time of change and size."""
    detail, learned = model.parent / "detail", model.parents[2]
    lessons = (learned / "postprocessing.json", learned / "calibration.json")
    files = (model, detail / "detail.json", detail / model.name, *lessons)
    found = [(path, path.stat()) for path in files if path.is_file()]
    return tuple((path, status.st_mtime_ns, status.st_size) for path, status in found)
