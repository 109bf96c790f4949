"""Apply a model to scans, however many: what fails is listed, and the rest is done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.errors import Problem, UsageError
from voxloop.model.checkpoint import load_checkpoint
from voxloop.predict.options import InferenceOptions
from voxloop.report.batch import BatchSummary
from voxloop.workspace.batch import Batch
from voxloop.workspace.predictions import RESERVED, LayoutWord, PredictionFolder
from voxloop.workspace.scans import FoundScans, find_scans

__all__ = ["SegmentResult", "segment"]

_BUG, _BAD_DATA, _LIMIT = 1, 3, 4
"""Exit codes of a batch in which something failed."""


_KEPT_S = 2.0
"""Cases that are only kept pass quickly; the summary is not written more often for them."""


@dataclass(frozen=True)
class SegmentResult:
    """What `segment` did.

    Attributes:
        out: folder of the label maps, one `<case>.nii.gz` with a `<case>.json` each.
        summary: what became of each case.
        wrote: files of the summary, the page first where there is one.
        seconds: wall time of all stages over the cases done now.
    """

    out: Path
    summary: BatchSummary
    wrote: tuple[Path, ...]
    seconds: float

    @property
    def written(self) -> tuple[str, ...]:
        """Ids of the cases that were segmented."""
        return self._ids("done")

    @property
    def kept(self) -> tuple[str, ...]:
        """Ids of cases that this model had segmented before."""
        return self._ids("kept")

    @property
    def failed(self) -> tuple[Problem, ...]:
        """What was wrong with the others."""
        return tuple(problem for case in self.summary.cases for problem in case.problems)

    @property
    def exit_code(self) -> int:
        """0; 3 if scans failed; 4 if the only one does not fit into memory; 1 for a bug of ours."""
        causes = [case.cause for case in self.summary.cases if case.state == "failed"]
        if "bug" in causes:
            return _BUG
        tried = [case for case in self.summary.cases if case.state != "earlier"]
        if causes == ["limit"] and len(tried) == 1:
            return _LIMIT
        return _BAD_DATA if causes else 0

    @property
    def next_step(self) -> str:
        """What to do now, in words."""
        if self.failed:
            return "correct the scans named above and run the same command again"
        page = next((path for path in self.wrote if path.suffix == ".html"), self.out)
        return f"look at {page}, then `voxloop mesh {self.out}` for surfaces"

    def to_json(self) -> dict[str, Any]:
        """The result as a document: that of `summary.json`, and what this run did."""
        return {
            **self.summary.to_json(),
            "out": str(self.out),
            "written": list(self.written),
            "kept": list(self.kept),
            "failed": [
                {"case": case.id, "cause": case.cause, "problems": list(map(str, case.problems))}
                for case in self.summary.cases
                if case.state == "failed"
            ],
            "seconds": round(self.seconds, 2),
        }

    def _ids(self, state: str) -> tuple[str, ...]:
        return tuple(case.id for case in self.summary.cases if case.state == state)


def segment(
    model: Path,
    scans: Path | Sequence[Path],
    out: Path,
    progress: ProgressSink = silent,
    *,
    options: InferenceOptions | None = None,
    layout: LayoutWord = "plain",
    overwrite: bool = False,
) -> SegmentResult:
    """Write a label map for every scan, on the scan's own grid, and a summary of all.

    A scan that fails does not keep the others from being done. What the same model has segmented
    from the same file in the same way is kept, so a run that was stopped continues, whatever
    stopped it. The summary is written anew after every case. A model that was validated has its
    label maps cleaned by the rules chosen then, and their quality predicted.

    Args:
        model: file of a checkpoint.
        scans: folders (data sets, whose label maps are not looked at, or plain ones) and files.
        out: folder for the label maps; created if need be.
        progress: told about each case and tile.
        options: quality, engine, memory, uncertainty, estimates.
        layout: of the folder.
        overwrite: also segment again what would be kept, and replace label maps of others.

    Raises:
        DataError: if the model is bad, or no scan is found.
        UsageError: if the label maps would replace the scans.
        StorageError: if the disk refuses; what was written stays.
    """
    options = options or InferenceOptions()
    checkpoint = load_checkpoint(model)
    folder = PredictionFolder(out, layout, checkpoint.plan.table)
    sources = [scans] if isinstance(scans, Path) else list(scans)
    found = find_scans(sources, len(checkpoint.plan.channel_names), RESERVED)
    _require_other_folder(found, out)
    batch = Batch(checkpoint, model, folder, options, found)
    folder.prepare(checkpoint.plan.channel_names, model.stem)
    wrote = batch.write_summary()  # a disk that refuses does so before anything is computed
    written_s = time.monotonic()
    for number, case in enumerate(found.cases):
        progress(Progress("cases", number, len(found.cases), case.id))
        outcome = batch.do(case, progress, overwrite=overwrite)
        if outcome.state != "kept" or time.monotonic() > written_s + _KEPT_S:
            batch.write_summary()
            written_s = time.monotonic()
    wrote = batch.write_summary()
    progress(Progress("cases", len(found.cases), len(found.cases)))
    summary = batch.summary()
    done = (case for case in summary.cases if case.state == "done")
    return SegmentResult(out, summary, wrote, sum(sum(case.seconds.values()) for case in done))


def _require_other_folder(found: FoundScans, out: Path) -> None:
    folder = out.resolve()
    for case in found.cases:
        target = out / f"{case.id}.nii.gz"
        for path in case.channels:
            if path.parent.resolve() == folder or _are_one(path, target):
                message = f"the label maps cannot lie among the scans in {out}: choose another"
                raise UsageError(message)


def _are_one(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:  # one is absent, or cannot even be looked up
        return False
