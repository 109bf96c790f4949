"""How good a model is on cases it has not seen, where every case is needed to train it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.dataset.folds import Fold, k_folds, leave_one_out
from voxloop.errors import DataError, Problem
from voxloop.io.formats import read_label_map
from voxloop.metrics.score import LabelScore
from voxloop.metrics.table import Summary, summarise, to_rows
from voxloop.train.config import TrainConfig
from voxloop.train.fold_model import Folders, FoldModel, FoldTraining
from voxloop.train.prepare import AnnotatedCase
from voxloop.train.score import labels_asked, labels_shown, score_annotated
from voxloop.volume.labels import LabelTable

__all__ = ["Validation", "divide", "validate"]

_TRAINING_SHARE = 0.95
"""Of a fold's time, roughly; the rest goes into segmenting the cases left out."""

_SCORE_COLUMNS = ("case_id", "value", "name", "dice", "iou", "reference_ml", "prediction_ml")


@dataclass(frozen=True)
class Validation:
    """What models reach on cases they did not learn from, by annotated voxels only.

    Attributes:
        config: of each fold's training.
        folds: each fold with its model.
        scores: of each case and label that was asked for in it; surface metrics are left NaN,
            since a few slices do not show a surface.
        dice: Dice per label, then the mean of labels, with intervals over cases.
        not_learned: pairs of case and label name that are not scored, because none of the
            cases left to learn from shows the label.
        annotated_vox: voxels that were looked at, all cases together.
    """

    config: TrainConfig
    folds: tuple[FoldModel, ...]
    scores: tuple[LabelScore, ...]
    dice: tuple[Summary, ...]
    not_learned: tuple[tuple[str, str], ...]
    annotated_vox: int

    @property
    def cases(self) -> int:
        """Number of cases, each of which was left out once."""
        return sum(len(fold.cases.validation) for fold in self.folds)

    @property
    def meaning(self) -> tuple[str, ...]:
        """What the numbers say of the model that learns from all cases, in sentences."""
        sizes = sorted({len(fold.cases.train) for fold in self.folds if fold.model})
        learned = (
            f"Each of {sum(bool(fold.model) for fold in self.folds)} models learned from "
            f"{' or '.join(map(str, sizes))} of the {self.cases} cases, for "
            f"{_duration(self.config)}, and was scored on the others. A model that learns from "
            "all of them, and for longer, should do no worse."
        )
        counted = (
            "Only annotated voxels count, and nobody chose them at random: slices that a query "
            "strategy asked for are harder than most; where only slices that show a structure "
            "were annotated, false alarms elsewhere are not seen."
        )
        return learned, counted

    def to_json(self) -> dict[str, Any]:
        """The outcome as a document, without anything that depends on interruptions."""
        return {
            "config": self.config.to_json(),
            "cases": self.cases,
            "annotated_vox": self.annotated_vox,
            "folds": [
                {
                    "train": list(fold.cases.train),
                    "validation": list(fold.cases.validation),
                    "model": fold.model,
                }
                for fold in self.folds
            ],
            "dice": to_rows(self.dice),
            "scores": [{key: row[key] for key in _SCORE_COLUMNS} for row in to_rows(self.scores)],
            "not_learned": [list(pair) for pair in self.not_learned],
            "meaning": list(self.meaning),
        }


