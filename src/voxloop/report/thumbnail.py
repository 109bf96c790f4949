"""One small picture of a case: the slice that shows most of the labels, with their outlines."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from voxloop.report.panels import PanelView, draw_labels, draw_scan
from voxloop.report.picture import DPI, new_figure, to_png
from voxloop.report.planes import PLANES, Plane
from voxloop.volume.geometry import Geometry
from voxloop.volume.volume import LabelMap, Volume

__all__ = ["SIDE_PX", "thumbnail_plane", "thumbnail_png"]

SIDE_PX = 288
"""Width and height of the picture; pages show it at half this size on ordinary screens."""

_MARGIN_SHARE, _MARGIN_MM = 0.4, 10.0


def thumbnail_plane(geometry: Geometry) -> Plane:
    """The plane in which the scan is sharpest: across its thickest voxels, axial if there are none.

    Args:
        geometry: of the scan.
    """
    spacing_mm = geometry.spacing_mm
    thickness = [spacing_mm[plane.array_axis(geometry)] for plane in PLANES]
    clearly = max(thickness) > 1.2 * thickness[0]
    return PLANES[int(np.argmax(thickness))] if clearly else PLANES[0]


def thumbnail_png(image: Volume, label_map: LabelMap, areas_vox: npt.NDArray[np.integer]) -> bytes:
    """Draw the slice with the largest labelled area, as near as all of it in that slice allows.

    Radiological convention, true aspect, grey window from the 0.5th to the 99.5th percentile of
    what is shown. Without any label the middle slice is shown as a whole.

    Args:
        image: one channel of the scan.
        label_map: on the same grid.
        areas_vox: labelled voxels in each slice of the plane that `thumbnail_plane` chooses.

    Raises:
        MissingExtraError: if matplotlib is not installed.
    """
    geometry = image.geometry
    plane = thumbnail_plane(geometry)
    index = int(np.argmax(areas_vox)) if areas_vox.any() else len(areas_vox) // 2
    pixel_mm = plane.pixel_mm(geometry)
    labelled = np.isin(plane.shown(label_map.array, geometry, index), label_map.labels.values)
    rows, columns = (
        _span(np.asarray(labelled.any(axis=1 - axis)), pixel_mm[axis]) for axis in range(2)
    )
    view = PanelView(plane, index, (rows, columns), pixel_mm)
    figure = new_figure(SIDE_PX / DPI, SIDE_PX / DPI)
    figure.set_facecolor("black")
    axes = figure.add_axes((0, 0, 1, 1), facecolor="black", xticks=[], yticks=[])
    reach_mm = max(view.size_mm) / 2
    axes.set(xlim=(-reach_mm, reach_mm), ylim=(-reach_mm, reach_mm))
    axes.spines[:].set_visible(False)
    pixels = view.shown(image)
    low, high = (float(limit) for limit in np.percentile(pixels, (0.5, 99.5)))
    draw_scan(axes, view, pixels, (low, high))
    draw_labels(axes, view, label_map, filled=False)
    return to_png(figure)


def _span(hit: npt.NDArray[np.bool_], pixel_mm: float) -> slice:
    places = np.flatnonzero(hit)
    if places.size == 0:
        return slice(0, len(hit))
    first, last = int(places[0]), int(places[-1]) + 1
    margin = int(np.ceil(max(_MARGIN_MM / pixel_mm, _MARGIN_SHARE * (last - first))))
    return slice(max(0, first - margin), min(len(hit), last + margin))
