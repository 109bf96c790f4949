"""Queries as pictures: where to label, what the model says there, and how sure it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from voxloop.active.query import Query
from voxloop.errors import DataError, Problem
from voxloop.report.content import Block, Figure, Report, Section, Table, Text
from voxloop.report.panels import PanelView, draw_convention, draw_labels, draw_scan, halo
from voxloop.report.picture import INK, draw_legend, legend_height_in, new_figure, to_png
from voxloop.report.planes import PLANES, Plane
from voxloop.volume.boxes import Box
from voxloop.volume.geometry import Geometry
from voxloop.volume.volume import LabelMap, Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

__all__ = ["ShownQuery", "place_in_words", "query_png", "suggestions_report"]

_LARGE_IN, _SMALL_IN, _GAP_IN, _TOP_IN, _FOOT_IN = 3.3, 1.6, 0.08, 0.3, 0.3
_BOX_COLOUR = "#ffd166"
_HEAT = "inferno"
_NEIGHBOUR_MM = 3.0
"""Neighbours are at least so far away: nearer ones show the same."""


@dataclass(frozen=True, eq=False)
class ShownQuery:
    """A query with what is needed to draw it.

    Attributes:
        number: of the query within its round.
        query: what is asked.
        image: one channel of the case's scan.
        axis: the array axis along which the region is looked at where it is no slice.
        prediction: what the model says of the case; None before there is a model.
        uncertainty: per voxel of the scan, 0 or more, higher is less sure; None as above.

    Raises:
        DataError: if the prediction, the uncertainty or the region does not lie on the scan's
            grid.
    """

    number: int
    query: Query
    image: Volume
    axis: int
    prediction: LabelMap | None = None
    uncertainty: npt.NDArray[np.floating[Any]] | None = None

    def __post_init__(self) -> None:
        where, shape = f'query for case "{self.query.case_id}"', self.image.geometry.shape
        found = ""
        if self.prediction is not None:
            found = self.image.geometry.difference(self.prediction.geometry) or ""
        if self.uncertainty is not None and self.uncertainty.shape != shape:
            found = f"an uncertainty of shape {self.uncertainty.shape}"
        if any(b > n for b, n in zip(self.query.region.stop, shape, strict=True)):
            found = f"a region up to {self.query.region.stop}"
        if found:
            expected = f"all on the scan's grid of {shape}"
            raise DataError(Problem(where, expected, found, "predict on the case's own grid"))

    @property
    def look_along(self) -> int:
        """The array axis across which it is drawn: the slice's own, else `axis`."""
        own = self.query.region.slice_axis
        return self.axis if own is None else own

    @property
    def plane(self) -> Plane:
        """The viewing plane of that axis."""
        axis, geometry = self.look_along, self.image.geometry
        return next(plane for plane in PLANES if plane.array_axis(geometry) == axis)

    @property
    def index(self) -> int:
        """The slice drawn large: the one asked for, or the middle of the box."""
        axis = self.look_along
        return (self.query.region.start[axis] + self.query.region.stop[axis] - 1) // 2

    @property
    def neighbours(self) -> tuple[int, int]:
        """The slices drawn small: beside the one asked for, or the ends of the box."""
        axis, geometry, region = self.look_along, self.image.geometry, self.query.region
        if region.shape[axis] > 1:
            return region.start[axis], region.stop[axis] - 1
        step = max(1, round(_NEIGHBOUR_MM / geometry.spacing_mm[axis]))
        last = geometry.shape[axis] - 1
        return max(0, self.index - step), min(last, self.index + step)


def place_in_words(region: Box, geometry: Geometry) -> str:
    """A region as people find it in a viewer, with plane; indices count from 0."""
    axis = region.slice_axis
    if axis is None:
        spans = (f"{a}-{b - 1}" for a, b in zip(region.start, region.stop, strict=True))
        return f"box {' x '.join(spans)}"
    plane = next(plane for plane in PLANES if plane.array_axis(geometry) == axis)
    text = f"{plane.name} slice {region.start[axis]} (axis {axis})"
    others = [a for a in range(3) if a != axis]
    if all(region.shape[a] == geometry.shape[a] for a in others):
        return text
    spans = (f"{region.start[a]}-{region.stop[a] - 1} along axis {a}" for a in others)
    return f"{text}, {' and '.join(spans)}"


