"""Let the newest model propose labels for every case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.errors import DataError, LimitError, StorageError
from voxloop.workspace.jobs import running_job
from voxloop.workspace.learning import newest_model
from voxloop.workspace.proposals import predicted
from voxloop.workspace.workspace import Workspace

__all__ = ["ProposeResult", "propose"]


@dataclass(frozen=True)
class ProposeResult:
    """What `propose` did.

    Attributes:
        cases: ids for which there is a proposal now.
        failed: for each other case why there is none, in words.
    """

    cases: tuple[str, ...]
    failed: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {"cases": list(self.cases), "failed": self.failed}


def propose(workspace: Workspace, progress: ProgressSink = silent) -> ProposeResult:
    """Predict every case, so that annotators have a label map to start from; resumes.

    Cases that are asked for come first.

    Args:
        workspace: with a model.
        progress: told about each case.

    Raises:
        UsageError: if there is no model, or another long job runs.
        StorageError: if the disk refuses.
    """
    done, failed = [], {}
    with running_job(workspace.layout, "propose"):
        newest_model(workspace)
        asked = {query.query.case_id for query in workspace.open_queries()}
        records = sorted(workspace.cases(), key=lambda record: record.id not in asked)
        for number, record in enumerate(records):
            progress(Progress("proposing", number, len(records), record.id))
            try:
                predicted(workspace, record)
                done.append(record.id)
            except StorageError:  # which every other case would meet as well
                raise
            except (DataError, LimitError) as error:
                failed[record.id] = str(error)
        progress(Progress("proposing", len(records), len(records)))
    return ProposeResult(tuple(done), failed)
