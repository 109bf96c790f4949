"""The black panels of an overlay: their layout, sides, scan, labels and outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from voxloop.report.picture import MUTED, new_figure
from voxloop.report.planes import Plane
from voxloop.volume.volume import LabelMap, Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "FOOT_IN",
    "PanelView",
    "draw_convention",
    "draw_labels",
    "draw_outline",
    "draw_scan",
    "halo",
    "new_panels",
]

FloatArray = npt.NDArray[np.float64]

_PANEL_IN, _LEFT_IN, _TOP_IN, _GAP_IN = 2.35, 0.34, 0.3, 0.05
FOOT_IN = 0.28
"""Height of the line below everything, which states the display convention."""

_BACKDROP = "#000000"
_CONVENTION = "radiological convention: the patient's right is on the left"


@dataclass(frozen=True, slots=True, eq=False)
class PanelView:
    """What all panels of one column share.

    Attributes:
        plane: axial, coronal or sagittal.
        index: slice across the plane's array axis, counted from 0.
        crop: rows and columns of the slice's picture that are shown.
        pixel_mm: height and width of its pixels.
    """

    plane: Plane
    index: int
    crop: tuple[slice, slice]
    pixel_mm: tuple[float, float]

    def shown(self, volume: Volume | LabelMap) -> npt.NDArray[Any]:
        """The pixels shown of a volume, first row on top."""
        return self.plane.shown(volume.array, volume.geometry, self.index)[self.crop]

    @property
    def size_mm(self) -> tuple[float, float]:
        """Height and width of what is shown."""
        height, width = (part.stop - part.start for part in self.crop)
        return height * self.pixel_mm[0], width * self.pixel_mm[1]


def new_panels(
    rows: Sequence[str], views: Sequence[PanelView], *, bottom_in: float
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of panels, rows by views, all to one scale, with the letters of the sides.

    Args:
        rows: what each row shows.
        views: one per column.
        bottom_in: room to leave below the panels, in inches.

    Returns:
        The figure, and its axes in millimetres by row and column.
    """
    width = _LEFT_IN + len(views) * (_PANEL_IN + _GAP_IN)
    height = _TOP_IN + len(rows) * (_PANEL_IN + _GAP_IN) + bottom_in
    figure = new_figure(width, height)
    reach_mm = max(max(view.size_mm) for view in views) / 2
    panels = []
    for row, name in enumerate(rows):
        bottom = height - _TOP_IN - (row + 1) * (_PANEL_IN + _GAP_IN) + _GAP_IN
        middle = (bottom + _PANEL_IN / 2) / height
        figure.text(0.12 / width, middle, name, rotation=90, va="center", ha="left", fontsize=10)
        line = []
        for column, view in enumerate(views):
            left = _LEFT_IN + column * (_PANEL_IN + _GAP_IN)
            box = (left / width, bottom / height, _PANEL_IN / width, _PANEL_IN / height)
            axes = figure.add_axes(box, facecolor=_BACKDROP, xticks=[], yticks=[])
            axes.set(xlim=(-reach_mm, reach_mm), ylim=(-reach_mm, reach_mm))
            axes.spines[:].set_visible(False)
            if row == 0:
                axes.set_title(f"{view.plane.name}, slice {view.index}", fontsize=10, pad=5)
            _letters(axes, view.plane)
            line.append(axes)
        panels.append(line)
    return figure, panels


def _letters(axes: Axes, plane: Plane) -> None:
    spots = ((0.03, 0.5), (0.97, 0.5), (0.5, 0.97), (0.5, 0.03))
    sides = (("left", "center"), ("right", "center"), ("center", "top"), ("center", "bottom"))
    for letter, (x, y), (ha, va) in zip(plane.letters, spots, sides, strict=True):
        axes.text(
            x, y, letter, transform=axes.transAxes, color="white", fontsize=9, fontweight="bold",
            horizontalalignment=ha, verticalalignment=va, path_effects=halo(2.0), zorder=9,
        )  # fmt: skip


def draw_scan(
    axes: Axes, view: PanelView, pixels: npt.NDArray[Any], window: tuple[float, float]
) -> None:
    """Draw grey pixels of the view, black and white at the ends of `window`."""
    height, width = view.size_mm
    low, high = window
    axes.imshow(
        np.asarray(pixels, dtype=np.float64), cmap="gray", vmin=low, vmax=max(high, low + 1e-9),
        extent=(-width / 2, width / 2, -height / 2, height / 2),
        aspect="auto", interpolation="antialiased",
    )  # fmt: skip


def draw_labels(axes: Axes, view: PanelView, label_map: LabelMap, *, filled: bool = True) -> None:
    """Outline each label of the view in its colour, and tint it where `filled`."""
    pixels = view.shown(label_map)
    x, y = _pixel_centres(view)
    for value in label_map.labels:
        mask = _bordered(pixels == value)
        if mask.any():
            colour = label_map.labels.colour(value)
            if filled:
                axes.contourf(x, y, mask, levels=(0.5, 1.5), colors=[colour], alpha=0.35)
            lines = axes.contour(x, y, mask, levels=(0.5,), colors=[colour], linewidths=1.8)
            lines.set_path_effects(halo(3.0))


def draw_outline(axes: Axes, view: PanelView, label_map: LabelMap) -> None:
    """Outline each label of the view in white."""
    pixels = view.shown(label_map)
    x, y = _pixel_centres(view)
    for value in label_map.labels:
        mask = _bordered(pixels == value)
        if mask.any():
            axes.contour(x, y, mask, levels=(0.5,), colors=["white"], linewidths=1.0)


def draw_convention(figure: Figure, remark: str) -> None:
    """State the display convention, and a `remark`, at the foot of the figure."""
    foot = (0.5, 0.1 / figure.get_figheight())
    figure.text(*foot, _CONVENTION + remark, fontsize=8, color=MUTED, horizontalalignment="center")


def halo(width: float) -> list[Any]:
    """A dark rim of so many points, which keeps lines and letters legible on any grey."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=width, foreground="black", alpha=0.55)]


def _pixel_centres(view: PanelView) -> tuple[FloatArray, FloatArray]:
    (height, width), (pixel_height, pixel_width) = view.size_mm, view.pixel_mm
    columns, rows = round(width / pixel_width) + 2, round(height / pixel_height) + 2
    x = (np.arange(columns) - (columns - 1) / 2) * pixel_width
    y = ((rows - 1) / 2 - np.arange(rows)) * pixel_height
    return np.asarray(x, dtype=float), np.asarray(y, dtype=float)


def _bordered(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    # outlines must also close where a label reaches the edge of what is shown
    return np.pad(mask.astype(np.float64), 1)
