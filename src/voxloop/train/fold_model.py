"""The models of a division into folds, and what each says of the cases it did not learn from."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from voxloop.compute.atomic import write_json
from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.dataset.folds import Fold
from voxloop.errors import DataError
from voxloop.io.formats import write_label_map
from voxloop.model.checkpoint import load_checkpoint
from voxloop.predict.predictor import Predictor
from voxloop.train.config import TrainConfig
from voxloop.train.loop import train
from voxloop.train.prepare import AnnotatedCase, plan_for, prepare_cases
from voxloop.volume.labels import LabelTable

__all__ = ["FoldModel", "FoldTraining", "Folders"]


@dataclass(frozen=True)
class Folders:
    """Where fold models and their predictions lie.

    Attributes:
        fold: gives the folder of a fold's training, from the fold's number.
        predictions: for one label map per case, `<case>.nii.gz`, with a record `<case>.json`.
        cache: of prepared images; may be deleted at any time.
    """

    fold: Callable[[int], Path]
    predictions: Path
    cache: Path

    def label_map(self, case_id: str) -> Path:
        """What was predicted of a case while it was left out."""
        return self.predictions / f"{case_id}.nii.gz"

    def record(self, case_id: str) -> Path:
        """Which model predicted it; its existence makes the label map count."""
        return self.predictions / f"{case_id}.json"


@dataclass(frozen=True)
class FoldModel:
    """One fold and the model that was trained for it.

    Attributes:
        cases: which cases the model learned from and which were left out.
        model: hash of its weights; empty if it was not trained, since no label of the cases left
            out could be learned from the others.
        steps: optimiser steps done by this call; 0 if the fold was finished before.
    """

    cases: Fold
    model: str = ""
    steps: int = 0


@dataclass(frozen=True, eq=False)
class FoldTraining:
    """What the models of all folds have in common.

    Attributes:
        cases: by id; which of them a model learns from is the fold's affair.
        labels: the label table.
        channel_names: one per channel.
        config: of each training.
        folders: for models, predictions and prepared images.
    """

    cases: dict[str, AnnotatedCase]
    labels: LabelTable
    channel_names: tuple[str, ...]
    config: TrainConfig
    folders: Folders

    def run(self, number: int, fold: Fold, progress: ProgressSink = silent) -> FoldModel:
        """Train on a fold's training cases and predict the others, as far as it is not done yet.

        Plan, prepared images and weights come from the training cases alone. A call that was
        interrupted continues where it was, and ends with the same label maps.

        Raises:
            DataError: if the training cases carry no label.
            LimitError: if memory or disk do not suffice.
        """
        learned = [self.cases[case_id] for case_id in fold.train]
        left_out = [self.cases[case_id] for case_id in fold.validation]
        identity = self._identity(fold)
        known = {self._model_of(case, identity) for case in left_out}
        if len(known) == 1 and None not in known:
            return FoldModel(fold, str(known.pop()))
        plan = plan_for(learned, self.labels, self.channel_names, progress=progress)
        prepared = prepare_cases(learned, plan, self.folders.cache, progress)
        result = train(plan, prepared, self.config, self.folders.fold(number), progress)
        checkpoint = load_checkpoint(result.path)
        predictor = Predictor(checkpoint)
        for done, case in enumerate(left_out):
            progress(Progress("predicting", done, len(left_out), case.id))
            if self._model_of(case, identity) == checkpoint.sha256:
                continue
            channels = case.read()
            with _naming(case.id):
                prediction = predictor.segment(channels)
            write_label_map(self.folders.label_map(case.id), prediction.label_map)
            record = {"identity": identity, "scan": case.content, "model": checkpoint.sha256}
            write_json(self.folders.record(case.id), record)
        return FoldModel(fold, checkpoint.sha256, result.steps)

    @cached_property
    def _hashes(self) -> dict[str, str]:
        return {case_id: _hash_of(case) for case_id, case in self.cases.items()}

    def _identity(self, fold: Fold) -> str:
        """What a fold's model is made of; nothing of the cases left out is in it."""
        config = self.config.to_json()
        config.pop("save_seconds")
        document = {
            "labels": self.labels.to_json(),
            "channels": self.channel_names,
            "config": config,
            "cases": {case_id: self._hashes[case_id] for case_id in fold.train},
        }
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    def _model_of(self, case: AnnotatedCase, identity: str) -> str | None:
        """Hash of the model of this identity that predicted the case, if one did."""
        if self.folders.label_map(case.id).exists():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                record = json.loads(self.folders.record(case.id).read_text(encoding="utf-8"))
                if (record["identity"], record["scan"]) == (identity, case.content):
                    return str(record["model"])
        return None


@contextlib.contextmanager
def _naming(case_id: str) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise DataError(
            dataclasses.replace(problem, where=f'case "{case_id}", {problem.where}')
            for problem in error.problems
        ) from error


def _hash_of(case: AnnotatedCase) -> str:
    sets = [sorted(asked) for asked in case.target.asked_sets]
    digest = hashlib.sha256(json.dumps([case.content, sets]).encode())
    for array in (case.target.values, case.target.asked):
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
