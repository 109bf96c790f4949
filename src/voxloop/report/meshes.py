"""Pictures of surfaces from several sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from voxloop.errors import UsageError
from voxloop.mesh.mesh import Mesh
from voxloop.report.picture import INK, MUTED, draw_legend, legend_height_in, new_figure, to_png
from voxloop.report.shading import VIEWS, Camera, View, shade
from voxloop.volume.labels import LabelTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_views", "meshes_png"]

FloatArray = npt.NDArray[np.float64]

_PANEL_PX = 400
_GAP_IN = 0.3
_BAR_LENGTHS_MM = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)


def meshes_png(
    meshes: Mapping[int, Mesh], labels: LabelTable, *, views: Sequence[View] = VIEWS
) -> bytes:
    """Draw surfaces side by side from several directions, to one scale with a bar in mm.

    Args:
        meshes: label value to surface, in world millimetres.
        labels: names and colours.
        views: one or more directions.

    Raises:
        UsageError: if there are no meshes or no views.
    """
    colours = [np.array(_rgb(labels.colour(value))) for value in meshes]
    names = {labels.names[value]: labels.colour(value) for value in meshes}
    figure = draw_views(
        list(meshes.values()), colours, views, bottom_in=legend_height_in(len(names)) + 0.1
    )
    draw_legend(figure, names, bottom_in=0.08)
    return to_png(figure)


def draw_views(
    meshes: Sequence[Mesh],
    colours: Sequence[FloatArray],
    views: Sequence[View],
    *,
    bottom_in: float,
) -> Figure:
    """A figure with one panel per direction, to one scale with a bar in mm.

    Args:
        meshes: surfaces in world millimetres.
        colours: one for each mesh, as `shade` takes them.
        views: directions.
        bottom_in: room left below the panels.

    Raises:
        UsageError: if there are no meshes or no views.
    """
    if not meshes or not views:
        raise UsageError("a picture of meshes needs at least one mesh and one view")
    low = np.min([mesh.bounds_mm[0] for mesh in meshes], axis=0)
    high = np.max([mesh.bounds_mm[1] for mesh in meshes], axis=0)
    x, y, z = ((low + high) / 2).tolist()
    pixel_mm = 1.12 * float((high - low).max()) / _PANEL_PX
    panel, top = 2.75, 0.3
    width, height = (panel + _GAP_IN) * len(views) - _GAP_IN, panel + bottom_in + top
    figure = new_figure(width, height)
    for number, view in enumerate(views):
        left = number * (panel + _GAP_IN)
        box = (left / width, bottom_in / height, panel / width, panel / height)
        axes = figure.add_axes(box)
        camera = Camera(view, (x, y, z), pixel_mm, _PANEL_PX)
        axes.imshow(shade(meshes, colours, camera), interpolation="antialiased")
        _name_sides(axes, view)
        if number == 0:
            _draw_bar(axes, pixel_mm)
    return figure


def _name_sides(axes: Axes, view: View) -> None:
    axes.set_axis_off()
    axes.set_title(f"from {view.name}", fontsize=10, color=INK, pad=4)
    for place, letter, side in ((0.02, view.sides[0], "left"), (0.98, view.sides[1], "right")):
        axes.text(
            place, 0.5, letter, transform=axes.transAxes, color=MUTED, fontsize=10,
            fontweight="bold", horizontalalignment=side, verticalalignment="center",
        )  # fmt: skip


def _draw_bar(axes: Axes, pixel_mm: float) -> None:
    longest_mm = max(_BAR_LENGTHS_MM[0], 0.3 * pixel_mm * _PANEL_PX)
    bar_mm = max(length for length in _BAR_LENGTHS_MM if length <= longest_mm)
    left, low = 18, _PANEL_PX - 14
    axes.plot([left, left + bar_mm / pixel_mm], [low, low], color=INK, linewidth=2.2)
    axes.text(left, low - 6, f"{bar_mm:g} mm", fontsize=8.5, color=INK)


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue
