"""Pictures of a case: the scan, what the reference says, what the model says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from voxloop.errors import DataError, Problem, UsageError
from voxloop.report.panels import (
    FOOT_IN,
    PanelView,
    draw_convention,
    draw_labels,
    draw_outline,
    draw_scan,
    new_panels,
)
from voxloop.report.picture import draw_legend, legend_height_in, to_png
from voxloop.report.planes import PLANES, Plane
from voxloop.volume.volume import LabelMap, Volume

__all__ = ["largest_slice", "overlay_png"]

_MARGIN_MM = 8.0
_OUTLINE_REMARK = "; white outline: the reference"


def overlay_png(
    image: Volume, *, reference: LabelMap | None = None, prediction: LabelMap | None = None
) -> bytes:
    """Draw axial, coronal and sagittal slices through the labels' largest cross-sections.

    Columns are planes, rows the scan, the reference and the prediction; on the prediction the
    reference's outline is drawn in white. Radiological convention (the patient's right on the
    left), letters name the sides, all panels have one scale, and pixels have the voxels' true
    aspect. The grey window runs from the 0.5th to the 99.5th percentile of what is shown.

    Args:
        image: one channel of the scan.
        reference: what is taken as truth, on the image's grid.
        prediction: what a model said, on the image's grid.

    Raises:
        UsageError: if neither label map is given.
        DataError: if a label map lies on another grid.
    """
    given = {"reference": reference, "prediction": prediction}
    layers = {name: label_map for name, label_map in given.items() if label_map is not None}
    if not layers:
        raise UsageError("an overlay needs a reference, a prediction, or both")
    for name, label_map in layers.items():
        difference = image.geometry.difference(label_map.geometry)
        if difference:
            remedy = "resample it to the scan's grid"
            raise DataError(Problem(name, "the scan's grid", difference, remedy))
    maps = list(layers.values())
    guide = next((m for m in maps if np.isin(m.array, m.labels.values).any()), maps[0])
    views = [_view(plane, guide, maps) for plane in PLANES]
    colours = {m.labels.names[v]: m.labels.colour(v) for m in maps for v in m.labels}
    legend_in = legend_height_in(len(colours))
    figure, panels = new_panels(["scan", *layers], views, bottom_in=legend_in + FOOT_IN)
    shown = np.concatenate([view.shown(image).ravel() for view in views])
    low, high = (float(limit) for limit in np.percentile(shown, (0.5, 99.5)))
    for row, name in zip(panels, ["scan", *layers], strict=True):
        for axes, view in zip(row, views, strict=True):
            draw_scan(axes, view, view.shown(image), (low, high))
            if name in layers:
                draw_labels(axes, view, layers[name])
            if name == "prediction" and reference is not None:
                draw_outline(axes, view, reference)
    draw_legend(figure, colours, bottom_in=FOOT_IN)
    draw_convention(figure, _OUTLINE_REMARK if len(layers) == 2 else "")
    return to_png(figure)


def largest_slice(label_map: LabelMap, axis: int) -> int:
    """The slice across an array axis that shows most of the labels, each counting alike.

    The middle slice where the map has no labels.
    """
    others = tuple(other for other in range(3) if other != axis)
    share = np.zeros(label_map.geometry.shape[axis])
    for value in label_map.labels:
        counts = label_map.mask(value).sum(axis=others)
        share += counts / max(int(counts.sum()), 1)
    best = np.flatnonzero(np.isclose(share, share.max()))
    # the middle one of equals, counted in world direction: a flipped grid shows the same slice
    world = label_map.geometry.world_axes[axis]
    flipped = label_map.geometry.matrix[world, axis] < 0
    return int(best[(len(best) - int(flipped)) // 2])


def _view(plane: Plane, guide: LabelMap, label_maps: Sequence[LabelMap]) -> PanelView:
    index = largest_slice(guide, plane.array_axis(guide.geometry))
    pixel_mm = plane.pixel_mm(guide.geometry)
    labelled = np.logical_or.reduce([np.isin(m.array, m.labels.values) for m in label_maps])
    across = labelled.any(axis=plane.array_axis(guide.geometry), keepdims=True)
    seen = plane.shown(across, guide.geometry, 0)
    crop = [_span(np.asarray(seen.any(axis=1 - axis)), pixel_mm[axis]) for axis in range(2)]
    return PanelView(plane, index, (crop[0], crop[1]), pixel_mm)


def _span(hit: npt.NDArray[np.bool_], pixel_mm: float) -> slice:
    places = np.flatnonzero(hit)
    if places.size == 0:
        return slice(0, len(hit))
    width = int(places[-1] - places[0]) + 1
    margin = int(np.ceil(max(_MARGIN_MM / pixel_mm, 0.35 * width)))
    return slice(max(0, int(places[0]) - margin), min(len(hit), int(places[-1]) + 1 + margin))
