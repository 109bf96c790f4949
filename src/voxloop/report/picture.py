"""Pictures without global state: matplotlib figures that end as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

from voxloop.compute.extras import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DPI", "GRID", "INK", "MUTED", "draw_legend", "legend_height_in", "new_figure", "to_png"]

DPI = 144
INK = "#1f2933"
MUTED = "#616e7c"
GRID = "#e4e7eb"

_LEGEND_COLUMNS = 4
_LEGEND_ROW_IN = 0.19


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure with a canvas of its own; neither display nor pyplot is involved.

    Raises:
        MissingExtraError: if matplotlib is not installed.
    """
    figures = require("matplotlib.figure", feature="a picture", extra="report")
    canvas = require("matplotlib.backends.backend_agg", feature="a picture", extra="report")
    figure: Figure = figures.Figure(
        figsize=(width_in, height_in), dpi=DPI, facecolor="white", layout=None
    )
    canvas.FigureCanvasAgg(figure)
    return figure


def to_png(figure: Figure) -> bytes:
    """The figure as PNG; equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="png", facecolor=figure.get_facecolor(), metadata={"Software": None}
    )
    return buffer.getvalue()


def legend_height_in(entries: int) -> float:
    """Height in inches that a legend of so many entries takes."""
    return -(-entries // _LEGEND_COLUMNS) * _LEGEND_ROW_IN + 0.1


def draw_legend(figure: Figure, entries: Mapping[str, str], *, bottom_in: float) -> None:
    """Name colours in the middle of the figure, from `bottom_in` inches above its lower edge.

    Args:
        figure: where to draw.
        entries: name to colour, in reading order.
        bottom_in: lower edge of the legend.
    """
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=colour, label=name) for name, colour in entries.items()]
    rows = -(-len(handles) // _LEGEND_COLUMNS)
    columns = min(len(handles), _LEGEND_COLUMNS)
    figure.legend(
        handles=handles, loc="lower center", ncols=columns, fontsize=9, labelcolor=INK,
        bbox_to_anchor=(0.5, bottom_in / figure.get_figheight()), frameon=False, borderaxespad=0,
        borderpad=0.2, labelspacing=0.35 if rows > 1 else 0,
    )  # fmt: skip
