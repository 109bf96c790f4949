"""Pictures of surfaces with millimetres as colours, and the scale that says which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from voxloop.mesh.colour_scale import ColourScale
from voxloop.mesh.mesh import Mesh
from voxloop.report.meshes import draw_views
from voxloop.report.picture import INK, to_png
from voxloop.report.shading import VIEWS, View

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["value_map_png"]

FloatArray = npt.NDArray[np.float64]

_SCALE_IN = 0.62
_BAR_IN = 0.13
_STEPS = 256


def value_map_png(
    meshes: Sequence[Mesh],
    values_mm: Sequence[FloatArray],
    title: str,
    *,
    scale: ColourScale | None = None,
    views: Sequence[View] = VIEWS,
) -> bytes:
    """Draw surfaces side by side from several directions, coloured by a value per vertex.

    Args:
        meshes: surfaces, in world millimetres.
        values_mm: for each of them (V,), finite.
        title: what the values are; stands below the scale.
        scale: which colour means how much; to the 99th percentile of all values where None.
        views: directions.

    Raises:
        UsageError: if there are no meshes or no views.
    """
    shown = ColourScale.of_values(np.concatenate(values_mm)) if scale is None else scale
    colours = [shown.rgb(values) / 255.0 for values in values_mm]
    figure = draw_views(meshes, colours, views, bottom_in=_SCALE_IN)
    _draw_scale(figure, shown, title)
    return to_png(figure)


def _draw_scale(figure: Figure, scale: ColourScale, title: str) -> None:
    height = figure.get_figheight()
    axes = figure.add_axes((0.25, 0.42 / height, 0.5, _BAR_IN / height))
    values = np.linspace(scale.low_mm, scale.high_mm, _STEPS)
    extent = (scale.low_mm, scale.high_mm, 0, 1)
    axes.imshow(scale.rgb(values)[None], aspect="auto", extent=extent, interpolation="nearest")
    axes.set_yticks([])
    axes.set_xticks(np.linspace(scale.low_mm, scale.high_mm, 5))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.2g}" if abs(value) > 1e-12 else "0")
    axes.tick_params(labelsize=8.5, labelcolor=INK, color=INK, length=2.5, pad=2)
    axes.set_xlabel(f"{title}, mm", fontsize=9, color=INK, labelpad=1)
    for side in axes.spines.values():
        side.set_visible(False)
