"""The summary of a batch: as a table, as a document, and as a page with a picture per case."""

from __future__ import annotations

import csv
import functools
import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from voxloop.compute.atomic import write_json, write_text
from voxloop.compute.extras import require
from voxloop.compute.memory import format_bytes
from voxloop.errors import MissingExtraError
from voxloop.report.outcome import CaseOutcome, LabelOutcome, Quality
from voxloop.report.thumbnail import SIDE_PX
from voxloop.volume.labels import LABEL_COLOURS

__all__ = ["BatchSummary", "batch_csv", "batch_html", "write_batch"]

_FORMAT = "voxloop-batch-1"
_QUALITY_COLUMNS = (
    "dice", "dice_low", "dice_high", "surface_mm", "surface_low", "surface_high", "part_dice",
)  # fmt: skip
_WORDS = {
    "done": "segmented",
    "kept": "kept from before",
    "failed": "failed",
    "waiting": "not reached yet",
    "earlier": "of an earlier batch",
}
_SHOWN_LABELS = 6
"""Of a case with more labels, those to look at first; the others are folded away."""


@dataclass(frozen=True)
class BatchSummary:
    """All that is to be said of a batch at one moment.

    Attributes:
        cases: in any order.
        labels: names of the model's labels, in the order of the label table.
        provenance: name and value of what made the label maps.
        ignored: files in the folder of scans that are no scans.
    """

    cases: tuple[CaseOutcome, ...]
    labels: tuple[str, ...]
    provenance: tuple[tuple[str, str], ...]
    ignored: tuple[str, ...] = ()

    @property
    def worst_first(self) -> tuple[CaseOutcome, ...]:
        """Failures, then what is to be checked, then the others by predicted Dice."""
        return tuple(sorted(self.cases, key=lambda case: case.rank))

    @property
    def counts(self) -> dict[str, int]:
        """Cases in each state, and how many of those with a label map are to be checked."""
        by_state = Counter(case.state for case in self.cases)
        return {
            **{state: by_state[state] for state in _WORDS},  # type: ignore[index]
            "to_check": sum(bool(case.checks) for case in self.cases),
        }

    @property
    def calibrated(self) -> bool:
        """Whether any case has an estimate of its quality."""
        return any(label.quality is not None for case in self.cases for label in case.per_label)

    @property
    def ordered_only(self) -> bool:
        """Whether some order follows from annotations in part, without a promise."""
        return any(
            label.quality is not None and label.quality.part_dice is not None
            for case in self.cases
            for label in case.per_label
        )

    def to_json(self) -> dict[str, Any]:
        """As a JSON-ready document."""
        return {
            "format": _FORMAT,
            "counts": self.counts,
            "labels": list(self.labels),
            "provenance": dict(self.provenance),
            "calibrated": self.calibrated,
            "cases": [case.to_json() for case in sorted(self.cases, key=lambda case: case.id)],
            "ignored": list(self.ignored),
        }


def write_batch(folder: Path, summary: BatchSummary) -> tuple[Path, ...]:
    """Write `summary.html`, `summary.csv` and `summary.json` into a folder, each atomically.

    Without jinja2 there is no page.

    Returns:
        What was written, the most useful first.

    Raises:
        StorageError: if the disk refuses.
    """
    written = []
    try:
        write_text(folder / "summary.html", batch_html(summary))
        written.append(folder / "summary.html")
    except MissingExtraError:
        pass
    write_text(folder / "summary.csv", batch_csv(summary))
    write_json(folder / "summary.json", summary.to_json())
    return (*written, folder / "summary.csv", folder / "summary.json")


def batch_csv(summary: BatchSummary) -> str:
    """One row per case in order of id, under a header line; what is not known is empty.

    For each label its volume in millilitres, and where a model is calibrated the predicted Dice
    and surface error with their intervals, or the Dice on voxels like those annotated, which puts
    the cases in order and promises nothing.
    """
    measures = ("ml", *(_QUALITY_COLUMNS if summary.calibrated else ()))
    stages = sorted({stage for case in summary.cases for stage in case.seconds})
    header = [
        "case", "state", "check_before_use", "reason",
        *(f"{label}_{measure}" for label in summary.labels for measure in measures),
        "seconds", *(f"seconds_{stage}" for stage in stages),
        "peak_memory_bytes", "engine", "label_map", "uncertainty",
    ]  # fmt: skip
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for case in sorted(summary.cases, key=lambda case: case.id):
        by_name = {label.name: label for label in case.per_label}
        reasons = (*map(str, case.problems), *case.checks, *filter(None, [case.remark]))
        writer.writerow(
            [
                case.id, case.state, "yes" if case.checks else "", "; ".join(reasons),
                *(_measure(by_name.get(n), m) for n in summary.labels for m in measures),
                _rounded(sum(case.seconds.values())) if case.seconds else "",
                *(_rounded(case.seconds.get(stage)) for stage in stages),
                case.peak_bytes or "", case.engine, case.label_map, case.uncertainty,
            ]
        )  # fmt: skip
    return text.getvalue()


def batch_html(summary: BatchSummary) -> str:
    """A page without scripts; its pictures lie beside it and are loaded when they are seen.

    Raises:
        MissingExtraError: if jinja2 is not installed.
    """
    colours = {
        name: LABEL_COLOURS[place % len(LABEL_COLOURS)] for place, name in enumerate(summary.labels)
    }
    return str(
        _template().render(
            summary=summary,
            cases=summary.worst_first,
            words=_WORDS,
            colours=colours,
            side=SIDE_PX // 2,
            few=_SHOWN_LABELS,
        )
    )


@functools.cache
def _template() -> Any:
    """The page's template, compiled once: it is filled in after every case."""
    jinja2 = require("jinja2", feature="the summary as a page", extra="report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "bytes": format_bytes,
        "seconds": _seconds_words,
        "shown": _shown_first,
        "dice": _dice,
        "interval": _interval,
        "volume": _volume,
    }
    source = resources.files("voxloop.report").joinpath("batch.html.j2").read_text("utf-8")
    return environment.from_string(source)


def _measure(label: LabelOutcome | None, measure: str) -> str | float:
    if label is None:
        return ""
    if measure == "ml":
        return label.volume_ml
    value = None if label.quality is None else getattr(label.quality, measure)
    return "" if value is None else float(value)


def _rounded(seconds: float | None) -> str | float:
    return "" if seconds is None else round(seconds, 3)


def _shown_first(labels: Sequence[LabelOutcome]) -> list[LabelOutcome]:
    """Flagged ones, then by predicted Dice; the label table's order where nothing is known."""

    def rank(label: LabelOutcome) -> tuple[bool, float]:
        quality = label.quality
        if quality is None:
            return True, math.inf
        return not quality.flags, quality.order

    return sorted(labels, key=rank)


def _dice(quality: Quality) -> str:
    if quality.dice is None and quality.part_dice is not None:
        return f"{quality.part_dice:.2f} in part"
    return _interval(quality.dice_low, quality.dice, quality.dice_high, 2)


def _interval(low: float | None, value: float | None, high: float | None, digits: int) -> str:
    if value is None:
        return "\u2013"
    if low is None or high is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _volume(volume_ml: float) -> str:
    return f"{volume_ml:.0f}" if volume_ml >= 100 else f"{volume_ml:.3g}"


def _seconds_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
