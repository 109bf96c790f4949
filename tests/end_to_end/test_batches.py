"""Many scans, some of them broken: all that can be done is done, and the rest is said."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batches import BROKEN, GEOMETRY, write_model, write_scan

from plans import small_plan
from study import voxloop
from voxloop.compute.atomic import write_json
from voxloop.compute.memory import GIB
from voxloop.dataset.layouts import read_dataset
from voxloop.dataset.tables import label_table_for
from voxloop.errors import DataError, LimitError, UsageError
from voxloop.io.formats import read_label_map, read_volume, write_label_map
from voxloop.model.checkpoint import load_checkpoint
from voxloop.predict.options import InferenceOptions
from voxloop.predict.postprocess import LabelRule, PostProcessing
from voxloop.predict.predictor import Prediction, Predictor
from voxloop.predict.quality.assess import measure_case
from voxloop.predict.quality.calibration import (
    Calibration,
    CalibrationCase,
    Outcome,
    save_calibration,
)
from voxloop.predict.quality.estimate import CaseQuality, QualityEstimate
from voxloop.predict.quality.flags import Flag, FlagKind
from voxloop.report import batch as pages
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap
from voxloop.workspace import batch as batches
from voxloop.workspace.actions.segment import SegmentResult
from voxloop.workspace.actions.segment import segment as action

HERE = Path(__file__).parent


TORCH = InferenceOptions(engine="torch")


def segment(model: Path, scans: Path | Sequence[Path], out: Path, **more: Any) -> SegmentResult:
    """As the action, by an engine that is there at once."""
    return action(model, scans, out, **{"options": TORCH, **more})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for number in range(3):
        write_scan(tmp_path / "scans" / f"case{number}.nii.gz", number)
    return tmp_path / "scans"


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    text = (out / "summary.csv").read_text()
    return {row["case"]: row for row in csv.DictReader(io.StringIO(text))}


def test_of_fifty_scans_with_five_broken_ones_forty_five_are_done(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    scans, out = tmp_path / "scans", tmp_path / "out"
    for number in range(45):
        write_scan(scans / f"case{number:02d}.nii.gz", number)
    broken = ["truncated", "text", "four_axes", "not_a_number", "empty"]
    for name in broken:
        BROKEN[name][0](scans / f"{name}.nii.gz")
    words = ("--model", model, "-o", out, "--engine", "torch", "--json")
    assert voxloop("segment", scans, *words) == 3
    document = json.loads(capfd.readouterr().out)
    assert len(document["written"]) == 45
    assert sorted(failure["case"] for failure in document["failed"]) == sorted(broken)
    assert {failure["cause"] for failure in document["failed"]} == {"data"}
    assert len(document["warnings"]) == 5
    assert len(list(out.glob("*.nii.gz"))) == 45
    assert len(list((out / "thumbnails").glob("*.png"))) == 45
    summary = json.loads((out / "summary.json").read_text())
    counts = {"done": 45, "failed": 5, "kept": 0, "waiting": 0, "earlier": 0}
    assert summary["counts"] | counts == summary["counts"]
    assert document["cases"] == summary["cases"]
    rows = rows_of(out)
    assert len(rows) == 50
    assert rows["empty"]["state"] == "failed"
    for case in summary["cases"]:
        if case["state"] == "done":
            found = read_label_map(out / case["label_map"], small_plan().table)
            scan = read_volume(scans / f"{case['id']}.nii.gz")
            assert found.geometry.difference(scan.geometry) is None
            assert float(rows[case["id"]]["core_ml"]) == pytest.approx(found.volume_ml(4), abs=1e-4)
            assert {"read", "network", "write"} <= set(case["seconds"])
    page = (out / "summary.html").read_text()
    assert page.count('loading="lazy"') == 45
    assert page.index("empty.nii.gz") < page.index("case00.nii.gz")


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_scan_is_named_with_what_was_expected_and_what_to_do(
    kind: str, model: Path, scans: Path, tmp_path: Path
) -> None:
    break_it, finding, remedy = BROKEN[kind]
    break_it(scans / f"{kind}.nii.gz")
    done = segment(model, scans, tmp_path / "out")
    (problem,) = done.failed
    assert f'case "{kind}"' in problem.where
    assert str(scans / kind) in problem.where
    assert problem.expected
    assert finding in problem.found
    assert remedy in problem.remedy
    assert (len(done.written), done.exit_code) == (3, 3)


def test_a_scan_that_may_not_be_read_is_refused_alone(
    model: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordinary = Path.open  # tests may run as root, who may read everything

    def forbidden(self: Path, *args: Any, **options: Any) -> Any:
        if self == scans / "case1.nii.gz":
            raise PermissionError(13, "Permission denied", str(self))
        return ordinary(self, *args, **options)

    monkeypatch.setattr(Path, "open", forbidden)
    done = segment(model, scans, tmp_path / "out")
    assert done.written == ("case0", "case2")
    assert re.search(r"case1.+expected a readable file, found no permission", str(done.failed[0]))


def test_what_is_done_is_kept_until_model_scan_or_quality_change(
    model: Path, scans: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = segment(model, scans, out)
    times = {path: path.stat().st_mtime_ns for path in out.glob("*.nii.gz")}
    again = segment(model, scans, out)
    assert (again.written, again.kept) == ((), first.written)
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.nii.gz")} == times
    assert rows_of(out)["case0"]["state"] == "kept"
    assert again.summary.cases[0].per_label == first.summary.cases[0].per_label
    write_scan(scans / "case1.nii.gz", 99)
    assert segment(model, scans, out).written == ("case1",)
    (out / "case2.nii.gz").unlink()
    assert segment(model, scans, out).written == ("case2",)
    best = InferenceOptions(quality="best", engine="torch")
    assert segment(model, scans, out, options=best).written == first.written
    other = write_model(tmp_path / "other.safetensors", seed=1)
    assert segment(other, scans, out, options=best).written == first.written
    assert segment(other, scans, out, options=best, overwrite=True).written == first.written


def test_a_label_map_that_somebody_has_corrected_is_never_lost(
    model: Path, scans: Path, tmp_path: Path
) -> None:
    out, table = tmp_path / "out", small_plan().table
    segment(model, scans, out)
    corrected = LabelMap(np.ones(GEOMETRY.shape, dtype=np.uint8), GEOMETRY, table)
    write_label_map(out / "case1.nii.gz", corrected)
    content = (out / "case1.nii.gz").read_bytes()
    kept = segment(model, scans, out)
    assert kept.kept == ("case0", "case1", "case2")
    assert "changed by hand" in rows_of(out)["case1"]["reason"]
    other = write_model(tmp_path / "other.safetensors", seed=1)
    done = segment(other, scans, out)
    assert done.written == ("case0", "case2")
    assert "which would be lost" in str(done.failed[0])
    assert (out / "case1.nii.gz").read_bytes() == content
    assert segment(other, scans, out, overwrite=True).failed == ()
    assert (out / "case1.nii.gz").read_bytes() != content


def test_references_in_the_folder_and_the_scans_themselves_are_never_replaced(
    model: Path, scans: Path, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in scans.iterdir()}
    with pytest.raises(UsageError, match="cannot lie among the scans"):
        segment(model, scans, scans, overwrite=True)
    assert {path: path.read_bytes() for path in scans.iterdir()} == before
    references = tmp_path / "labels"
    write_scan(references / "case0.nii.gz", 5)
    content = (references / "case0.nii.gz").read_bytes()
    assert segment(model, scans, references).written == ("case1", "case2")
    assert (references / "case0.nii.gz").read_bytes() == content


def test_a_scan_too_large_ends_in_4_alone_and_in_3_among_others(
    model: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, LimitError("segmenting needs 9.0 GiB of memory, 4.0 GiB may be used"))
    alone = segment(model, scans / "case1.nii.gz", tmp_path / "alone")
    assert (alone.exit_code, alone.written) == (4, ())
    assert "--memory" in alone.failed[0].remedy
    assert (tmp_path / "alone" / "summary.csv").exists()
    among = segment(model, scans, tmp_path / "among")
    assert (among.exit_code, among.written) == (3, ("case0", "case2"))


def test_a_bug_in_one_case_costs_no_other_and_is_confessed(
    model: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, IndexError("out of bounds"))
    done = segment(model, scans, tmp_path / "out")
    assert (done.exit_code, done.written) == (1, ("case0", "case2"))
    document = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert "IndexError: out of bounds" in document["cases"][1]["traceback"]


def refuse(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Make the predictor fail on the second scan, told by its first voxel."""
    ordinary = Predictor.segment
    second = read_first_voxel(1)

    def failing(self: Predictor, channels: Any, *args: Any, **options: Any) -> Prediction:
        if float(channels[0].array.flat[0]) == second:
            raise error
        return ordinary(self, channels, *args, **options)

    monkeypatch.setattr(Predictor, "segment", failing)


