"""Estimate how good the model is, from the very cases that it learns from."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from voxloop import __version__
from voxloop.compute.progress import ProgressSink, silent
from voxloop.errors import DataError, UsageError
from voxloop.metrics.table import to_rows
from voxloop.predict.postprocess import PostProcessing
from voxloop.predict.quality.calibration import Calibration
from voxloop.train.calibrate import calibrate
from voxloop.train.config import TrainConfig
from voxloop.train.fold_model import Folders
from voxloop.train.validate import Validation
from voxloop.train.validate import validate as estimate
from voxloop.workspace.documents import read_document
from voxloop.workspace.estimate import Basis, Estimate, LabelEstimate, basis_of
from voxloop.workspace.jobs import running_job
from voxloop.workspace.layout import Layout
from voxloop.workspace.learning import annotated_cases, annotation_hashes, require_annotations
from voxloop.workspace.staging import open_staging
from voxloop.workspace.workspace import Workspace

__all__ = ["ValidateResult", "validate"]

_TIME_SHARE = 1 / 3
"""Of the model's training time, for each fold: five folds then cost less than two trainings."""

_FEWEST_MINUTES = 1.0


@dataclass(frozen=True)
class ValidateResult:
    """What `validate` found.

    Attributes:
        round_number: the round whose model the estimate is about.
        validation: the estimate.
        newer: deliveries that it does not count, because the model has not learned from them.
        file: where it was written.
        predictions: folder of the cases' label maps, each predicted while it was left out.
    """

    round_number: int
    validation: Validation
    newer: int
    file: Path
    predictions: Path

    @property
    def estimate(self) -> Estimate:
        """The Dice of each label and of their mean."""
        rows = to_rows(self.validation.dice)
        return Estimate(
            self.round_number, is_current=True, labels=tuple(map(LabelEstimate.from_row, rows))
        )

    @property
    def next_step(self) -> str:
        """What to do now, in words."""
        known = [score for score in self.validation.scores if not math.isnan(score.dice)]
        if not known:
            return "run `voxloop suggest` to learn what to label next"
        worst = min(known, key=lambda score: score.dice)
        return (
            f"look at {self.predictions / worst.case_id}.nii.gz first: of its {worst.name} the "
            f"Dice is {worst.dice:.2f}, the lowest"
        )

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {
            "round": self.round_number,
            "file": str(self.file),
            "predictions": str(self.predictions),
            "steps": sum(fold.steps for fold in self.validation.folds),
            "newer_deliveries": self.newer,
            **self.validation.to_json(),
            "next": self.next_step,
        }


def validate(
    workspace: Workspace,
    *,
    folds: int = 5,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    actor: str = "",
    progress: ProgressSink = silent,
) -> ValidateResult:
    """Score every annotated case by a model that did not learn from it; resumes.

    What counts are the annotations that the newest model learned from, or all there are before
    the first model. Finished folds are kept, so the same command again only reads them.

    Args:
        workspace: to validate.
        folds: into how many parts the cases are divided.
        minutes: wall time of each fold's training; a third of the model's where None, but at
            least one.
        steps: optimiser steps of each fold's training, instead of minutes.
        seed: of the division and of each training.
        actor: for the audit trail; the workspace's author, then the system's user, where empty.
        progress: told how many folds are done, and how long the others will take.

    Raises:
        DataError: if fewer than two cases are annotated, or a file was changed or is bad.
        LimitError: if memory or disk do not suffice.
        UsageError: if another long job runs, or there are to be fewer than two folds.
    """
    if folds < 2:
        raise UsageError(f"--folds must be at least 2, found {folds}")
    layout = workspace.layout
    with running_job(layout, "validate"):
        require_annotations(workspace)
        current = annotation_hashes(workspace)
        basis = basis_of(layout, current)
        number = basis.round_number
        folders = Folders(
            partial(layout.fold_folder, number),
            layout.validation_folder(number),
            layout.cache / "prepared",
        )
        cases = annotated_cases(workspace, basis.annotations)
        found = estimate(
            cases,
            workspace.labels,
            workspace.cases()[0].channel_names,
            _fold_config(basis.config, minutes, steps, seed),
            folders,
            folds=folds,
            progress=progress,
        )
        learned = calibrate(found, cases, workspace.labels, folders, progress=progress)
        _store(layout, basis, found, learned, actor or workspace.settings.author)
    newer = len(set(current) - set(basis.annotations))
    return ValidateResult(number, found, newer, layout.validation_file(number), folders.predictions)


def _fold_config(
    model: TrainConfig, minutes: float | None, steps: int | None, seed: int
) -> TrainConfig:
    """The model's own recipe for a shorter time, and from fresh weights.

    The weights of an earlier round would not do: they have seen the cases left out.
    """
    if steps is None and minutes is None:
        if model.steps is None:
            minutes = max(_FEWEST_MINUTES, model.minutes * _TIME_SHARE)
        else:
            steps = max(1, round(model.steps * _TIME_SHARE))
    minutes = model.minutes if minutes is None else minutes
    return dataclasses.replace(model, steps=steps, minutes=minutes, seed=seed, warm_start=False)


def _store(
    layout: Layout,
    basis: Basis,
    found: Validation,
    learned: tuple[Calibration, PostProcessing],
    actor: str,
) -> None:
    number = basis.round_number
    calibration, rules = learned
    validation = {
        "voxloop": __version__,
        "round": basis.round_number,
        "annotations": list(basis.annotations),
        **found.to_json(),
    }
    documents = {
        layout.calibration_file(number): calibration.to_json(),
        layout.postprocessing_file(number): rules.to_json(),
        layout.validation_file(number): validation,
    }
    with contextlib.suppress(DataError):  # absent or damaged: written anew
        if all(read_document(path) == document for path, document in documents.items()):
            return  # nothing new: nothing for the audit trail either
    with open_staging(layout) as staging, staging.commit("validate", actor) as commit:
        commit.detail["round"] = basis.round_number
        for path, document in documents.items():
            commit.replace_json(path, document)
