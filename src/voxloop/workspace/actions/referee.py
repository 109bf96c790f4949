"""Say from the answers of a workspace's own rounds whether its query strategy pays."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from voxloop.active.advice.referee import Answer, Judgement, judge
from voxloop.compute.atomic import write_json
from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.dataset.annotation import Target
from voxloop.errors import DataError
from voxloop.train.loop import MODEL_FILE
from voxloop.volume.boxes import Box
from voxloop.volume.labels import BACKGROUND
from voxloop.volume.volume import LabelMap
from voxloop.workspace.documents import read_document
from voxloop.workspace.jobs import running_job
from voxloop.workspace.learning import read_scans
from voxloop.workspace.queries import QueryStatus, StoredQuery, queries_of
from voxloop.workspace.workspace import Workspace

if TYPE_CHECKING:
    from voxloop.predict.predictor import Predictor

__all__ = ["RefereeResult", "referee"]

_CAVEAT = (
    "More error found per cost is a sign of a better Dice, no proof: an error that is rare, or "
    "that no model can learn, is found and gains nothing. `voxloop simulate` measures the Dice."
)


@dataclass(frozen=True)
class RefereeResult:
    """Whether the strategies pay.

    Attributes:
        judgements: of each strategy that has asked with a model, the newest first.
        answers: what they rest on.
        caveat: what the numbers cannot show.
    """

    judgements: tuple[Judgement, ...]
    answers: tuple[Answer, ...]
    caveat: str = _CAVEAT

    @property
    def next_step(self) -> str:
        """What to do now, in words."""
        if not any(answer.is_control for answer in self.answers):
            return "let a share of the queries be controls from the next `voxloop suggest` on"
        return "run `voxloop suggest`; every further control region narrows the interval"

    def to_json(self) -> dict[str, Any]:
        """The result as a document; a bound that is not there is None."""
        return {
            "judgements": [
                {key: _finite(value) for key, value in asdict(found).items()}
                | {"sentence": found.in_words()}
                for found in self.judgements
            ],
            "answers": [asdict(answer) for answer in self.answers],
            "caveat": self.caveat,
        }


def referee(
    workspace: Workspace, *, seed: int = 0, progress: ProgressSink = silent
) -> RefereeResult:
    """Compare what each strategy's regions taught with what the control regions did.

    For every answered query, the model of the round that asked, which had not seen the answer,
    is applied again, and the volume that it had wrong in the region is counted. Counts are kept
    in the cache, so only new answers are computed the next time.

    Args:
        workspace: with answered queries.
        seed: of the permutations.
        progress: told about each case that is predicted.

    Raises:
        DataError: if a scan, a model or a revision was changed or is bad.
        UsageError: if another long job runs.
    """
    with running_job(workspace.layout, "referee"):
        answers = tuple(_answers(workspace, progress))
    asked = dict.fromkeys(a.strategy for a in reversed(answers) if not a.is_control)
    rng = np.random.default_rng(seed)
    return RefereeResult(tuple(judge(answers, strategy, rng) for strategy in asked), answers)


def _answers(workspace: Workspace, progress: ProgressSink) -> list[Answer]:
    found = []
    for record in workspace.rounds():
        model = workspace.layout.member_folder(record.number, 0) / MODEL_FILE
        answered = [
            stored
            for stored in queries_of(workspace.layout, record.number)
            if stored.status is QueryStatus.ANSWERED
        ]
        if not answered or not model.exists():
            continue  # a seed set: there was no model that could be wrong
        wrong = _Wrong(workspace, record.number, model)
        by_case: dict[str, list[StoredQuery]] = {}
        for stored in answered:
            by_case.setdefault(stored.query.case_id, []).append(stored)
        for done, (case_id, queries) in enumerate(by_case.items(), start=1):
            progress(Progress("predicting", done, len(by_case), case_id))
            regions = [stored.query.region for stored in queries]
            for stored, (volume_ml, share) in zip(
                queries, wrong.in_regions(case_id, regions), strict=True
            ):
                if share:
                    cost = stored.query.cost * share
                    found.append(Answer(record.number, stored.query.strategy, volume_ml, cost))
    return found


class _Wrong:
    """What the model of one round had wrong in regions; kept in the cache."""

    def __init__(self, workspace: Workspace, round_number: int, model: Path) -> None:
        self._workspace, self._model = workspace, model
        self._folder = workspace.layout.cache / "referee" / str(round_number)
        self._content = hashlib.sha256(model.read_bytes()).hexdigest()
        self._predictor: Predictor | None = None

    def in_regions(self, case_id: str, regions: Sequence[Box]) -> list[tuple[float, float]]:
        """Per region the wrong volume in ml, and the share of its voxels somebody looked at."""
        file = self._folder / f"{case_id}.json"
        known = [revision.sha256 for revision in self._workspace.annotations_of(case_id)]
        basis = json.dumps([self._content, known, [region.to_json() for region in regions]])
        key = hashlib.sha256(basis.encode()).hexdigest()
        with contextlib.suppress(DataError, KeyError, TypeError, ValueError):
            kept = read_document(file)
            if kept["key"] == key:
                return [(float(volume), float(share)) for volume, share in kept["found"]]
        prediction, target = self._predict(case_id), self._workspace.target_of(case_id)
        found = [_wrong_in(region, prediction, target) for region in regions]
        write_json(file, {"key": key, "found": found})
        return found

    def _predict(self, case_id: str) -> LabelMap:
        if self._predictor is None:
            from voxloop.model.checkpoint import load_checkpoint
            from voxloop.predict.predictor import Predictor

            self._predictor = Predictor(load_checkpoint(self._model))
        channels = read_scans(self._workspace, self._workspace.case(case_id))
        return self._predictor.segment(channels).label_map


def _wrong_in(region: Box, prediction: LabelMap, target: Target) -> tuple[float, float]:
    values, asked = target.values[region.slices], target.asked[region.slices]
    said = prediction.array[region.slices]
    # as in training: a label that nobody looked for there counts as background
    for row, wanted in enumerate(target.asked_sets):
        said = np.where((asked == row) & ~np.isin(said, list(wanted)), BACKGROUND, said)
    looked = target.looked_at[region.slices]
    wrong = int(np.count_nonzero(looked & (said != values)))
    return wrong * prediction.geometry.voxel_volume_mm3 / 1000, float(looked.mean())


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
