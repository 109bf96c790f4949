"""Scores of many cases as a table: means with intervals, rows for CSV and JSON."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voxloop.compute.atomic import write_text
from voxloop.errors import UsageError
from voxloop.metrics.bootstrap import estimate_mean
from voxloop.metrics.score import LabelScore, SliceScore, score_case, score_slices
from voxloop.volume.labels import BACKGROUND

__all__ = [
    "ALL_MEAN",
    "FOREGROUND_MEAN",
    "LabelScore",
    "SliceScore",
    "Summary",
    "score_case",
    "score_slices",
    "summarise",
    "to_rows",
    "write_csv",
]

FOREGROUND_MEAN = "mean of labels"
"""Name of the rows that average over the labels, the background left out."""

ALL_MEAN = "mean of labels and background"
"""Name of the rows that average over the labels and the background."""

_BACKGROUND_METRICS = ("dice", "iou")

Scores = Sequence[LabelScore] | Sequence[SliceScore]


@dataclass(frozen=True, slots=True)
class Summary:
    """One metric of one label (or of the mean over labels) over all cases.

    Attributes:
        metric: field of the scores that was summarised.
        per: `volume` or `slice`: what was averaged.
        value: the label's value, or None for a mean over labels.
        name: the label's name, `FOREGROUND_MEAN` or `ALL_MEAN`.
        mean: over the defined values; infinite if one of them is, NaN if there are none.
        low: lower bound of the mean's 95 % interval, or None.
        high: upper bound, or None.
        note: why there is no interval; empty where there is one.
        cases: cases with a defined value, the units that were resampled.
        n: defined values; equals `cases` per volume.
        undefined: values left out because both masks are empty, or no surface was in view.
        infinite: distances that are infinite because one mask is empty, of the `n`.
        median: over the defined values.
        p5: 5th percentile, an observed value (the next lower one).
        p95: 95th percentile, an observed value (the next higher one).
    """

    metric: str
    per: str
    value: int | None
    name: str
    mean: float
    low: float | None
    high: float | None
    note: str
    cases: int
    n: int
    undefined: int
    infinite: int
    median: float
    p5: float
    p95: float


@dataclass(frozen=True, slots=True)
class _Series:
    """The values of one metric that make one row: pairs of case and value."""

    metric: str
    value: int | None
    name: str
    values: list[tuple[str, float]]


def summarise(scores: Scores, *, rng: np.random.Generator) -> tuple[Summary, ...]:
    """Average scores over cases: each label, then the means over labels, metric by metric.

    A mean over labels is taken within each case (or slice) over the labels defined there, then
    over the cases. It comes once without the background, and once with it where the scores
    include it. Intervals resample cases, also where the values are slices.

    Args:
        scores: of `score_case` or `score_slices` for all cases; not both mixed.
        rng: source of the bootstrap resamples.

    Raises:
        UsageError: if there are no scores, a case comes twice, or tolerances differ.
    """
    _check(scores)
    return tuple(_summary(series, scores[0].PER, rng) for series in _all_series(scores))


def to_rows(records: Scores | Sequence[Summary]) -> list[dict[str, Any]]:
    """Turn records into JSON-ready dictionaries, one per row, fields in their order.

    NaN becomes None, and infinities the strings `Infinity` and `-Infinity`, which JSON has no
    number for and `float` reads back.
    """
    return [
        {f.name: _json_ready(getattr(record, f.name)) for f in dataclasses.fields(record)}
        for record in records
    ]


def write_csv(path: Path, records: Scores | Sequence[Summary]) -> None:
    """Write records as a CSV file with a header line, atomically; undefined cells are empty.

    Raises:
        UsageError: if there are no records, hence no header.
        StorageError: if the disk refuses.
    """
    rows = to_rows(records)
    if not rows:
        raise UsageError(f"there are no scores to write to {path}")
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _check(scores: Scores) -> None:
    if not scores:
        raise UsageError("there are no scores to summarise")
    if len({type(score) for score in scores}) > 1:
        raise UsageError("scores of volumes and of slices must be summarised apart")
    (unit, value), times = Counter((s.unit, s.value) for s in scores).most_common(1)[0]
    if times > 1:
        raise UsageError(f'case "{unit[0]}" was scored {times} times for label {value}')
    tolerances = {s.tolerance_mm for s in scores if isinstance(s, LabelScore)}
    if len(tolerances) > 1:
        raise UsageError(f"surface Dice at different tolerances, {sorted(tolerances)} mm")


def _all_series(scores: Scores) -> Iterator[_Series]:
    labels = sorted({(score.value, score.name) for score in scores})
    for value, name in labels:
        metrics = _BACKGROUND_METRICS if value == BACKGROUND else scores[0].METRICS
        for metric in metrics:
            values = [(s.case_id, getattr(s, metric)) for s in scores if s.value == value]
            yield _Series(metric, value, name, values)
    for metric in scores[0].METRICS:
        values = _means_over_labels((s for s in scores if s.value != BACKGROUND), metric)
        yield _Series(metric, None, FOREGROUND_MEAN, values)
    if any(value == BACKGROUND for value, _ in labels):
        for metric in _BACKGROUND_METRICS:
            yield _Series(metric, None, ALL_MEAN, _means_over_labels(scores, metric))


def _means_over_labels(
    scores: Iterable[LabelScore | SliceScore], metric: str
) -> list[tuple[str, float]]:
    """Per case or slice the mean over its defined labels, NaN where there are none."""
    groups: dict[tuple[str, int, int], list[float]] = {}
    for score in scores:
        values = groups.setdefault(score.unit, [])
        if not math.isnan(getattr(score, metric)):
            values.append(getattr(score, metric))
    return [(unit[0], float(np.mean(v)) if v else math.nan) for unit, v in groups.items()]


def _summary(series: _Series, per: str, rng: np.random.Generator) -> Summary:
    defined = [(case_id, number) for case_id, number in series.values if not math.isnan(number)]
    numbers = np.array([number for _, number in defined])
    mean = estimate_mean(numbers, [case_id for case_id, _ in defined], rng=rng)
    low, high = mean.interval or (None, None)
    return Summary(
        metric=series.metric,
        per=per,
        value=series.value,
        name=series.name,
        mean=mean.value,
        low=low,
        high=high,
        note=mean.note,
        cases=mean.cases,
        n=len(defined),
        undefined=len(series.values) - len(defined),
        infinite=int(np.isinf(numbers).sum()),
        median=float(np.median(numbers)) if defined else math.nan,
        p5=float(np.percentile(numbers, 5, method="lower")) if defined else math.nan,
        p95=float(np.percentile(numbers, 95, method="higher")) if defined else math.nan,
    )


def _json_ready(value: Any) -> Any:
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
