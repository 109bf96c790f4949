"""The page that shows what was asked: each query as a picture, with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from voxloop import __version__
from voxloop.active.doubt.acquisition import highest_two, predictive_entropy
from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.report.html import write_html
from voxloop.report.queries import ShownQuery, suggestions_report
from voxloop.volume.labels import BACKGROUND
from voxloop.volume.volume import LabelMap
from voxloop.workspace.learning import read_scans
from voxloop.workspace.models import RoundModel
from voxloop.workspace.queries import StoredQuery
from voxloop.workspace.workspace import Workspace

__all__ = ["suggestions_page", "write_suggestions"]


def suggestions_page(workspace: Workspace, round_number: int) -> Path:
    """Where a round's page lies."""
    return workspace.layout.reports / f"suggestions-{round_number}.html"


def write_suggestions(
    workspace: Workspace,
    round_number: int,
    queries: tuple[StoredQuery, ...],
    model: RoundModel | None,
    progress: ProgressSink = silent,
) -> Path:
    """Draw the queries of a round: where, what the model sees there, and how sure it is.

    Args:
        workspace: whose scans.
        round_number: that asks.
        queries: best first.
        model: that chose; None before there is one.
        progress: told about each query.
    """
    page = suggestions_page(workspace, round_number)
    provenance = (("Voxloop", __version__), ("round", str(round_number)))
    shown = _shown(workspace, queries, model, progress)
    report = suggestions_report(shown, f"Round {round_number}: what to label", provenance)
    write_html(page, report)
    return page


def _shown(
    workspace: Workspace,
    queries: tuple[StoredQuery, ...],
    model: RoundModel | None,
    progress: ProgressSink,
) -> Iterator[ShownQuery]:
    for done, stored in enumerate(queries, start=1):
        record = workspace.case(stored.query.case_id)
        channels = read_scans(workspace, record)
        prediction = uncertainty = None
        if model is not None:
            members = model.predictor.probabilities_on_grid(channels)[None]
            uncertainty = predictive_entropy(members, record.geometry.spacing_mm)
            _, _, classes = highest_two(members)
            values = np.array([BACKGROUND, *workspace.labels.values], dtype=np.uint8)
            prediction = LabelMap(values[classes], record.geometry, workspace.labels)
        yield ShownQuery(
            stored.number, stored.query, channels[0], record.slice_axis, prediction, uncertainty
        )
        progress(Progress("drawing", done, len(queries), record.id))
