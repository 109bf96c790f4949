from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.errors import Problem
from voxloop.predict.quality.estimate import QualityEstimate
from voxloop.predict.quality.flags import Flag, FlagKind
from voxloop.report.batch import BatchSummary, batch_csv, batch_html, write_batch
from voxloop.report.outcome import CaseOutcome, LabelOutcome, Quality
from voxloop.report.planes import AXIAL, CORONAL, SAGITTAL
from voxloop.report.thumbnail import SIDE_PX, thumbnail_plane, thumbnail_png
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume

EVIL = '<script>alert("1")</script>'
VOID = {"meta", "img", "br", "hr", "link"}


class Tags(HTMLParser):
    """Reads strictly: every element that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.images: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def quality(dice: float, *flags: str) -> Quality:
    return Quality(dice, dice - 0.1, min(1.0, dice + 0.1), 1.2, 0.4, 2.0, 30, flags)


def case(case_id: str, *labels: LabelOutcome, flags: tuple[str, ...] = ()) -> CaseOutcome:
    return CaseOutcome(
        case_id,
        "done",
        labels,
        flags,
        seconds={"read": 0.5, "network": 12.25},
        peak_bytes=3 << 29,
        engine="openvino-bf16",
        label_map=f"{case_id}.nii.gz",
        thumbnail=f"thumbnails/{case_id}.png",
    )


@pytest.fixture
def summary() -> BatchSummary:
    problem = Problem("scans/z.nii.gz", "a gzip file", EVIL, "copy the file again")
    cases = (
        case("good", LabelOutcome("liver", 1502.25, quality(0.95))),
        case("poor", LabelOutcome("liver", 900.5, quality(0.71))),
        case("odd", LabelOutcome("liver", 0.04, quality(0.9, "the liver is in 9 pieces"))),
        case("unlike", LabelOutcome("liver", 1.0, quality(0.99)), flags=("unlike the training",)),
        CaseOutcome("broken", "failed", problems=(problem,), cause="data"),
        CaseOutcome("later", "waiting"),
    )
    return BatchSummary(cases, ("liver",), (("model", EVIL),), ("notes.txt",))


def test_failures_come_first_then_what_is_to_be_checked_then_the_poorest(
    summary: BatchSummary,
) -> None:
    order = [case.id for case in summary.worst_first]
    assert order == ["broken", "odd", "unlike", "poor", "good", "later"]
    page = batch_html(summary)
    places = [page.index(name) for name in ("z.nii.gz", *(f"{n}.nii.gz" for n in order[1:5]))]
    assert places == sorted(places)
    assert summary.counts["to_check"] == 2


def test_the_page_is_whole_escaped_and_loads_pictures_when_they_are_seen(
    summary: BatchSummary,
) -> None:
    page = batch_html(summary)
    tags = Tags()
    tags.feed(page)
    tags.close()
    assert tags.open == []
    assert "script" not in tags.seen
    assert page.count("&lt;script&gt;") == 2
    assert {image["src"] for image in tags.images} == {
        f"thumbnails/{name}.png" for name in ("good", "poor", "odd", "unlike")
    }
    assert all(image["loading"] == "lazy" and image["alt"] for image in tags.images)
    assert "default-src 'none'" in page
    assert not re.search(r"https?://", page)
    assert "0.71" in page
    assert "[0.61, 0.81]" in page


def test_without_calibration_the_page_says_that_it_says_nothing_of_quality() -> None:
    page = batch_html(BatchSummary((case("a", LabelOutcome("liver", 3.0)),), ("liver",), ()))
    assert "not calibrated" in page
    assert "predicted Dice" not in page


def test_what_promises_nothing_still_puts_the_cases_in_order() -> None:
    unknown = Quality(None, None, None, None, None, None, 0, (), "too few")
    cases = tuple(
        case(name, LabelOutcome("liver", 3.0, replace(unknown, part_dice=dice)))
        for name, dice in (("good", 0.93), ("poor", 0.74), ("middling", 0.85))
    )
    ordered = BatchSummary((*cases, case("a", LabelOutcome("liver", 3.0, unknown))), ("liver",), ())
    assert [one.id for one in ordered.worst_first] == ["poor", "middling", "good", "a"]
    page = batch_html(ordered)
    assert "0.74 in part" in page
    assert "promises nothing" in page
    rows = {row["case"]: row for row in csv.DictReader(io.StringIO(batch_csv(ordered)))}
    assert (rows["poor"]["liver_dice"], rows["poor"]["liver_part_dice"]) == ("", "0.74")


def test_the_table_has_a_row_per_case_and_leaves_empty_what_is_unknown(
    summary: BatchSummary,
) -> None:
    rows = {row["case"]: row for row in csv.DictReader(io.StringIO(batch_csv(summary)))}
    assert sorted(rows) == sorted(case.id for case in summary.cases)
    assert rows["poor"]["liver_ml"] == "900.5"
    assert float(rows["poor"]["liver_dice_low"]) == pytest.approx(0.61)
    assert float(rows["good"]["seconds"]) == 12.75
    assert rows["odd"]["check_before_use"] == "yes"
    assert rows["odd"]["reason"] == "the liver is in 9 pieces"
    assert rows["broken"]["liver_ml"] == ""
    assert "expected a gzip file" in rows["broken"]["reason"]
    assert rows["later"]["state"] == "waiting"


def test_a_summary_of_five_hundred_cases_stays_small(tmp_path: Path) -> None:
    labels = tuple(LabelOutcome(f"label {n}", 1.0, quality(0.9)) for n in range(5))
    cases = tuple(case(f"case{n:03d}", *labels) for n in range(500))
    written = write_batch(tmp_path, BatchSummary(cases, tuple(x.name for x in labels), ()))
    assert [path.name for path in written] == ["summary.html", "summary.csv", "summary.json"]
    assert (tmp_path / "summary.html").stat().st_size < 2 << 20
    assert len(json.loads((tmp_path / "summary.json").read_text())["cases"]) == 500


def test_an_outcome_comes_back_from_its_record(summary: BatchSummary) -> None:
    outcome = summary.cases[2]
    document = json.loads(json.dumps(outcome.to_json()))
    assert CaseOutcome.from_json(document, "kept") == replace(outcome, state="kept")
    with pytest.raises(KeyError, match="per_label"):
        CaseOutcome.from_json({"id": "a"}, "kept")


def test_an_estimate_is_taken_over_with_its_reasons_and_without_what_is_not_finite() -> None:
    flag = Flag(FlagKind.CUT, "the liver is cut by the field of view", 0.3, 0.02)
    estimate = QualityEstimate("liver", 0.91234, 0.8, 1.0, math.inf, None, None, 12, (flag,), "few")
    found = Quality.of(estimate)
    assert (found.dice, found.surface_mm, found.note) == (0.9123, None, "few")
    assert found.flags == ("the liver is cut by the field of view",)


def test_a_thumbnail_lies_across_the_thickest_voxels_and_is_axial_in_doubt() -> None:
    shape, upright = (20, 20, 20), (0.0, 0.0, 0.0)
    planes = {(1.0, 1.0, 1.1): AXIAL, (1.0, 3.0, 1.0): CORONAL, (4.0, 1.0, 1.0): SAGITTAL}
    for spacing_mm, plane in planes.items():
        assert thumbnail_plane(oblique_geometry(shape, spacing_mm, upright)) is plane


@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True)])
def test_a_thumbnail_outlines_the_label_in_its_colour(flips: tuple[bool, bool, bool]) -> None:
    from matplotlib.image import imread

    geometry = oblique_geometry(flips=flips)
    mask = ellipsoid_mask(geometry)
    label_map = LabelMap(mask.astype(np.uint8), geometry, LabelTable.from_names("ball"))
    areas = mask.sum(axis=(0, 1))
    image = Volume(mask * 100.0, geometry)
    picture = imread(io.BytesIO(thumbnail_png(image, label_map, areas)))
    assert picture.shape[:2] == (SIDE_PX, SIDE_PX)
    blue = (picture[..., 2] - picture[..., 0] > 0.3).sum()
    assert 300 < blue < 10_000
    empty = LabelMap(np.zeros_like(label_map.array), geometry, label_map.labels)
    blank = imread(io.BytesIO(thumbnail_png(image, empty, areas * 0)))
    assert not (blank[..., 2] - blank[..., 0] > 0.3).any()