def validate(
    cases: Sequence[AnnotatedCase],
    labels: LabelTable,
    channel_names: tuple[str, ...],
    config: TrainConfig,
    folders: Folders,
    *,
    folds: int = 5,
    progress: ProgressSink = silent,
) -> Validation:
    """Train a model for each fold on the other cases, and score it on those left out.

    Plan, prepared images and weights of a fold come from its training cases alone. Whatever was
    finished is kept, so a call that was interrupted continues and ends with the same result.

    Args:
        cases: annotated, at least two.
        labels: the label table.
        channel_names: one per channel.
        config: of each fold's training; its seed also divides the cases.
        folders: for models, predictions and prepared images.
        folds: into how many parts the cases are divided; with no more cases than that, each is
            left out in turn.
        progress: told how many folds are done, parts of one included.

    Raises:
        DataError: if fewer than two cases are annotated, or no label in two of them.
        LimitError: if memory or disk do not suffice.
    """
    by_id = {case.id: case for case in cases if case.target.looked_at.any()}
    division = divide(by_id, folds, config.seed)
    scorable = _scorable(by_id, division)
    if not any(scorable.values()):
        raise _nothing_to_score(labels)
    training = FoldTraining(by_id, labels, channel_names, config, folders)
    progress(Progress("folds", 0, len(division), _announcement(len(division), config)))
    models: list[FoldModel] = []
    scores: list[LabelScore] = []
    for number, fold in enumerate(division):
        if not any(scorable[case_id] for case_id in fold.validation):
            models.append(FoldModel(fold))
            continue
        sink = _within_fold(progress, number, len(division), config)
        models.append(training.run(number, fold, sink))
        for case_id in fold.validation:
            prediction = read_label_map(folders.label_map(case_id), labels)
            target = by_id[case_id].target
            scores += score_annotated(case_id, target, prediction, scorable[case_id])
    progress(Progress("folds", len(division), len(division), "all scored"))
    return Validation(
        config=config,
        folds=tuple(models),
        scores=tuple(sorted(scores, key=lambda score: (score.case_id, score.value))),
        dice=_dice_of(scores, config.seed),
        not_learned=tuple(
            (case_id, labels.names[value])
            for case_id, case in sorted(by_id.items())
            for value in sorted(labels_asked(case.target) - scorable[case_id])
        ),
        annotated_vox=sum(int(case.target.looked_at.sum()) for case in by_id.values()),
    )


def divide(ids: Iterable[str], folds: int, seed: int) -> tuple[Fold, ...]:
    """Divide cases into folds; leaves out one at a time where there are no more than `folds`.

    Raises:
        DataError: if there are fewer than two cases.
        UsageError: if there are to be fewer than two folds.
    """
    known = sorted(set(ids))
    if len(known) < 2:
        raise DataError(
            Problem(
                "validation",
                "at least two annotated cases, one to learn from and one to be scored on",
                f"{len(known)}",
                "annotate a slice of a second case",
            )
        )
    return leave_one_out(known) if len(known) <= folds else k_folds(known, folds, seed)


def _scorable(
    cases: Mapping[str, AnnotatedCase], division: Sequence[Fold]
) -> dict[str, frozenset[int]]:
    """For each case the labels asked for in it that the cases left to learn from show.

    A label that one case alone shows is not learned while that case is left out. Its Dice of 0
    would say nothing about the model that learns from all cases, so it is not counted.
    """
    shown = {case_id: labels_shown(case.target) for case_id, case in cases.items()}
    found = {}
    for fold in division:
        learnable = frozenset[int]().union(*(shown[case_id] for case_id in fold.train))
        for case_id in fold.validation:
            found[case_id] = labels_asked(cases[case_id].target) & learnable
    return found


def _dice_of(scores: Sequence[LabelScore], seed: int) -> tuple[Summary, ...]:
    found = summarise(scores, rng=np.random.default_rng(seed))
    return tuple(summary for summary in found if summary.metric == "dice")


def _duration(config: TrainConfig) -> str:
    if config.steps is None:
        return f"{config.minutes:.3g} min"
    return f"{config.steps} step" if config.steps == 1 else f"{config.steps} steps"


def _announcement(folds: int, config: TrainConfig) -> str:
    text = f"{folds} folds of {_duration(config)}"
    if config.steps is None:
        text += f", about {folds * config.minutes / _TRAINING_SHARE:.0f} min in all"
    return text


def _within_fold(
    progress: ProgressSink, number: int, folds: int, config: TrainConfig
) -> ProgressSink:
    """Turn the reports from within a fold into one of all folds."""

    def sink(inner: Progress) -> None:
        share = inner.done / inner.total if inner.total else 0.0
        done = float(number)
        if inner.stage == "training":
            done += share * _TRAINING_SHARE
        elif inner.stage == "predicting":
            done += _TRAINING_SHARE + share * (1 - _TRAINING_SHARE)
        note = f"fold {number + 1} of {folds}: {inner.stage} {inner.note}".rstrip()
        if config.steps is None:
            note += f", about {(folds - done) * config.minutes / _TRAINING_SHARE:.0f} min left"
        progress(Progress("folds", done, folds, note))

    return sink


def _nothing_to_score(labels: LabelTable) -> DataError:
    return DataError(
        Problem(
            "validation",
            f"{' or '.join(labels.by_name)} annotated in two cases at least",
            "no label that one case shows and another was asked for",
            "annotate a slice that shows the structure in a second case",
        )
    )