def read_first_voxel(seed: int) -> float:
    return float(np.float32(np.random.default_rng(seed).normal(0, 10, GEOMETRY.shape).flat[0]))


def test_a_summary_also_lists_what_other_batches_left_in_the_folder(
    model: Path, scans: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    segment(model, scans / "case0.nii.gz", out)
    done = segment(model, [scans / "case1.nii.gz"], out)
    assert done.written == ("case1",)
    assert {name: row["state"] for name, row in rows_of(out).items()} == {
        "case0": "earlier",
        "case1": "done",
    }


def test_without_the_report_extra_there_are_results_and_no_page(
    model: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_template", pages._template.__wrapped__)
    for name in ("jinja2", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    done = segment(model, scans, tmp_path / "out")
    assert len(done.written) == 3
    assert [path.name for path in done.wrote] == ["summary.csv", "summary.json"]


def test_nnunet_finds_its_names_numbers_and_grids(model: Path, scans: Path, tmp_path: Path) -> None:
    out, plain = tmp_path / "out", tmp_path / "plain"
    segment(model, scans, plain)
    done = segment(model, scans, out, layout="nnunet")
    table = small_plan().table
    # as nnU-Net pairs them: a data set whose label maps are the predictions
    raw = tmp_path / "Dataset001_Test"
    for source, folder, suffix in ((scans, "imagesTr", "_0000"), (out, "labelsTr", "")):
        (raw / folder).mkdir(parents=True)
        for path in source.glob("*.nii.gz"):
            name = path.name.replace(".nii.gz", f"{suffix}.nii.gz")
            (raw / folder / name).write_bytes(path.read_bytes())
    index = json.loads((out / "dataset.json").read_text())
    (raw / "dataset.json").write_text(json.dumps(index))
    dataset = read_dataset(raw)
    assert dataset.labels == LabelTable({1: "body", 2: "core"})
    assert dataset.ids == done.written
    for case in dataset.cases:
        assert case.label_map is not None
        found = read_label_map(case.label_map, dataset.labels)
        expected = read_label_map(plain / f"{case.id}.nii.gz", table)
        assert np.array_equal(np.array([0, 1, 4])[found.array], expected.array)
        assert found.geometry.difference(expected.geometry) is None
    assert json.loads((out / "plans.json").read_text())["image_reader_writer"] == "SimpleITKIO"
    assert label_table_for([out / "case0.nii.gz"])[0] == dataset.labels
    assert {path.name for path in out.glob("*.nii.gz")} == {f"{i}.nii.gz" for i in done.written}


def test_words_that_are_no_options_are_refused_by_name(
    model: Path, scans: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="unknown quality 'good': choose one of fast, default"):
        InferenceOptions(quality="good")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="unknown engine 'tpu'"):
        InferenceOptions(engine="tpu")
    with pytest.raises(UsageError, match="more than nothing"):
        InferenceOptions(memory_bytes=-GIB)
    with pytest.raises(UsageError, match="unknown layout 'bids': choose one of plain, nnunet"):
        segment(model, scans, tmp_path / "out", layout="bids")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"expected scans ending in .+, found none"):
        segment(model, tmp_path / "empty", tmp_path / "out")


def test_uncertainty_lies_on_the_scans_grid_in_a_folder_of_its_own(
    model: Path, scans: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    unsure = InferenceOptions(engine="torch", uncertainty=True)
    segment(model, scans, out)
    done = segment(model, scans, out, options=unsure)
    assert len(done.written) == 3
    for case in done.summary.cases:
        found = read_volume(out / case.uncertainty)
        assert found.array.dtype == np.uint8
        assert found.geometry.difference(read_volume(scans / f"{case.id}.nii.gz").geometry) is None
        assert found.array.max() > 100  # of a model that has learned nothing
        record = json.loads((out / f"{case.id}.json").read_text())
        assert record["uncertainty_scale"]["factor"] == 1 / 255
    assert len(segment(model, scans, out, options=unsure).kept) == 3
    assert len(segment(model, scans, out).kept) == 3
    assert (out / "uncertainty" / "case1.nii.gz").exists()
    (out / "uncertainty" / "case1.nii.gz").unlink()
    assert segment(model, scans, out, options=unsure).written == ("case1",)
    other = write_model(tmp_path / "other.safetensors", seed=1)
    assert len(segment(other, scans, out).written) == 3
    assert not list((out / "uncertainty").iterdir()), "of the other model"


def test_what_validation_taught_cleans_label_maps_and_says_what_to_check(
    scans: Path, tmp_path: Path
) -> None:
    model, out = write_model(tmp_path / "members" / "0" / "model.safetensors"), tmp_path / "out"
    raw = segment(model, scans, out)
    rules = PostProcessing((LabelRule(4, least_ml=1000.0),))
    write_json(tmp_path / "postprocessing.json", rules.to_json())
    cleaned = segment(model, scans, out)
    assert cleaned.written == raw.written
    assert [case.per_label[1].volume_ml for case in cleaned.summary.cases] == [0, 0, 0]
    assert raw.summary.cases[0].per_label[1].volume_ml > 0

    predictor = Predictor(load_checkpoint(model))
    known = tuple(
        CalibrationCase(
            path.name,
            measure_case(predictor, (read_volume(path),), rules),
            (Outcome(1, 0.8, 1.0, 500, 0.4, shown=True),),
        )
        for path in sorted(scans.iterdir())
    )
    save_calibration(tmp_path / "calibration.json", Calibration(small_plan().labels, known))
    judged = segment(model, scans, out)
    assert judged.written == raw.written
    quality = judged.summary.cases[0].per_label[0].quality
    assert quality is not None
    assert "too small to calibrate" in quality.note
    assert segment(model, scans, out).summary.cases[0].per_label[0].quality == quality
    assert segment(model, scans, out, options=replace(TORCH, estimate=False)).kept == raw.written
    assert "predicted Dice" in (out / "summary.html").read_text()


def test_an_estimate_of_quality_reaches_summary_table_and_records(
    model: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = Flag(FlagKind.CUT, "the core is cut by the field of view", 0.3, 0.02)
    estimate = QualityEstimate("core", 0.8, 0.7, 0.9, 1.5, 1.0, 2.0, 30, (flag,), "")
    assessed = (CaseQuality((estimate,), 0.5, ()), "")
    monkeypatch.setattr(batches.Batch, "_estimate", lambda *_: assessed)
    out = tmp_path / "out"
    segment(model, scans, out)
    assert rows_of(out)["case1"]["core_dice_low"] == "0.7"
    assert rows_of(out)["case1"]["body_dice_low"] == ""
    assert rows_of(out)["case1"]["reason"] == "the core is cut by the field of view"
    assert segment(model, scans, out).summary.counts["to_check"] == 3


@pytest.mark.parametrize(("kills", "seed"), [(4, 0), pytest.param(40, 1, marks=pytest.mark.slow)])
def test_a_batch_killed_at_random_moments_ends_like_the_undisturbed_one(
    tmp_path: Path, kills: int, seed: int
) -> None:
    path = os.pathsep.join([str(HERE.parent), *sys.path])
    done = subprocess.run(
        [sys.executable, HERE / "killed_batch.py", tmp_path, str(kills), str(seed)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    met = json.loads(done.stdout.splitlines()[-1])["results_met"]
    assert len(met) == kills
    assert len(set(met)) > 1, f"the kills came at the same places: {met}"
