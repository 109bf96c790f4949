"""Score predictions against references; works on plain files, without a workspace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voxloop.active.pool import slice_axis
from voxloop.compute.atomic import write_json
from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.dataset.tables import label_map_files, label_table_for
from voxloop.errors import DataError, Problem
from voxloop.io.formats import read_label_map, strip_suffix
from voxloop.metrics.table import (
    LabelScore,
    SliceScore,
    Summary,
    score_case,
    score_slices,
    summarise,
    to_rows,
    write_csv,
)
from voxloop.volume.labels import LabelTable

__all__ = ["EvaluateResult", "evaluate"]


@dataclass(frozen=True)
class EvaluateResult:
    """The scores of a set of predictions.

    Attributes:
        scores: per case and label, the background included.
        slice_scores: per slice and label, across each case's slice axis.
        per_volume: summaries of `scores`.
        per_slice: summaries of `slice_scores`.
        unscored: ids of predictions that have no reference.
        wrote: the files written.
    """

    scores: tuple[LabelScore, ...]
    slice_scores: tuple[SliceScore, ...]
    per_volume: tuple[Summary, ...]
    per_slice: tuple[Summary, ...]
    unscored: tuple[str, ...]
    wrote: tuple[Path, ...] = ()

    def summary(self, metric: str, name: str) -> Summary:
        """The summary per volume of one metric, of a label's name or a mean's."""
        return next(s for s in self.per_volume if (s.metric, s.name) == (metric, name))

    @property
    def cases(self) -> tuple[str, ...]:
        """Ids of the cases scored."""
        return tuple(dict.fromkeys(score.case_id for score in self.scores))

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {
            "cases": len(self.cases),
            "per_volume": to_rows(self.per_volume),
            "per_slice": to_rows(self.per_slice),
            "scores": to_rows(self.scores),
            "unscored": list(self.unscored),
        }


def evaluate(
    reference: Path,
    prediction: Path,
    *,
    labels: LabelTable | None = None,
    tolerance_mm: float = 1.0,
    out: Path | None = None,
    seed: int = 0,
    progress: ProgressSink = silent,
) -> EvaluateResult:
    """Score label maps that are matched by name.

    Args:
        reference: a label map, or a folder of them.
        prediction: a label map, or a folder in which every reference has a partner.
        labels: the label table; where None it is taken from a `dataset.json` beside the
            references, or else from the values found there.
        tolerance_mm: of the surface Dice.
        out: folder for `scores.csv`, `slices.csv`, `summary.csv` and `evaluation.json`.
        seed: of the bootstrap.
        progress: told about each case.

    Raises:
        DataError: listing every reference without a prediction and every pair that does not
            fit; nothing is written then.
    """
    references, predictions = _label_maps(reference), _label_maps(prediction)
    pairs = _paired(references, predictions, single=reference.is_file() and prediction.is_file())
    table, ignore_value = label_table_for(references.values(), labels)
    scores: list[LabelScore] = []
    slice_scores: list[SliceScore] = []
    problems: list[Problem] = []
    for number, (case_id, (truth, guess)) in enumerate(pairs.items(), start=1):
        progress(Progress("scoring", number, len(pairs), case_id))
        try:
            known = read_label_map(truth, table, ignore_value=ignore_value)
            found = read_label_map(guess, table)
            axis = slice_axis(known.geometry)
            scores += score_case(
                case_id, known, found, tolerance_mm=tolerance_mm, with_background=True
            )
            slice_scores += score_slices(case_id, known, found, axis=axis, with_background=True)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems)
    result = EvaluateResult(
        scores=tuple(scores),
        slice_scores=tuple(slice_scores),
        per_volume=summarise(scores, rng=np.random.default_rng(seed)),
        per_slice=summarise(slice_scores, rng=np.random.default_rng(seed)),
        unscored=tuple(sorted(set(predictions) - set(pairs))),
    )
    return result if out is None else _written(result, out)


def _written(result: EvaluateResult, out: Path) -> EvaluateResult:
    names = ("scores.csv", "slices.csv", "summary.csv", "evaluation.json")
    scores, slices, summary, document = paths = tuple(out / name for name in names)
    write_csv(scores, result.scores)
    write_csv(slices, result.slice_scores)
    write_csv(summary, [*result.per_volume, *result.per_slice])
    write_json(document, result.to_json())
    return EvaluateResult(
        result.scores,
        result.slice_scores,
        result.per_volume,
        result.per_slice,
        result.unscored,
        paths,
    )


def _label_maps(place: Path) -> dict[str, Path]:
    return {strip_suffix(path.name): path for path in label_map_files(place)}


def _paired(
    references: Mapping[str, Path], predictions: Mapping[str, Path], *, single: bool
) -> dict[str, tuple[Path, Path]]:
    if single:  # two files were named: they belong together whatever they are called
        (case_id, truth), (guess,) = next(iter(references.items())), predictions.values()
        return {case_id: (truth, guess)}
    missing = [
        Problem(
            f'case "{case_id}", {path}',
            "a prediction of the same name",
            "none",
            "segment the case, or take its reference out of the folder",
        )
        for case_id, path in references.items()
        if case_id not in predictions
    ]
    if missing:
        raise DataError(missing)
    return {case_id: (path, predictions[case_id]) for case_id, path in references.items()}
