from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.metrics.empty import EMPTY_MASKS, settle
from voxloop.metrics.score import LabelScore, score_case, score_slices
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap

NAN, INF = math.nan, math.inf
LABELS = LabelTable.from_names("liver")
GEOMETRY = oblique_geometry()
MASK = ellipsoid_mask(GEOMETRY)
NONE = np.zeros_like(MASK)
VOLUME_ML = MASK.sum() * GEOMETRY.voxel_volume_mm3 / 1000

# metric: both empty, only the reference empty, only the prediction empty
TABLE = {
    "dice": (NAN, 0.0, 0.0),
    "iou": (NAN, 0.0, 0.0),
    "volume_difference_ml": (0.0, VOLUME_ML, -VOLUME_ML),
    "volume_difference_percent": (NAN, NAN, -100.0),
    "hd95_mm": (NAN, INF, INF),
    "assd_mm": (NAN, INF, INF),
    "surface_dice": (NAN, 0.0, 0.0),
}
SITUATIONS = [(NONE, NONE), (NONE, MASK), (MASK, NONE)]


def label_map(mask: npt.NDArray[np.bool_]) -> LabelMap:
    return LabelMap(mask.astype(np.uint8), GEOMETRY, LABELS)


@pytest.mark.parametrize("metric", TABLE)
@pytest.mark.parametrize("situation", [0, 1, 2], ids=["both", "reference", "prediction"])
def test_a_case_with_an_empty_mask_scores_as_the_table_says(metric: str, situation: int) -> None:
    reference, prediction = SITUATIONS[situation]
    (score,) = score_case("c", label_map(reference), label_map(prediction))
    assert getattr(score, metric) == pytest.approx(TABLE[metric][situation], nan_ok=True)


@pytest.mark.parametrize("metric", ["dice", "iou"])
@pytest.mark.parametrize("situation", [0, 1, 2], ids=["both", "reference", "prediction"])
def test_a_slice_with_an_empty_mask_scores_as_the_table_says(metric: str, situation: int) -> None:
    reference, prediction = SITUATIONS[situation]
    scores = score_slices("c", label_map(reference), label_map(prediction), axis=2)
    middle = scores[GEOMETRY.shape[2] // 2]
    assert getattr(middle, metric) == pytest.approx(TABLE[metric][situation], nan_ok=True)


def test_the_table_in_the_code_covers_every_metric_but_the_volume_in_millilitres() -> None:
    assert set(EMPTY_MASKS) == set(LabelScore.METRICS) - {"volume_difference_ml"}
    for metric, rule in EMPTY_MASKS.items():
        np.testing.assert_equal(dataclasses.astuple(rule), TABLE[metric])


def test_the_table_in_the_documentation_is_the_one_in_the_code() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
    section = page.read_text(encoding="utf-8").partition("## Empty masks")[2].partition("## ")[0]
    words = {"undefined": NAN, "infinite": INF}
    written = {
        metric: tuple(words[cell] if cell in words else float(cell) for cell in cells.split(" | "))
        for metric, cells in re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE)
    }
    in_code = {metric: dataclasses.astuple(rule) for metric, rule in EMPTY_MASKS.items()}
    np.testing.assert_equal(written, in_code)


def test_a_computed_value_is_kept_where_no_mask_is_empty() -> None:
    settled = settle("dice", [0.5, 9.0, 9.0, 9.0], [3, 0, 3, 0], [4, 4, 0, 0])
    np.testing.assert_equal(settled, [0.5, 0.0, 0.0, NAN])
