"""Learn to draw at the scans' own resolution what a round's model finds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxloop.compute.memory import require_bytes
from voxloop.compute.progress import ProgressSink, silent
from voxloop.errors import UsageError
from voxloop.model.checkpoint import load_checkpoint
from voxloop.plan.plan import Plan
from voxloop.predict.predictor import Predictor
from voxloop.predict.refine.detail import needs_refinement
from voxloop.train.closer import closer_cases
from voxloop.train.config import TrainConfig
from voxloop.train.loop import TrainingResult
from voxloop.train.loop import train as learn
from voxloop.train.prepare import plan_for, prepare_cases
from voxloop.workspace.detail import MARGIN_MM, detail_folder, record_detail
from voxloop.workspace.jobs import running_job
from voxloop.workspace.learning import annotated_cases, newest_model
from voxloop.workspace.rounds import read_round
from voxloop.workspace.workspace import Workspace

__all__ = ["DetailResult", "train_detail"]


@dataclass(frozen=True)
class DetailResult:
    """What `train_detail` did.

    Attributes:
        model: the second model's file.
        spacing_mm: of its grid.
        first_spacing_mm: of the first model's grid.
        training: steps, time, loss and memory; no steps if it was there already.
    """

    model: Path
    spacing_mm: tuple[float, float, float]
    first_spacing_mm: tuple[float, float, float]
    training: TrainingResult

    @property
    def words(self) -> str:
        """What was learned, for the person who asked for it."""
        return (
            f"a second model draws at {_words(self.spacing_mm)} what the first finds at "
            f"{_words(self.first_spacing_mm)}"
        )

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {
            "model": str(self.model),
            "spacing_mm": list(self.spacing_mm),
            "first_spacing_mm": list(self.first_spacing_mm),
            "steps": self.training.steps,
            "seconds": round(self.training.seconds, 1),
            "final_loss": self.training.final_loss,
            "stopped_early": self.training.stopped_early,
        }


def train_detail(
    workspace: Workspace, config: TrainConfig | None = None, *, progress: ProgressSink = silent
) -> DetailResult:
    """Train the companion of the newest model on the scans cut to where it finds structures.

    From then on `segment` uses both. An interrupted run is resumed by calling it again.

    Args:
        workspace: with a model.
        config: duration and seed.
        progress: told about cases and steps.

    Raises:
        UsageError: if there is no model, or it works at the scans' resolution already.
        DataError: if it finds nothing to look at closer.
        LimitError: if memory or disk do not suffice.
    """
    config = config or TrainConfig()
    model = newest_model(workspace)
    first = load_checkpoint(model)
    number = int(model.parents[2].name)
    with running_job(workspace.layout, "train-detail"):
        whole = annotated_cases(workspace, read_round(workspace.layout, number).annotations)
        _require_finer_scans(first.plan, [case.geometry.canonical().spacing_mm for case in whole])
        cases = closer_cases(whole, Predictor(first), MARGIN_MM, progress)
        names = first.plan.channel_names
        plan = plan_for(cases, workspace.labels, names, progress=progress)
        _require_gain(first.plan, plan)
        require_bytes(plan.memory_bytes, "training")
        prepared = prepare_cases(cases, plan, workspace.layout.cache / "prepared", progress)
        result = learn(plan, prepared, config, detail_folder(model), progress)
        record_detail(model, first)
    return DetailResult(result.path, plan.spacing_mm, first.plan.spacing_mm, result)


def _require_finer_scans(plan: Plan, spacings_mm: list[tuple[float, float, float]]) -> None:
    if not any(needs_refinement(plan.spacing_mm, spacing) for spacing in spacings_mm):
        raise UsageError(
            f"the model works at {_words(plan.spacing_mm)}, which is the scans' own resolution or "
            "nearly so: a second model would see nothing more"
        )


def _require_gain(first: Plan, second: Plan) -> None:
    if not needs_refinement(first.spacing_mm, second.spacing_mm):
        raise UsageError(
            f"the structures fill so much of the scans that a second model would work at "
            f"{_words(second.spacing_mm)}, hardly finer than the first at "
            f"{_words(first.spacing_mm)}: nothing was trained"
        )


def _words(spacing_mm: tuple[float, float, float]) -> str:
    return " x ".join(f"{side:.2g}" for side in spacing_mm) + " mm"
