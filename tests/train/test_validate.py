"""Out-of-fold estimates: nothing leaks, only what was asked for counts, nothing is lost."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import nibabel as nib
import numpy as np
import pytest

from phantoms import ellipsoid_mask, oblique_geometry
from plans import narrow_networks
from voxloop.compute.progress import Progress, silent
from voxloop.dataset.annotation import annotate_region, merge
from voxloop.errors import DataError, UsageError
from voxloop.metrics.table import FOREGROUND_MEAN
from voxloop.train import fold_model
from voxloop.train.config import TrainConfig
from voxloop.train.fold_model import Folders
from voxloop.train.prepare import AnnotatedCase
from voxloop.train.score import score_annotated
from voxloop.train.validate import Validation, divide, validate
from voxloop.volume.boxes import Box
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelArray, LabelMap, Volume

GEOMETRY = oblique_geometry((12, 14, 8), spacing_mm=(1.6, 1.8, 2.5))
LABELS = LabelTable({3: "body", 7: "core"})
CHANNELS = ("CT",)
"""So that the plan depends on what was annotated: it is normalised by the structures."""

CONFIG = TrainConfig(steps=3, save_seconds=0.0)
BOTH, BODY, CORE = frozenset({3, 7}), frozenset({3}), frozenset({7})

WHOLE = Box.whole(GEOMETRY.shape)
MIDDLE = Box((0, 0, 3), (12, 14, 5))
SIDE = Box.slice_at(GEOMETRY.shape, 0, 5)
CORNER = Box((6, 7, 2), (12, 14, 8))

Looks = tuple[tuple[Box, frozenset[int]], ...]
LOOKS: tuple[Looks, ...] = (
    ((WHOLE, BOTH),),
    ((MIDDLE, BODY), (SIDE, BODY)),
    ((MIDDLE, BODY), (SIDE, BOTH)),
    ((CORNER, CORE),),
)
"""What was looked at in each case, and for which labels: four ways to be annotated in part."""


class KilledError(Exception):
    """Stands for the end of the process."""


@dataclass(frozen=True)
class Run:
    """One validation: its files and what it is made of."""

    folder: Path
    cases: tuple[AnnotatedCase, ...]
    config: TrainConfig = CONFIG
    folds: int = 5

    def __call__(self, progress: Callable[[Progress], None] = silent) -> Validation:
        folders = Folders(
            lambda number: self.folder / "folds" / str(number),
            self.folder / "predictions",
            self.folder / "cache",
        )
        return validate(
            self.cases, LABELS, CHANNELS, self.config, folders, folds=self.folds, progress=progress
        )

    def prediction(self, case_id: str) -> LabelArray:
        image = nib.nifti1.load(self.folder / "predictions" / f"{case_id}.nii.gz")
        return np.asarray(image.dataobj).astype(np.uint8)


@pytest.fixture(scope="module", autouse=True)
def _small_network() -> Iterator[None]:
    """Plans ask for a network of a few thousand weights and small batches."""
    with narrow_networks("voxloop.train.fold_model"):
        yield


def _truth(number: int) -> LabelArray:
    offset = (0.5 * number, -0.4 * number, 0.3)
    array = np.where(ellipsoid_mask(GEOMETRY, (6.0, 7.0, 7.0), offset), 3, 0)
    return np.where(ellipsoid_mask(GEOMETRY, (3.0, 3.5, 4.0), offset), 7, array).astype(np.uint8)


def _case(number: int, looks: Looks = LOOKS[0], truth: LabelArray | None = None) -> AnnotatedCase:
    noise = np.random.default_rng(number).normal(0, 0.2, GEOMETRY.shape)
    volume = Volume((_truth(number) / 3 + noise).astype(np.float32), GEOMETRY)
    reference = LabelMap(_truth(number) if truth is None else truth, GEOMETRY, LABELS)
    annotations = [annotate_region(reference, [box], asked) for box, asked in looks]
    target = merge(annotations, GEOMETRY.shape, LABELS)
    return AnnotatedCase(f"case{number}", lambda: (volume,), GEOMETRY, target, f"scan{number}")


def _cases(count: int) -> tuple[AnnotatedCase, ...]:
    return tuple(_case(number) for number in range(count))


def _dice_by_hand(
    truth: LabelArray, predicted: LabelArray, looks: Looks, value: int
) -> float | None:
    """Voxel by voxel from what was looked at; None if the label was asked for nowhere."""
    known: set[tuple[int, ...]] = set()
    for box, asked in looks:
        if value in asked:
            known |= set(itertools.product(*map(range, box.start, box.stop)))
    if not known:
        return None
    a = {place for place in known if truth[place] == value}
    b = {place for place in known if predicted[place] == value}
    return 2 * len(a & b) / (len(a) + len(b)) if a or b else math.nan


def _check_by_hand(scores: Sequence[Any], predicted: dict[str, LabelArray]) -> dict[str, Any]:
    found = {(score.case_id, score.value): score.dice for score in scores}
    expected = {
        (f"case{number}", value): dice
        for number, looks in enumerate(LOOKS)
        for value in LABELS
        if (dice := _dice_by_hand(_truth(number), predicted[f"case{number}"], looks, value))
        is not None
    }
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)
    return {f"{case_id} {value}": dice for (case_id, value), dice in found.items()}


def test_labels_count_where_somebody_looked_for_them_and_nowhere_else() -> None:
    rng = np.random.default_rng(1)
    predicted = {
        f"case{n}": np.where(rng.random(GEOMETRY.shape) < 0.6, _truth(n), rng.choice([0, 3, 7]))
        .astype(np.uint8) for n in range(4)
    }  # fmt: skip
    scores = [
        score
        for number, looks in enumerate(LOOKS)
        for score in score_annotated(
            f"case{number}",
            _case(number, looks).target,
            LabelMap(predicted[f"case{number}"], GEOMETRY, LABELS),
        )
    ]
    by_hand = _check_by_hand(scores, predicted)
    assert sorted(by_hand) == ["case0 3", "case0 7", "case1 3", "case2 3", "case2 7", "case3 7"]
    assert all(0 < dice < 1 for dice in by_hand.values())


def test_a_label_that_both_lack_is_undefined_and_one_not_asked_for_is_background() -> None:
    nothing = np.zeros(GEOMETRY.shape, dtype=np.uint8)
    target = _case(0, ((MIDDLE, BODY),), truth=nothing).target
    (correct,) = score_annotated("a", target, LabelMap(nothing + np.uint8(7), GEOMETRY, LABELS))
    (alarm,) = score_annotated("a", target, LabelMap(nothing + np.uint8(3), GEOMETRY, LABELS))
    assert math.isnan(correct.dice)
    assert (alarm.dice, alarm.reference_ml) == (0.0, 0.0)
    assert alarm.prediction_ml == pytest.approx(12 * 14 * 2 * 1.6 * 1.8 * 2.5 / 1000)


def test_cases_left_out_are_scored_by_what_was_annotated_of_them(tmp_path: Path) -> None:
    cases = tuple(_case(number, looks) for number, looks in enumerate(LOOKS))
    run = Run(tmp_path, cases, TrainConfig(steps=24, learning_rate=2e-2))
    found = run()
    assert [fold.cases.validation for fold in found.folds] == [(case.id,) for case in cases]
    by_hand = _check_by_hand(found.scores, {case.id: run.prediction(case.id) for case in cases})
    assert max(by_hand.values()) > 0.5, "models that predict nothing would show nothing"
    body, core, mean = found.dice
    assert (body.name, core.name, mean.name) == ("body", "core", FOREGROUND_MEAN)
    assert body.mean == pytest.approx(np.mean([by_hand[f"case{n} 3"] for n in (0, 1, 2)]))
    assert core.mean == pytest.approx(np.mean([by_hand[f"case{n} 7"] for n in (0, 2, 3)]))
    per_case = [np.mean([d for key, d in by_hand.items() if key[:5] == c.id]) for c in cases]
    assert mean.mean == pytest.approx(np.mean(per_case))
    assert (body.cases, core.cases, mean.cases) == (3, 3, 4)
    assert (mean.low, mean.high) == (None, None)
    assert mean.note == "n = 4 is too small to claim an interval"
    assert "models learned from 3 of the 4 cases, for 24 steps" in found.meaning[0]
    json.dumps(found.to_json(), allow_nan=False)


def test_what_is_known_of_a_case_left_out_cannot_reach_its_prediction(tmp_path: Path) -> None:
    honest = Run(tmp_path / "honest", _cases(3))
    poison = _case(1, truth=np.roll(_truth(1), 5, axis=0) // 7 * 7)
    poisoned = Run(tmp_path / "poisoned", (_case(0), poison, _case(2)))
    first, second = honest(), poisoned()
    models = list(zip(first.folds, second.folds, strict=True))
    assert [a.model == b.model for a, b in models] == [False, True, False]
    assert np.array_equal(honest.prediction("case1"), poisoned.prediction("case1"))


def test_six_cases_have_an_interval_and_each_is_left_out_once(tmp_path: Path) -> None:
    found = Run(tmp_path, _cases(6), folds=3)()
    assert sorted(i for fold in found.folds for i in fold.cases.validation) == [
        case.id for case in _cases(6)
    ]
    assert {len(fold.cases.train) for fold in found.folds} == {4}
    body = found.dice[0]
    assert body.low is not None
    assert body.high is not None
    assert body.low <= body.mean <= body.high
    assert body.note == ""


def test_one_case_is_too_few_to_leave_any_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"two annotated cases.*found 1; annotate a slice of a sec"):
        Run(tmp_path, _cases(1))()
    with pytest.raises(UsageError, match="cannot be divided into 1 folds"):
        divide(["a", "b"], 1, seed=0)
    assert not any(tmp_path.iterdir())


def test_a_label_that_only_the_case_left_out_shows_is_not_held_against_the_model(
    tmp_path: Path,
) -> None:
    bare = np.where(_truth(1) == 7, 3, _truth(1))
    found = Run(tmp_path, (_case(0), _case(1, truth=bare.astype(np.uint8))))()
    assert found.not_learned == (("case0", "core"),)
    assert {(score.case_id, score.name) for score in found.scores} == {
        ("case0", "body"), ("case1", "body"), ("case1", "core"),
    }  # fmt: skip


def test_labels_without_a_second_case_are_refused_before_training(tmp_path: Path) -> None:
    cases = (_case(0, ((WHOLE, BODY),)), _case(1, ((WHOLE, CORE),)))
    with pytest.raises(DataError, match="body or core annotated in two cases at least"):
        Run(tmp_path, cases)()
    assert not any(tmp_path.iterdir())


def _files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_validation_killed_at_any_report_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    whole, broken = Run(tmp_path / "whole", _cases(3)), Run(tmp_path / "broken", _cases(3))
    reports: list[Progress] = []
    expected = whole(reports.append)
    for patience in range(2, len(reports)):
        left = itertools.count(patience, -1)

        def dies(_progress: Progress, left: Iterator[int] = left) -> None:
            if next(left) == 0:
                raise KilledError

        try:
            found = broken(dies)
        except KilledError:
            continue
        break
    assert patience > 5, "it was killed a few times, each time later than the time before"
    assert found.to_json() == expected.to_json()
    assert _files(broken.folder) == _files(whole.folder)
    assert [report.done for report in reports] == sorted(report.done for report in reports)
    assert (reports[0].note, reports[-1].done, reports[-1].total) == ("3 folds of 3 steps", 3, 3)


def test_finished_folds_are_read_and_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Run(tmp_path, _cases(3))()
    assert [fold.steps for fold in first.folds] == [3, 3, 3]
    with monkeypatch.context() as patch:
        patch.setattr(fold_model, "train", mock.Mock(side_effect=KilledError))
        patch.setattr(fold_model, "plan_for", mock.Mock(side_effect=KilledError))
        again = Run(tmp_path, _cases(3))()
    assert [fold.steps for fold in again.folds] == [0, 0, 0]
    assert again.to_json() == first.to_json()
    (tmp_path / "predictions" / "case2.nii.gz").unlink()
    repaired = Run(tmp_path, _cases(3))()
    assert [fold.steps for fold in repaired.folds] == [0, 0, 0], "the model is still there"
    assert repaired.to_json() == first.to_json()
    longer = Run(tmp_path, _cases(3), dataclasses.replace(CONFIG, steps=4))()
    assert [fold.steps for fold in longer.folds] == [4, 4, 4]