def query_png(shown: ShownQuery) -> bytes:
    """Draw a query: the region in its slice, how unsure the model is there, and the neighbours.

    The whole slice with the region's box and the outlines of what the model sees; then a closer
    look with the uncertainty laid over it, and two neighbouring slices, small. Radiological
    convention, letters name the sides, true aspect.
    """
    whole = _view(shown, shown.index)
    near = _view(shown, shown.index, focus=True)
    views = [whole] if shown.uncertainty is None else [whole, near]
    colours = {} if shown.prediction is None else _colours(shown.prediction)
    bottom_in = _FOOT_IN + (legend_height_in(len(colours)) if colours else 0.0)
    width = len(views) * (_LARGE_IN + _GAP_IN) + _SMALL_IN + _GAP_IN
    figure = new_figure(width, _TOP_IN + _LARGE_IN + bottom_in)
    low, high = (float(limit) for limit in np.percentile(whole.shown(shown.image), (0.5, 99.5)))
    for column, view in enumerate(views):
        place = (_GAP_IN + column * (_LARGE_IN + _GAP_IN), bottom_in, _LARGE_IN)
        title = f"{view.plane.name}, slice {view.index}" if column == 0 else "how unsure"
        axes = _panel(figure, place, view, title)
        draw_scan(axes, view, view.shown(shown.image), (low, high))
        if column and shown.uncertainty is not None:
            _draw_uncertainty(figure, axes, view, shown)
        elif shown.prediction is not None:
            draw_labels(axes, view, shown.prediction, filled=False)
        _draw_box(axes, view, shown)
    left_in = _GAP_IN + len(views) * (_LARGE_IN + _GAP_IN)
    for row, index in enumerate(reversed(shown.neighbours)):
        view = _view(shown, index, focus=True)
        place = (left_in, bottom_in + row * (_LARGE_IN - _SMALL_IN), _SMALL_IN)
        axes = _panel(figure, place, view, f"slice {index}", small=True)
        draw_scan(axes, view, view.shown(shown.image), (low, high))
        if shown.prediction is not None:
            draw_labels(axes, view, shown.prediction, filled=False)
    if colours:
        draw_legend(figure, colours, bottom_in=_FOOT_IN)
    draw_convention(figure, "; yellow: the region asked for")
    return to_png(figure)


def suggestions_report(
    shown: Iterable[ShownQuery], title: str, provenance: tuple[tuple[str, str], ...]
) -> Report:
    """One section per query: where, why, what it costs, and its picture.

    Args:
        shown: best first; taken one at a time, so a generator keeps one scan in memory.
        title: of the page.
        provenance: name and value of what made the suggestions: round, strategy, versions.
    """
    sections, rows = [], []
    for one in shown:
        query = one.query
        place = place_in_words(query.region, one.image.geometry)
        name = f"{one.number}. {query.case_id}"
        cost = query.cost_words
        rows.append((name, place, cost, query.reason))
        blocks: tuple[Block, ...] = (
            Text(f"{place[0].upper()}{place[1:]}. {query.reason[0].upper()}{query.reason[1:]}."),
            Figure(
                query_png(one),
                alt=f"{place} of case {query.case_id} with the region asked for",
                caption=f"Expected cost: {cost}; chosen by {query.strategy}.",
            ),
        )
        sections.append(Section(name, blocks))
    table = Table("What to label, best first", ("query", "where", "cost", "why"), tuple(rows))
    return Report(title, provenance, (Section("All of them", (table,)), *sections))


def _colours(prediction: LabelMap) -> dict[str, str]:
    table = prediction.labels
    return {table.names[value]: table.colour(value) for value in table}


def _view(shown: ShownQuery, index: int, *, focus: bool = False) -> PanelView:
    geometry, plane = shown.image.geometry, shown.plane
    footprint = _footprint(shown)
    crop = (slice(0, footprint.shape[0]), slice(0, footprint.shape[1]))
    if focus:
        rows, columns = (np.flatnonzero(footprint.any(axis=axis)) for axis in (1, 0))
        crop = (_around(rows, footprint.shape[0]), _around(columns, footprint.shape[1]))
    return PanelView(plane, index, crop, plane.pixel_mm(geometry))


