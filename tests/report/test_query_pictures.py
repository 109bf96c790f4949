"""Pictures of queries: the right slice, the box where it is, whatever the grid's orientation."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import numpy.typing as npt
import pytest

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.active.query import Query
from voxloop.errors import DataError
from voxloop.report.html import render_html
from voxloop.report.queries import ShownQuery, place_in_words, query_png, suggestions_report
from voxloop.volume.boxes import Box
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume

LABELS = LabelTable.from_names("cyst")


def _shown(region: Box, *, flips: tuple[bool, bool, bool] = (False, False, False)) -> ShownQuery:
    geometry = oblique_geometry(flips=flips)
    mask = ellipsoid_mask(geometry)
    return ShownQuery(
        number=1,
        query=Query("one", region, 0.5, "entropy", "mean entropy 0.3 nats", 40.0, "seconds"),
        image=Volume(mask.astype(np.float32), geometry),
        axis=2,
        prediction=LabelMap(mask.astype(np.uint8), geometry, LABELS),
        uncertainty=np.abs(mask - 0.3),
    )


def _pixels(png: bytes) -> npt.NDArray[np.float64]:
    from matplotlib.image import imread

    return np.asarray(imread(io.BytesIO(png)), dtype=np.float64)


def _yellow(png: bytes) -> npt.NDArray[np.intp]:
    """Rows and columns of the box's pixels in the left panel (colour #ffd166)."""
    picture = _pixels(png)[:, :480, :3]
    return np.argwhere(np.abs(picture - np.array([255, 209, 102]) / 255).max(axis=-1) < 0.02)


def test_the_slice_asked_for_is_shown_with_its_neighbours() -> None:
    shape = oblique_geometry().shape
    middle, first = _shown(Box.slice_at(shape, 2, 6)), _shown(Box.slice_at(shape, 2, 0))
    assert (middle.index, middle.neighbours) == (6, (5, 7))
    assert (first.index, first.neighbours) == (0, (0, 1))
    across = _shown(Box.slice_at(shape, 0, 5))
    assert (across.look_along, across.neighbours) == (0, (2, 8))
    block = _shown(Box((2, 3, 4), (9, 10, 9)))
    assert (block.look_along, block.index, block.neighbours) == (2, 6, (4, 8))


@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True)])
def test_the_box_is_drawn_where_the_region_lies(flips: tuple[bool, bool, bool]) -> None:
    geometry = oblique_geometry(flips=flips)
    low = Box((1, 1, 6), (8, 9, 7))  # a corner of the slice
    seen = _yellow(query_png(_shown(low, flips=flips)))
    assert seen.size
    height_px = 3.3 * 144
    mm_per_pixel = 1.02 * max(20 * 0.9, 24 * 1.1) / height_px
    spans_mm = (seen.max(axis=0) - seen.min(axis=0)) * mm_per_pixel
    assert spans_mm == pytest.approx([8 * 1.1, 7 * 0.9], abs=0.4)
    # the patient's right is on the left of the picture, anterior on top
    centre_px = (seen.max(axis=0) + seen.min(axis=0)) / 2
    middle_px = np.array([0.3 * 144 + height_px / 2, 0.08 * 144 + height_px / 2])
    away_vox = np.array([(low.start[a] + low.stop[a] - geometry.shape[a]) / 2 for a in (0, 1)])
    signs = np.array([geometry.matrix[0, 0], geometry.matrix[1, 1]])
    expected = np.sign(away_vox * signs) * np.array([-1, -1])  # x to the left, y upwards
    assert np.sign(centre_px - middle_px)[::-1] == pytest.approx(expected)


def test_without_a_model_there_is_still_a_picture() -> None:
    shown = _shown(Box.slice_at(oblique_geometry().shape, 2, 6))
    bare = dataclasses.replace(shown, prediction=None, uncertainty=None)
    full, plain = _pixels(query_png(shown)), _pixels(query_png(bare))
    assert plain.shape[1] < full.shape[1]
    assert query_png(shown) == query_png(shown)


def test_places_are_named_as_viewers_do() -> None:
    geometry = oblique_geometry()
    assert place_in_words(Box.slice_at(geometry.shape, 2, 6), geometry) == "axial slice 6 (axis 2)"
    part = Box((1, 2, 6), (8, 9, 7))
    assert place_in_words(part, geometry) == (
        "axial slice 6 (axis 2), 1-7 along axis 0 and 2-8 along axis 1"
    )
    assert place_in_words(Box((1, 2, 3), (8, 9, 7)), geometry) == "box 1-7 x 2-8 x 3-6"


def test_the_page_gives_each_query_its_reason_and_picture() -> None:
    shape = oblique_geometry().shape
    shown = (_shown(Box.slice_at(shape, 2, index)) for index in (4, 6))
    page = render_html(suggestions_report(shown, "Round 1", (("strategy", "entropy"),)))
    assert page.count("data:image/png") == 2
    assert "Axial slice 6 (axis 2). Mean entropy 0.3 nats." in page


def test_a_prediction_of_another_grid_is_refused() -> None:
    shown = _shown(Box.slice_at(oblique_geometry().shape, 2, 6))
    with pytest.raises(DataError, match="an uncertainty of shape"):
        dataclasses.replace(shown, uncertainty=np.zeros((2, 2, 2)))
    with pytest.raises(DataError, match="a region up to"):
        _shown(Box.slice_at((20, 24, 99), 2, 90))
