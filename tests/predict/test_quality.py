"""Estimates, intervals and flags: against known distributions, and on cases made to be odd."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from voxloop.errors import DataError
from voxloop.predict.quality.calibration import (
    Calibration,
    CalibrationCase,
    Outcome,
    load_calibration,
    save_calibration,
)
from voxloop.predict.quality.estimate import estimate_quality
from voxloop.predict.quality.features import CaseFeatures, LabelFeatures
from voxloop.predict.quality.flags import FlagKind
from voxloop.predict.quality.novelty import Reference, upper_limit
from voxloop.predict.quality.regression import fit_jackknife_plus

LABELS = {"liver": 2, "spleen": 5}


def _label(rng: np.random.Generator, value: int, dice: float, **changes: Any) -> LabelFeatures:
    """A label whose doubt goes with its Dice."""
    label = LabelFeatures(
        value=value,
        volume_ml=float(50 * value * math.exp(rng.normal(0, 0.1))),
        expected_dice=float(np.clip(dice + rng.normal(0, 0.01), 0.05, 0.99)),
        entropy=float(np.clip(1 - dice + rng.normal(0, 0.02), 0.01, 0.99)),
        displacement_mm=float(3 * (1 - dice) + 0.1 * rng.random()),
        components=1,
        scattered=0.0,
        cut=0.0,
        centre_cm=tuple((rng.normal(0, 0.3, 3) + value).tolist()),
        spread_cm=(2.0, 2.1, 1.9),
        appearance=(1.0 + 0.1 * rng.normal(), 0.2, 0.0),
    )
    return dataclasses.replace(label, **changes)


def _features(rng: np.random.Generator, dice: float = 0.9, **changes: Any) -> CaseFeatures:
    return CaseFeatures(
        labels=(_label(rng, 2, dice, **changes), _label(rng, 5, dice)),
        intensity=tuple(np.sort(rng.normal(0, 1, 7)).tolist()),
        texture=tuple(rng.normal(-1, 0.1, 6).tolist()),
        extent=tuple(rng.normal(5, 0.1, 6).tolist()),
    )


def _case(seed: int) -> CalibrationCase:
    rng = np.random.default_rng(seed)
    dice = float(rng.uniform(0.6, 0.95))
    features = _features(rng, dice)
    outcomes = tuple(
        Outcome(
            value=label.value,
            dice=float(np.clip(dice + rng.normal(0, 0.02), 0, 1)),
            surface_mm=float(4 * (1 - dice) * math.exp(rng.normal(0, 0.1))),
            compared_vox=5000,
            reference_ml=label.volume_ml,
            shown=True,
        )
        for label in features.labels
    )
    return CalibrationCase(f"case{seed:03d}", features, outcomes)


def _calibration(count: int, first: int = 0) -> Calibration:
    cases = tuple(_case(seed) for seed in range(first, first + count))
    return Calibration(LABELS, cases, ("0" * 64,))


def test_the_regression_finds_a_line_and_leaves_noise_alone() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    y = 2 + 0.5 * x[:, 0] + rng.normal(0, 0.01, 60)
    fit = fit_jackknife_plus(x, y, np.ones(60))
    assert fit is not None
    assert fit.whole == pytest.approx([2, 0.5, 0, 0], abs=0.01)
    falling = fit_jackknife_plus(-x, y, np.ones(60), sign=-1)
    assert falling is not None
    assert falling.whole == pytest.approx([2, -0.5, 0, 0], abs=0.01)
    wrong = fit_jackknife_plus(x, y, np.ones(60), sign=-1)
    assert wrong is not None
    assert (wrong.whole[1:] <= 0).all()
    assert wrong.whole[1] == 0
    nothing = fit_jackknife_plus(x, rng.normal(size=60), np.ones(60))
    assert nothing is not None
    assert np.abs(nothing.whole[1:]).max() < 0.35


@pytest.mark.parametrize("n", [12, 40])
@pytest.mark.parametrize("heavy", [False, True])
def test_intervals_hold_the_truth_as_often_as_they_say(
    n: int,
    heavy: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    rng = np.random.default_rng(n + heavy)
    slopes = np.array([1.0, 0.5, 0.0, -0.2])
    hits = []
    for _ in range(60):
        x = rng.normal(size=(n + 4, 4))
        noise = rng.standard_t(2, n + 4) if heavy else rng.normal(size=n + 4)
        y = x @ slopes + noise
        fit = fit_jackknife_plus(x[:n], y[:n], rng.uniform(0.3, 1, n))
        assert fit is not None
        for row, truth in zip(x[n:], y[n:], strict=True):
            _, low, high = fit.predict(row)
            hits.append(low <= truth <= high)
    assert 0.86 <= np.mean(hits) <= 0.97


def test_nine_cases_give_no_fit_and_impossible_coverage_an_infinite_interval() -> None:
    x, y = np.arange(10.0)[:, None], np.arange(10.0)
    assert fit_jackknife_plus(x[:9], y[:9], np.ones(9)) is None
    fit = fit_jackknife_plus(x, y, np.ones(10))
    assert fit is not None
    assert fit.predict([3.0], coverage=0.95)[1:] == (-math.inf, math.inf)


def test_the_upper_limit_is_passed_as_seldom_as_it_says() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(3, 2, (3000, 9))
    passed = [row[8] > upper_limit(row[:8], 0.95) for row in samples]
    assert 0.02 < np.mean(passed) < 0.055  # 0.05, less what the largest value keeps back
    assert upper_limit([1.0, 2.0]) == math.inf


@pytest.mark.parametrize("shape", [(30, 5), (12, 40)])
def test_a_reference_passes_its_own_kind_and_stops_others(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(shape[1], shape[1]))
    rows = rng.normal(size=(shape[0] + 40, shape[1])) @ mixing
    reference = Reference(rows[: shape[0]])
    same = [reference.ratio(row) for row in rows[shape[0] :]]
    other = [reference.ratio(row * 6) for row in rows[shape[0] :]]
    assert np.mean(np.array(same) > 1) <= 0.1
    assert np.mean(np.array(other) > 1) >= 0.95
    assert reference.ratio(np.full(shape[1], np.nan)) == 0


def test_what_never_varied_may_differ_by_a_rounding_only() -> None:
    reference = Reference(np.ones((8, 2)))
    assert reference.ratio([1.0, 1.0]) < 1
    assert reference.ratio([1.0, 2.0]) > 1
    assert Reference(np.ones((2, 2))).ratio([1.0, 9.0]) == 0, "two cases show no spread"


def test_estimates_follow_the_truth_and_hold_it() -> None:
    calibration = _calibration(40)
    expected, true, inside, close = [], [], [], []
    for seed in range(500, 600):
        case = _case(seed)
        found = estimate_quality(case.features, calibration).labels[0]
        outcome = case.outcomes[0]
        assert found.dice is not None
        assert found.dice_low is not None
        assert found.dice_high is not None
        assert found.surface_mm is not None
        assert found.surface_low is not None
        assert found.surface_high is not None
        assert 0 <= found.dice_low <= found.dice <= found.dice_high <= 1
        assert 0 <= found.surface_low <= found.surface_mm <= found.surface_high
        expected.append(found.dice)
        true.append(outcome.dice)
        inside.append(found.dice_low <= outcome.dice <= found.dice_high)
        close.append(found.surface_low <= outcome.surface_mm <= found.surface_high)
    assert np.corrcoef(expected, true)[0, 1] > 0.9
    assert 0.8 < np.mean(inside) <= 1
    assert 0.8 < np.mean(close) <= 1


def test_cases_like_the_training_cases_are_seldom_flagged() -> None:
    calibration = _calibration(30)
    flagged = [
        estimate_quality(_case(seed).features, calibration).check_before_use
        for seed in range(500, 600)
    ]
    assert np.mean(flagged) <= 0.1


CHANGES: dict[str, tuple[FlagKind, str, Callable[[CaseFeatures], CaseFeatures]]] = {
    "other intensities": (
        FlagKind.UNLIKE,
        "its intensities are unlike",
        lambda f: dataclasses.replace(f, intensity=tuple(8 * v for v in f.intensity)),
    ),
    "noise": (
        FlagKind.UNLIKE,
        "noisier or smoother",
        lambda f: dataclasses.replace(f, texture=tuple(v + 2 for v in f.texture)),
    ),
    "elsewhere": (
        FlagKind.UNLIKE,
        "lie where none lay",
        lambda f: _with(f, centre_cm=(-6.0, 2.0, 2.0)),
    ),
    "pieces": (
        FlagKind.FRAGMENTED,
        "the liver is in 3 pieces, 30% of it outside the largest",
        lambda f: _with(f, components=3, scattered=0.3),
    ),
    "cut": (
        FlagKind.CUT,
        "the liver is cut off: 20% of its surface",
        lambda f: _with(f, cut=0.2),
    ),
    "large": (
        FlagKind.VOLUME,
        "the liver has 900 ml, in training",
        lambda f: _with(f, volume_ml=900.0),
    ),
    "unsure": (
        FlagKind.DOUBT,
        "the model itself expects a Dice of 0.20 for the liver",
        lambda f: _with(f, expected_dice=0.2),
    ),
    "missing": (
        FlagKind.EMPTY,
        "no liver was found, which all 20 training cases have",
        lambda f: dataclasses.replace(f, labels=(LabelFeatures(2, 0.0), f.labels[1])),
    ),
}


def _with(features: CaseFeatures, **changes: Any) -> CaseFeatures:
    first, *others = features.labels
    return dataclasses.replace(
        features, labels=(dataclasses.replace(first, **changes), *others)
    )  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_odd_is_named(name: str) -> None:
    kind, words, change = CHANGES[name]
    calibration = _calibration(20)
    good = _case(900).features
    assert not estimate_quality(good, calibration).check_before_use
    found = estimate_quality(change(good), calibration)
    assert found.check_before_use
    assert kind in {flag.kind for flag in (*found.flags, *found.labels[0].flags)}
    assert words in found.verdict
    assert found.verdict.startswith("check before use: ")
    json.dumps(found.to_json(), allow_nan=False)


def test_disagreeing_members_are_named_where_training_cases_had_members() -> None:
    cases = tuple(
        dataclasses.replace(case, features=_with(case.features, disagreement=0.02 + 0.001 * number))
        for number, case in enumerate(_calibration(12).cases)
    )
    calibration = Calibration(LABELS, cases)
    good = _with(_case(900).features, disagreement=0.03)
    assert not estimate_quality(good, calibration).check_before_use
    found = estimate_quality(_with(good, disagreement=0.4), calibration)
    assert "agree on the liver with a Dice of 0.60 only" in found.verdict


def test_with_few_cases_there_are_flags_but_no_interval() -> None:
    calibration = _calibration(9)
    found = estimate_quality(_case(900).features, calibration).labels[0]
    assert (found.dice, found.dice_low, found.surface_mm) == (None, None, None)
    assert found.n_calibration == 9
    assert "n = 9 is too small to calibrate" in found.note
    odd = estimate_quality(_with(_case(900).features, scattered=0.4), calibration)
    assert odd.check_before_use
    enough = estimate_quality(_case(900).features, _calibration(10)).labels[0]
    assert enough.dice_low is not None
    assert "calibrated on 10 cases" in enough.note


def test_cases_annotated_in_part_promise_nothing_of_the_whole() -> None:
    part = tuple(
        dataclasses.replace(
            case,
            outcomes=(
                dataclasses.replace(case.outcomes[0], reference_ml=math.nan, surface_mm=math.nan),
                case.outcomes[1],
            ),
        )
        for case in _calibration(24).cases
    )
    liver, other = estimate_quality(_case(900).features, Calibration(LABELS, part)).labels
    assert (liver.dice, liver.dice_low, liver.n_calibration) == (None, None, 0)
    assert "n = 0 is too small to calibrate" in liver.note
    assert "24 were in part" in liver.note
    assert other.dice is not None
    assert other.n_calibration == 24
    assert "enough to put predictions in order" in liver.note
    assert (other.part_dice, other.order) == (None, other.dice)
    true = [_case(seed).outcomes[0].dice for seed in range(900, 930)]
    told = [
        estimate_quality(_case(seed).features, Calibration(LABELS, part)).labels[0].order
        for seed in range(900, 930)
    ]
    assert spearmanr(true, np.array(told, dtype=float)).statistic > 0.8
    one_whole = (_calibration(1).cases[0], *part[1:])
    found = estimate_quality(_case(900).features, Calibration(LABELS, one_whole)).labels[0]
    assert "n = 1 is too small" in found.note


def test_no_surface_is_further_off_than_the_scan_is_long() -> None:
    strange = _with(_case(900).features, displacement_mm=1e6, expected_dice=0.05, entropy=0.99)
    found = estimate_quality(strange, _calibration(20)).labels[0]
    assert found.surface_mm is not None
    assert found.surface_high is not None
    assert found.surface_high == pytest.approx(math.hypot(*np.exp(strange.extent[:3])))
    assert found.surface_mm <= found.surface_high


def test_what_is_upside_down_is_found_among_training_cases_of_every_size() -> None:
    def grown(seed: int, sign: float = 1.0) -> CaseFeatures:
        rng = np.random.default_rng(seed)
        size = float(rng.uniform(1, 3))
        labels = tuple(
            _label(
                rng,
                value,
                0.9,
                volume_ml=50 * size**3,
                centre_cm=tuple((size * (sign * away + rng.normal(0, 0.05, 3))).tolist()),
                spread_cm=(size, size, size),
            )
            for value, away in ((2, np.array([0, 0, 0.3])), (5, np.array([0, 0, -0.3])))
        )
        return dataclasses.replace(_features(rng), labels=labels)

    cases = tuple(dataclasses.replace(_case(seed), features=grown(seed)) for seed in range(10))
    calibration = Calibration(LABELS, cases)
    assert calibration.novelty(grown(900))["arrangement"] < 1
    assert calibration.novelty(grown(900, sign=-1.0))["arrangement"] > 1


def test_a_label_that_some_training_cases_lack_may_be_missing() -> None:
    cases = list(_calibration(12).cases)
    absent = dataclasses.replace(cases[0].outcomes[0], shown=False, dice=math.nan)
    cases[0] = dataclasses.replace(
        cases[0],
        features=dataclasses.replace(
            cases[0].features, labels=(LabelFeatures(2, 0.0), cases[0].features.labels[1])
        ),
        outcomes=(absent, cases[0].outcomes[1]),
    )
    good = _case(900).features
    missing = dataclasses.replace(good, labels=(LabelFeatures(2, 0.0), good.labels[1]))
    found = estimate_quality(missing, Calibration(LABELS, tuple(cases)))
    assert not found.labels[0].flags
    assert "nothing to estimate from" in found.labels[0].note


def test_no_calibration_case_at_all_gives_no_estimate_and_no_flag() -> None:
    found = estimate_quality(_case(0).features, Calibration(LABELS, ()))
    assert not found.check_before_use
    assert found.labels[0].dice is None
    assert found.verdict == "nothing unusual"


def test_a_calibration_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    calibration = _calibration(12)
    path = tmp_path / "calibration.json"
    save_calibration(path, calibration)
    back = load_calibration(path)
    assert back.to_json() == calibration.to_json()
    features = _case(900).features
    assert estimate_quality(features, back) == estimate_quality(features, calibration)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("{", "a calibration"), ('{"format": "x"}', "format 'x'"), ("[]", "voxloop-calibration-1")],
)
def test_files_that_are_no_calibration_are_refused(
    content: str, complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(content)
    with pytest.raises(DataError, match=complaint):
        load_calibration(path)
