"""Learn from everything annotated so far."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxloop import __version__
from voxloop.compute.atomic import write_json
from voxloop.compute.memory import require_bytes
from voxloop.compute.progress import ProgressSink, silent
from voxloop.errors import UsageError
from voxloop.plan.plan import save_plan
from voxloop.train.config import TrainConfig
from voxloop.train.loop import TrainingResult
from voxloop.train.loop import train as learn
from voxloop.train.prepare import plan_for, prepare_cases
from voxloop.workspace.actions.skip import skip
from voxloop.workspace.documents import read_document
from voxloop.workspace.jobs import running_job
from voxloop.workspace.learning import (
    annotated_cases,
    annotation_hashes,
    earlier_model,
    require_annotations,
    unlearnable,
)
from voxloop.workspace.rounds import (
    NEXT_STEPS,
    Round,
    RoundStage,
    advance_round,
    begin_round,
)
from voxloop.workspace.workspace import Workspace

__all__ = ["TrainResult", "train"]


@dataclass(frozen=True)
class TrainResult:
    """What `train` did.

    Attributes:
        round_number: the round whose model it is.
        model: the model's file.
        cases: number of cases learned from.
        training: steps, time, loss and memory; no steps if the model was there already.
        skipped_queries: numbers of queries that nobody had answered, now given up.
        unlearned: names of labels that no annotated voxel carries.
        next_step: what to do now, in words.
    """

    round_number: int
    model: Path
    cases: int
    training: TrainingResult
    skipped_queries: tuple[int, ...]
    unlearned: tuple[str, ...] = ()
    next_step: str = "run `voxloop segment SCANS` to use the model, or `voxloop suggest` to go on"

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {
            "round": self.round_number,
            "model": str(self.model),
            "cases": self.cases,
            "steps": self.training.steps,
            "planned_steps": self.training.planned_steps,
            "stopped_early": self.training.stopped_early,
            "outlook": self.training.outlook,
            "seconds": round(self.training.seconds, 1),
            "final_loss": self.training.final_loss,
            "skipped_steps": self.training.skipped,
            "peak_bytes": self.training.peak_bytes,
            "skipped_queries": list(self.skipped_queries),
            "unlearned": list(self.unlearned),
            "next": self.next_step,
        }


def train(
    workspace: Workspace,
    config: TrainConfig | None = None,
    *,
    actor: str = "",
    progress: ProgressSink = silent,
) -> TrainResult:
    """Train the current round's model, or begin a round for it; resumes after an interruption.

    What the model learns from is pinned when the round enters training: deliveries that come
    meanwhile count from the next round on. Without new annotations or another configuration the
    model that is there is kept.

    Args:
        workspace: to learn from.
        config: duration and seed.
        actor: for the audit trail; the workspace's author, then the system's user, where empty.
        progress: told about measuring, preparing, and each step.

    Raises:
        DataError: if nothing is annotated, or a file was changed or is bad.
        LimitError: if memory or disk do not suffice.
        UsageError: if another long job runs, or queries are just being chosen.
    """
    config = config or TrainConfig()
    layout = workspace.layout
    with running_job(layout, "train"):
        require_annotations(workspace)
        skipped = _give_up_queries(workspace, actor)
        record = _round_to_train(workspace, config, actor)
        cases = annotated_cases(workspace, record.annotations)
        channel_names = workspace.cases()[0].channel_names
        plan = plan_for(cases, workspace.labels, channel_names, progress=progress)
        require_bytes(plan.memory_bytes, "training")  # before hours of preparing, not after
        prepared = prepare_cases(cases, plan, layout.cache / "prepared", progress)
        start = earlier_model(workspace, record.number, plan) if config.warm_start else None
        folder = layout.member_folder(record.number, 0)
        result = learn(plan, prepared, config, folder, progress, start=start)
        save_plan(layout.plan_file, plan)
        if record.stage is RoundStage.TRAINING:
            # no times in it: an interrupted run ends with the same file as an undisturbed one
            document = {
                "voxloop": __version__,
                "config": config.to_json(),
                "cases": len(cases),
                "annotated_vox": sum(int(c.target.looked_at.sum()) for c in cases),
            }
            write_json(layout.metrics_file(record.number), document)
            advance_round(layout, record.number, RoundStage.SCORED, actor=actor)
    unlearned = unlearnable(cases, workspace.labels)
    return TrainResult(record.number, result.path, len(cases), result, skipped, unlearned)


def _give_up_queries(workspace: Workspace, actor: str) -> tuple[int, ...]:
    """Whoever trains without having answered everything does not want to answer it any more."""
    open_queries = tuple(query.number for query in workspace.open_queries())
    return skip(workspace, open_queries, actor).skipped if open_queries else ()


def _round_to_train(workspace: Workspace, config: TrainConfig, actor: str) -> Round:
    layout, record = workspace.layout, workspace.current_round()
    hashes = annotation_hashes(workspace)
    if record is not None and record.stage is RoundStage.TRAINING:
        return record
    if record is not None and record.stage is RoundStage.QUERYING:
        raise UsageError(f"round {record.number} is choosing queries; {NEXT_STEPS[record.stage]}")
    if record is not None and record.stage is RoundStage.SCORED:
        done = read_document(layout.metrics_file(record.number))
        if record.annotations == hashes and done["config"] == config.to_json():
            return record
        record = advance_round(layout, record.number, RoundStage.COMPLETE, actor=actor)
    if record is None or record.stage is RoundStage.COMPLETE:
        record = begin_round(layout, seed=config.seed, strategy="", annotations=hashes, actor=actor)
    return advance_round(
        layout, record.number, RoundStage.TRAINING, annotations=hashes, actor=actor
    )
