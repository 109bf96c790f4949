"""Do quality estimates order cases rightly, do their intervals hold, are broken scans found?"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from corruptions import CORRUPTIONS, another_anatomy, auroc
from scipy import stats

from voxloop.dataset.annotation import Annotation, Target, merge
from voxloop.dataset.dataset import Dataset
from voxloop.dataset.layouts import read_dataset
from voxloop.dataset.load import read_case_channels, read_case_label_map
from voxloop.model.checkpoint import load_checkpoint
from voxloop.predict.postprocess import PostProcessing, apply
from voxloop.predict.predictor import Predictor
from voxloop.predict.quality.assess import Assessor
from voxloop.predict.quality.calibration import Outcome
from voxloop.predict.quality.estimate import CaseQuality
from voxloop.predict.views import VIEWS
from voxloop.train.calibrate import calibrate, judge_prediction
from voxloop.train.config import TrainConfig
from voxloop.train.fold_model import Folders
from voxloop.train.loop import train
from voxloop.train.prepare import AnnotatedCase, plan_for, prepare_cases
from voxloop.train.validate import validate
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume

SPLIT_SEED = 12
HELD_OUT = {"hippocampus": 40, "fetal_brain": 5}
"""As in `benchmarks/training`: the last of the shuffle, used for nothing but this."""

OTHER = {"hippocampus": "fetal_brain", "fetal_brain": "hippocampus"}
"""Where the other anatomy comes from."""

GOALS = {"rank_correlation": 0.7, "coverage": (0.88, 0.97), "auroc": 0.95}


@dataclass(frozen=True)
class Seen:
    """One scan that was never learned from, what was estimated, and what is true of it.

    Attributes:
        case_id: the scan.
        kind: `clean`, or what is wrong with it.
        quality: estimated, of the label map that was cleaned by the rules.
        raw: what the label map is worth before that; empty where there is no truth.
        outcomes: what it is worth after.
    """

    case_id: str
    kind: str
    quality: CaseQuality
    raw: tuple[Outcome, ...]
    outcomes: tuple[Outcome, ...]


def main() -> None:
    """Train folds and a model, calibrate, judge held-out scans; prints and writes JSON."""
    options = _options()
    dataset = read_dataset(options.data / options.name)
    other = read_dataset(options.data / OTHER[options.name])
    learn, test = _split(dataset, options.name, options.cases)
    config = TrainConfig(steps=options.steps, minutes=options.minutes, seed=options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.work or Path(scratch)
        cases = [_annotated(dataset, case_id) for case_id in learn]
        folders = Folders(
            lambda number: folder / "folds" / str(number), folder / "predictions", folder / "cache"
        )
        views = tuple(view for view in VIEWS if view.name in options.views)
        labels, channels = _labels(dataset), dataset.channel_names
        found = validate(cases, labels, channels, config, folders, folds=options.folds)
        calibration, rules = calibrate(found, cases, labels, folders, views=views)
        plan = plan_for(cases, labels, channels)
        prepared = prepare_cases(cases, plan, folder / "cache")
        model = train(plan, prepared, config, folder / "model")
        predictor = Predictor(load_checkpoint(model.path))
        assess = Assessor(predictor, calibration, rules)
        seen = list(_seen(predictor, assess, dataset, (other, test, options.broken)))
    document = {
        "settings": {key: str(value) for key, value in vars(options).items() if key != "data"},
        "goals": GOALS,
        "cases": {"learned": len(learn), "held_out": len(test)},
        "out_of_fold_dice": [dataclasses.asdict(row) for row in found.dice],
        "post_processing": rules.to_json(),
        **_report(seen, labels),
        "processor_cores": os.cpu_count(),
    }
    text = json.dumps(document, indent=1, default=float)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text + "\n")
    sys.stdout.write(text + "\n")


def _seen(
    predictor: Predictor,
    assess: Assessor,
    dataset: Dataset,
    task: tuple[Dataset, Sequence[str], int],
) -> Iterator[Seen]:
    other, test, broken = task
    for number, case_id in enumerate(test):
        (scan,) = read_case_channels(dataset.case(case_id))
        reference = read_case_label_map(dataset.case(case_id), _labels(dataset))
        scans: dict[str, tuple[Volume, LabelMap | None]] = {"clean": (scan, reference)}
        if number < broken:
            for kind, corruption in CORRUPTIONS.items():
                rng, again = (np.random.default_rng(number) for _ in range(2))
                truth = reference
                if corruption.moves:
                    moved = corruption.make(Volume(reference.array, reference.geometry), again)
                    truth = LabelMap(moved.array, moved.geometry, reference.labels)
                scans[kind] = (corruption.make(scan, rng), truth)
            foreign = read_case_channels(other.case(other.ids[number % len(other.ids)]))[0]
            rng = np.random.default_rng(number)
            scans["another anatomy"] = (another_anatomy(foreign, scan, rng), None)
        for kind, (volume, truth_map) in scans.items():
            prediction = predictor.segment((volume,))
            quality = assess((volume,), prediction)
            worth = _truth(prediction.label_map, truth_map, assess.rules)
            yield Seen(case_id, kind, quality, *worth)


def _truth(
    plain: LabelMap, reference: LabelMap | None, rules: PostProcessing
) -> tuple[tuple[Outcome, ...], tuple[Outcome, ...]]:
    if reference is None:
        return (), ()
    target = _target(reference)
    array = apply(plain.array, rules, plain.geometry.spacing_mm)
    cleaned = LabelMap(array, plain.geometry, plain.labels)
    return judge_prediction(target, plain), judge_prediction(target, cleaned)


def _report(seen: Sequence[Seen], labels: LabelTable) -> dict[str, Any]:
    clean = [one for one in seen if one.kind == "clean"]
    known = [one for one in seen if one.outcomes]
    kinds = sorted({one.kind for one in seen} - {"clean"})
    novelty = [one.quality.novelty for one in clean]
    broken = {kind: [one for one in seen if one.kind == kind] for kind in kinds}
    return {
        "labels": {
            name: {"clean": _of_label(clean, place), "with_broken": _of_label(known, place)}
            for place, name in enumerate(labels.names.values())
        },
        "mean_of_labels": {"clean": _of_case(clean), "with_broken": _of_case(known)},
        "post_processed_dice": {
            "before": float(np.nanmean([o.dice for one in clean for o in one.raw])),
            "after": float(np.nanmean([o.dice for one in clean for o in one.outcomes])),
        },
        "clean_flagged": float(np.mean([one.quality.check_before_use for one in clean])),
        "clean_reasons": [one.quality.verdict for one in clean if one.quality.check_before_use],
        "broken": {
            kind: {
                "n": len(found),
                "auroc": auroc(novelty, [one.quality.novelty for one in found]),
                "flagged": float(np.mean([one.quality.check_before_use for one in found])),
            }
            for kind, found in broken.items()
        },
        "scans": [
            {
                "case": one.case_id,
                "kind": one.kind,
                "novelty": one.quality.novelty,
                "flagged": one.quality.check_before_use,
                "expected": [label.dice for label in one.quality.labels],
                "dice": [outcome.dice for outcome in one.outcomes],
            }
            for one in seen
        ],
    }


def _of_label(seen: Sequence[Seen], place: int) -> dict[str, Any]:
    pairs = [(one.quality.labels[place], one.outcomes[place]) for one in seen]
    dice = [
        (e.dice, e.dice_low, e.dice_high, o.dice) for e, o in pairs
        if e.dice is not None and np.isfinite(o.dice)
    ]  # fmt: skip
    surface = [
        (e.surface_mm, e.surface_low, e.surface_high, o.surface_mm) for e, o in pairs
        if e.surface_mm is not None and np.isfinite(o.surface_mm)
    ]  # fmt: skip
    return {"dice": _agreement(dice), "surface_mm": _agreement(surface)}


def _of_case(seen: Sequence[Seen]) -> dict[str, Any]:
    pairs = [
        (
            float(np.mean([e.dice or 0.0 for e in one.quality.labels])),
            float(np.nanmean([o.dice for o in one.outcomes])),
        )
        for one in seen
    ]
    return {"n": len(pairs), "rank_correlation": _rank(*zip(*pairs, strict=True))}


def _agreement(rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    if not rows:
        return {"n": 0}
    expected, low, high, true = np.array(rows, dtype=float).T
    return {
        "n": len(rows),
        "rank_correlation": _rank(expected, true),
        "coverage": float(np.mean((low <= true) & (true <= high))),
        "mean_width": float(np.mean(high - low)),
        "mean_true": float(true.mean()),
        "mean_error": float(np.mean(np.abs(expected - true))),
    }


def _rank(expected: Any, true: Any) -> float | None:
    if len(expected) < 3 or np.ptp(expected) == 0:
        return None
    return float(stats.spearmanr(expected, true).statistic)


def _split(dataset: Dataset, name: str, cases: int | None) -> tuple[list[str], list[str]]:
    order = np.random.default_rng(SPLIT_SEED).permutation(len(dataset.ids))
    shuffled = [dataset.ids[i] for i in order]
    pool, test = shuffled[: -HELD_OUT[name]], shuffled[-HELD_OUT[name] :]
    return pool[:cases], test


def _annotated(dataset: Dataset, case_id: str) -> AnnotatedCase:
    case = dataset.case(case_id)
    reference = read_case_label_map(case, _labels(dataset))
    return AnnotatedCase(
        case_id,
        lambda: read_case_channels(case),
        reference.geometry,
        _target(reference),
        case_id,
    )


def _target(reference: LabelMap) -> Target:
    return merge([Annotation.of_whole(reference)], reference.geometry.shape, reference.labels)


def _labels(dataset: Dataset) -> LabelTable:
    if dataset.labels is None:
        raise SystemExit(f"{dataset.name} names no labels")
    return dataset.labels


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(HELD_OUT))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cases", type=int, help="labelled cases; all but the held-out ones")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=3.0, help="of each training")
    parser.add_argument("--steps", type=int, help="of each training, instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--broken", type=int, default=20, help="held-out scans that are corrupted")
    parser.add_argument("--views", nargs="*", default=[], help="names of views, see predict/views")
    parser.add_argument("--work", type=Path, help="keep models here, and go on from there")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
