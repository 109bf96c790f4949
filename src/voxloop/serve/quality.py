"""What the newest model expects its result for a case to be worth, or why it does not know."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from voxloop.errors import DataError
from voxloop.report.outcome import CaseOutcome, LabelOutcome
from voxloop.serve.schemas import LabelQualityOut, QualityOut
from voxloop.workspace.documents import read_record
from voxloop.workspace.proposals import model_file
from voxloop.workspace.workspace import Workspace

__all__ = ["quality_of"]

_NOT_VALIDATED = (
    "the model was not validated: only then is it known how its results for other cases turn out. "
    "“Train, check and ask” on the dashboard does it, and so does `voxloop validate`"
)
_OLDER = "this proposal is older than the model's validation; the next training renews it"
_UNREADABLE = "the record of this proposal cannot be read; the next training renews it"


def quality_of(workspace: Workspace, prediction: Path) -> QualityOut:
    """Read what was recorded beside a proposal.

    Args:
        workspace: the case's.
        prediction: the newest model's label map of the case.
    """
    record = prediction.with_name(f"{prediction.name.removesuffix('.nii.gz')}.json")
    try:
        outcome = read_record(record, lambda document: CaseOutcome.from_json(document, "kept"))
    except DataError:
        return QualityOut(labels=[], checks=[], why_unknown=_UNREADABLE)
    known = any(label.quality is not None for label in outcome.per_label)
    return QualityOut(
        labels=[_label(label) for label in outcome.per_label],
        checks=list(outcome.checks),
        why_unknown="" if known else outcome.remark or _why_unknown(workspace),
    )


def _label(label: LabelOutcome) -> LabelQualityOut:
    found = {} if label.quality is None else asdict(label.quality)
    found.pop("flags", None)
    return LabelQualityOut(name=label.name, volume_ml=label.volume_ml, **found)


def _why_unknown(workspace: Workspace) -> str:
    model = model_file(workspace)
    if model is None:
        return _OLDER
    round_number = int(model.parents[2].name)
    is_validated = workspace.layout.calibration_file(round_number).is_file()
    return _OLDER if is_validated else _NOT_VALIDATED