def _footprint(shown: ShownQuery) -> npt.NDArray[np.bool_]:
    """The region's pixels in the picture of a whole slice."""
    geometry, axis = shown.image.geometry, shown.look_along
    flat = list(geometry.shape)
    flat[axis] = 1
    mask = np.zeros(flat, dtype=bool)
    inside = list(shown.query.region.slices)
    inside[axis] = slice(None)
    mask[tuple(inside)] = True
    return shown.plane.shown(mask, geometry, 0)


def _around(places: npt.NDArray[np.intp], length: int) -> slice:
    """The span of some rows, with half of it more on either side."""
    first, last = int(places[0]), int(places[-1]) + 1
    margin = (last - first + 1) // 2
    return slice(max(0, first - margin), min(length, last + margin))


def _panel(
    figure: Canvas,
    place: tuple[float, float, float],
    view: PanelView,
    title: str,
    *,
    small: bool = False,
) -> Axes:
    """A square panel; `place` is its left, its bottom and its side in inches."""
    left, bottom, side = place
    width, height = figure.get_figwidth(), figure.get_figheight()
    size_in = (side - 0.22) if small else side
    box = (left / width, bottom / height, size_in / width, size_in / height)
    axes = figure.add_axes(box, facecolor="black", xticks=[], yticks=[])
    reach_mm = max(view.size_mm) / 2 * 1.02
    axes.set(xlim=(-reach_mm, reach_mm), ylim=(-reach_mm, reach_mm))
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=8 if small else 10, pad=3 if small else 5, color=INK)
    if not small:
        spots = ((0.03, 0.5), (0.97, 0.5), (0.5, 0.96), (0.5, 0.04))
        for letter, (x, y) in zip(view.plane.letters, spots, strict=True):
            axes.text(
                x, y, letter, transform=axes.transAxes, color="white", fontsize=9, zorder=9,
                fontweight="bold", horizontalalignment="center", verticalalignment="center",
                path_effects=halo(2.5),
            )  # fmt: skip
    return axes


def _draw_uncertainty(figure: Canvas, axes: Axes, view: PanelView, shown: ShownQuery) -> None:
    """Lay the uncertainty over the scan: the surer, the clearer the scan shines through."""
    if shown.uncertainty is None:
        return
    pixels = view.plane.shown(shown.uncertainty, shown.image.geometry, view.index)[view.crop]
    highest = float(pixels.max(initial=0.0)) or 1.0
    height, width = view.size_mm
    share = np.clip(pixels / highest, 0, 1)
    layer = axes.imshow(
        pixels, cmap=_HEAT, vmin=0, vmax=highest, alpha=np.sqrt(share) * 0.85, aspect="auto",
        extent=(-width / 2, width / 2, -height / 2, height / 2), interpolation="nearest",
    )  # fmt: skip
    inset = axes.inset_axes((0.955, 0.06, 0.022, 0.3), zorder=10)
    bar = figure.colorbar(layer, cax=inset, ticks=[0, highest], alpha=1.0)
    bar.ax.set_yticklabels(["sure", f"{highest:.2g}"], fontsize=8, color="white")
    bar.ax.yaxis.set_ticks_position("left")
    for label in bar.ax.get_yticklabels():
        label.set_path_effects(halo(2.5))


def _draw_box(axes: Axes, view: PanelView, shown: ShownQuery) -> None:
    from matplotlib.patches import Rectangle

    footprint = _footprint(shown)[view.crop]
    rows, columns = (np.flatnonzero(footprint.any(axis=axis)) for axis in (1, 0))
    (height, width), (pixel_height, pixel_width) = view.size_mm, view.pixel_mm
    left = -width / 2 + columns[0] * pixel_width
    bottom = height / 2 - (rows[-1] + 1) * pixel_height
    width_mm, height_mm = columns.size * pixel_width, rows.size * pixel_height
    frame = Rectangle((left, bottom), width_mm, height_mm, fill=False, zorder=8)
    frame.set(edgecolor=_BOX_COLOUR, linewidth=1.6)
    axes.add_patch(frame)
