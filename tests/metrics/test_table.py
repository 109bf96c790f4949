from __future__ import annotations

import csv
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from voxloop.errors import UsageError
from voxloop.metrics.table import (
    ALL_MEAN,
    FOREGROUND_MEAN,
    LabelScore,
    SliceScore,
    Summary,
    summarise,
    to_rows,
    write_csv,
)

NAN, INF = math.nan, math.inf
NAMES = {0: "background", 1: "left", 2: "right"}


def volume(case_id: str, value: int, dice: float, hd95_mm: float = 2.0) -> LabelScore:
    return LabelScore(
        case_id, value, NAMES[value], dice, dice / (2 - dice), 0.5, 5.0, hd95_mm, 1.0, 0.9, 1.0,
        10.0, 10.5,
    )  # fmt: skip


def by_slice(case_id: str, index: int, dice: float) -> SliceScore:
    return SliceScore(case_id, 2, index, 1, "left", dice, dice / (2 - dice), 50, 50)


def row(rows: tuple[Summary, ...], metric: str, name: str) -> Summary:
    (found,) = (r for r in rows if (r.metric, r.name) == (metric, name))
    return found


def summary_of(*scores: LabelScore) -> tuple[Summary, ...]:
    return summarise(scores, rng=np.random.default_rng(0))


def test_each_label_is_averaged_over_cases_with_an_interval() -> None:
    dices = [0.9, 0.8, 0.7, 0.95, 0.85, 0.6]
    rows = summary_of(*(volume(f"c{i}", 1, d) for i, d in enumerate(dices)))
    found = row(rows, "dice", "left")
    assert found.low is not None
    assert found.high is not None
    assert found.mean == pytest.approx(0.8)
    assert 0.6 < found.low < found.mean < found.high < 0.95
    assert (found.cases, found.n, found.undefined, found.note) == (6, 6, 0, "")
    assert (found.median, found.p5, found.p95) == pytest.approx((0.825, 0.6, 0.95))
    assert (found.per, found.value) == ("volume", 1)


def test_means_over_labels_are_taken_within_each_case_then_over_cases() -> None:
    rows = summary_of(
        volume("a", 0, 1.0), volume("a", 1, 0.8), volume("a", 2, 0.6),
        volume("b", 0, 0.9), volume("b", 1, 0.3), volume("b", 2, NAN),
    )  # fmt: skip
    assert row(rows, "dice", FOREGROUND_MEAN).mean == pytest.approx((0.7 + 0.3) / 2)
    assert row(rows, "dice", ALL_MEAN).mean == pytest.approx((0.8 + 0.6) / 2)
    assert row(rows, "dice", "background").mean == pytest.approx(0.95)
    assert {r.metric for r in rows if r.name == ALL_MEAN} == {"dice", "iou"}


def test_a_mean_with_the_background_is_given_only_where_it_was_scored() -> None:
    assert ALL_MEAN not in {r.name for r in summary_of(volume("a", 1, 0.8))}


def test_undefined_values_are_left_out_and_counted() -> None:
    rows = summary_of(volume("a", 1, 0.8), volume("b", 1, NAN), volume("c", 1, 0.6))
    found = row(rows, "dice", "left")
    assert (found.n, found.undefined) == (2, 1)
    assert found.mean == pytest.approx(0.7)
    nothing = row(summary_of(volume("a", 1, NAN)), "dice", "left")
    assert (nothing.n, nothing.undefined, nothing.low) == (0, 1, None)
    assert math.isnan(nothing.mean)


def test_one_missed_structure_makes_the_mean_distance_infinite_but_not_the_median() -> None:
    distances = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, INF]
    rows = summary_of(*(volume(f"c{i}", 1, 0.8, d) for i, d in enumerate(distances)))
    found = row(rows, "hd95_mm", "left")
    assert (found.mean, found.low, found.infinite, found.n) == (INF, None, 1, 7)
    assert (found.median, found.p5, found.p95) == (4.0, 1.0, INF)


def test_slices_are_averaged_all_alike_with_their_cases_counted() -> None:
    scores = [by_slice("a", 0, 1.0), by_slice("a", 1, 1.0), by_slice("b", 0, 0.4)]
    found = row(summarise(scores, rng=np.random.default_rng(0)), "dice", "left")
    assert (found.per, found.n, found.cases) == ("slice", 3, 2)
    assert found.mean == pytest.approx(0.8)
    assert "too small to claim" in found.note


def test_the_same_generator_gives_the_same_table() -> None:
    scores = [volume(f"c{i}", 1, 0.5 + i / 20) for i in range(8)]
    assert summary_of(*scores) == summary_of(*scores)


def test_rows_are_valid_json_and_lose_nothing() -> None:
    score = volume("a", 1, NAN, INF)
    (found,) = to_rows([score])
    back = json.loads(json.dumps(found, allow_nan=False))
    assert back["dice"] is None
    assert float(back["hd95_mm"]) == INF
    assert list(back) == [field.name for field in dataclasses.fields(LabelScore)]
    assert back["reference_ml"] == 10.0


def test_a_csv_file_holds_a_header_and_one_line_per_score(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    write_csv(path, [volume("a", 1, 0.5), volume("b", 1, NAN)])
    with path.open(newline="", encoding="utf-8") as handle:
        first, second = csv.DictReader(handle)
    assert (first["case_id"], float(first["dice"])) == ("a", 0.5)
    assert (second["case_id"], second["dice"]) == ("b", "")


def test_what_cannot_be_summarised_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a = volume("a", 1, 0.5)
    with pytest.raises(UsageError, match="no scores to summarise"):
        summarise([], rng=rng)
    with pytest.raises(UsageError, match='case "a" was scored 2 times for label 1'):
        summarise([a, a], rng=rng)
    with pytest.raises(UsageError, match=r"different tolerances, \[1.0, 2.0\] mm"):
        summarise([a, dataclasses.replace(a, case_id="b", tolerance_mm=2.0)], rng=rng)
    with pytest.raises(UsageError, match="summarised apart"):
        summarise([a, by_slice("a", 0, 0.5)], rng=rng)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no scores to write"):
        write_csv(tmp_path / "scores.csv", [])
