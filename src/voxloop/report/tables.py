"""Findings of other layers as tables of a report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from voxloop.mesh.certificate.certify import Certificate
from voxloop.metrics.bootstrap import LEVEL
from voxloop.metrics.score import LabelScore
from voxloop.metrics.table import Summary
from voxloop.report.content import Table

__all__ = ["case_table", "certificate_table", "summary_table", "summary_text"]

_DASH = "\u2013"
_HEADINGS = {
    "dice": "Dice",
    "iou": "IoU",
    "volume_difference_ml": "volume difference, ml",
    "volume_difference_percent": "volume difference, %",
    "hd95_mm": "HD95, mm",
    "assd_mm": "ASSD, mm",
    "surface_dice": "surface Dice",
}
_METRICS = ("dice", "surface_dice", "hd95_mm", "assd_mm", "volume_difference_percent")


def summary_text(summary: Summary) -> str:
    """Mean, interval and number of cases, e.g. `0.881 [0.862, 0.894], n = 12`.

    Where there is no interval the reason stands in its place.
    """
    digits = _digits(summary.metric)
    mean = _number(summary.mean, digits)
    if summary.low is None or summary.high is None:
        text = f"{mean} ({summary.note})"
    else:
        low, high = _number(summary.low, digits), _number(summary.high, digits)
        text = f"{mean} [{low}, {high}], n = {summary.cases}"
    return f"{text}; {summary.undefined} undefined" if summary.undefined else text


def summary_table(summaries: Sequence[Summary], metrics: Sequence[str] = _METRICS) -> Table:
    """Mean scores by label (rows) and metric (columns), each with its interval and n.

    Args:
        summaries: of `summarise`.
        metrics: fields of the scores, in the order of the columns.
    """
    cells = {(s.name, s.metric): summary_text(s) for s in summaries}
    names = list(dict.fromkeys(s.name for s in summaries))
    rows = tuple((name, *(cells.get((name, m), _DASH) for m in metrics)) for name in names)
    caption = f"Mean over cases [{LEVEL:.0%} BCa bootstrap interval], n cases with a defined value"
    return Table(caption, ("label", *(_heading(m) for m in metrics)), rows)


def case_table(scores: Iterable[LabelScore], metrics: Sequence[str] = _METRICS) -> Table:
    """Scores by case and label, one row each.

    Args:
        scores: of `score_case`, all cases together.
        metrics: fields of the scores, in the order of the columns.
    """
    rows = tuple(
        (s.case_id, s.name, *(_number(getattr(s, m), _digits(m)) for m in metrics)) for s in scores
    )
    caption = "Scores of every case; n/a: undefined, since neither label map has the label"
    return Table(caption, ("case", "label", *(_heading(m) for m in metrics)), rows)


def certificate_table(certificates: Iterable[Certificate]) -> Table:
    """Mesh certificates, one per row; the second column says passed, or why not."""
    header = (
        "label", "verdict", "ml", "volume %", "mean mm", "p95 mm", "max mm", "wall mm", "steps %",
        "triangles", "pieces", "Euler", "crossings",
    )  # fmt: skip
    caption = (
        "Mesh certificates: volume change against the label's voxels; distance to the label map's "
        "own surface, signed mean (positive outside), 95th percentile and largest; thinnest wall; "
        "share of the area that leans like the steps of voxels; pairs of faces that cross."
    )
    return Table(caption, header, tuple(_certificate_row(found) for found in certificates))


def _certificate_row(found: Certificate) -> tuple[str, ...]:
    topology, distance = found.topology, found.distance
    return (
        found.name,
        "passed" if found.passed else "failed: " + "; ".join(found.reasons),
        f"{found.volume_mm3 / 1000:.2f}",
        f"{found.volume_change_percent:+z.2f}",
        f"{distance.signed_mean_mm:+z.2f}",
        f"{distance.p95_mm:.2f}",
        f"{distance.max_mm:.2f}",
        _DASH if found.wall is None else f"{found.wall.minimum_mm:.2f}",
        f"{found.stairs_percent:.0f}",
        f"{found.triangles}",
        f"{topology.components}",
        f"{topology.euler_number}",
        f"{found.crossings.pairs}",
    )


def _heading(metric: str) -> str:
    return _HEADINGS.get(metric, metric)


def _digits(metric: str) -> int:
    return 2 if metric.endswith(("_mm", "_ml", "_percent")) else 3


def _number(value: float, digits: int) -> str:
    if math.isnan(value):
        return "n/a"
    return f"{value:z.{digits}f}" if math.isfinite(value) else ("-" if value < 0 else "") + "\u221e"
