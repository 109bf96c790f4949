"""Apply a model to scans."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from voxloop.compute.atomic import write_json
from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.dataset.case import Case
from voxloop.dataset.dataset import Dataset
from voxloop.dataset.index import CaseCollector
from voxloop.dataset.layouts import read_dataset
from voxloop.dataset.load import naming_case, read_case_channels
from voxloop.errors import DataError, LimitError, Problem
from voxloop.io.formats import strip_suffix, write_label_map
from voxloop.model.checkpoint import load_checkpoint
from voxloop.predict.predictor import Predictor

__all__ = ["SegmentResult", "segment"]


@dataclass(frozen=True)
class SegmentResult:
    """What `segment` did.

    Attributes:
        out: folder of the label maps, one `<case>.nii.gz` with a `<case>.json` each.
        written: ids of the cases that were segmented.
        kept: ids of cases that this model had segmented before.
        failed: what was wrong with the others.
        seconds: wall time of all stages over the cases written.
    """

    out: Path
    written: tuple[str, ...]
    kept: tuple[str, ...]
    failed: tuple[Problem, ...]
    seconds: float

    @property
    def next_step(self) -> str:
        """What to do now, in words."""
        if self.failed:
            return "correct the scans named above and run the same command again"
        return f"look at the label maps, then `voxloop mesh {self.out}` for surfaces"

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {
            "out": str(self.out),
            "written": list(self.written),
            "kept": list(self.kept),
            "failed": [asdict(problem) for problem in self.failed],
            "seconds": round(self.seconds, 2),
        }


def segment(
    model: Path,
    scans: Path | Sequence[Path],
    out: Path,
    progress: ProgressSink = silent,
) -> SegmentResult:
    """Write a label map for every scan, on the scan's own grid.

    A bad scan does not keep the others from being done. What the same model has segmented from
    the same file is kept, so an interrupted run continues.

    Args:
        model: file of a checkpoint.
        scans: a data-set folder (its label maps are not looked at), or files of one channel.
        out: folder for the label maps; created if need be.
        progress: told about each case and tile.

    Raises:
        DataError: if the model is bad, or no scan is found.
        StorageError: if the disk refuses; what was written stays.
    """
    checkpoint = load_checkpoint(model)
    predictor = Predictor(checkpoint)
    identity = {"model": checkpoint.sha256}
    cases = _cases(scans)
    written: list[str] = []
    kept: list[str] = []
    failed: list[Problem] = []
    seconds = 0.0
    for number, case in enumerate(cases, start=1):
        progress(Progress("cases", number - 1, len(cases), case.id))
        try:
            source = identity | {"scans": [_file_hash(path) for path in case.channels]}
            if _is_done(out, case, source):
                kept.append(case.id)
                continue
            channels = read_case_channels(case)
            with naming_case(case):
                prediction = predictor.segment(channels, progress)
        except DataError as error:
            failed += error.problems
            continue
        except LimitError as error:
            failed.append(
                Problem(case.where(), "a scan that fits into memory", str(error), "crop the scan")
            )
            continue
        write_label_map(out / f"{case.id}.nii.gz", prediction.label_map)
        took = {stage: round(value, 3) for stage, value in prediction.seconds.items()}
        labels = checkpoint.plan.table.to_json()
        write_json(out / f"{case.id}.json", {**source, "labels": labels, "seconds": took})
        written.append(case.id)
        seconds += sum(prediction.seconds.values())
    progress(Progress("cases", len(cases), len(cases)))
    return SegmentResult(out, tuple(written), tuple(kept), tuple(failed), seconds)


def _cases(scans: Path | Sequence[Path]) -> tuple[Case, ...]:
    if isinstance(scans, Path) and scans.is_dir():
        return read_dataset(scans).cases
    collector = CaseCollector.empty()
    for path in [scans] if isinstance(scans, Path) else scans:
        collector.add(strip_suffix(path.name), (path,), None)
    return Dataset(collector.finish(), None, ("image",), "files").cases


def _is_done(out: Path, case: Case, source: dict[str, Any]) -> bool:
    if not (out / f"{case.id}.nii.gz").exists():
        return False
    with contextlib.suppress(OSError, ValueError):
        record = json.loads((out / f"{case.id}.json").read_text())
        return bool({key: record.get(key) for key in source} == source)
    return False


def _file_hash(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            Problem(str(path), "a readable file", str(error.strerror), "check the path")
        ) from error
