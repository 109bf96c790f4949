"""Do quality estimates order cases rightly, do their intervals hold, are broken scans found?

    python benchmarks/quality/evaluate.py hippocampus many
    python benchmarks/quality/evaluate.py hippocampus few
    python benchmarks/quality/evaluate.py fetal_brain many

Trains a model and, for the calibration, one for each fold, as `voxloop validate` does; then
segments the held-out cases of benchmarks/training, which took part in nothing, as they are and
broken in several ways. `many`: all other cases are labelled everywhere; good cases then differ
mostly by how generously each was outlined. `few`: a few slices of some cases, so that the model has
weak spots. Cases on which the method was tuned are learned from last. What was trained stays in
.cache/benchmarks, so a run that was stopped continues; the result goes to benchmarks/results.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from agreement import auroc, coverage, rank_correlation
from corruptions import CORRUPTIONS, another_anatomy

from voxloop.active.pool import slice_axis
from voxloop.compute.atomic import write_json
from voxloop.compute.progress import Progress
from voxloop.dataset.annotation import Annotation, Target, annotate_region, merge
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
from voxloop.volume.boxes import Box, bounding_box
from voxloop.volume.labels import BACKGROUND, LabelTable
from voxloop.volume.volume import LabelMap, Volume

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provenance import commit, machine
from splits import HELD_OUT, SPLIT_SEED, split
from telling import Teller
from without_nan import without_nan

HERE = Path(__file__).resolve().parent
OTHER = {"hippocampus": "fetal_brain", "fetal_brain": "hippocampus"}
"""Where the other anatomy comes from."""

GOALS = {"rank_correlation": 0.7, "coverage": (0.88, 0.97), "auroc": 0.95}
CONVENTION = (
    "true Dice and ASSD (mm) of whole held-out scans after post-processing, on the scan's grid; "
    "coverage is that of the 90 % interval; 95 % intervals: percentiles over resampled cases, "
    "Wilson's for shares; the score of the ROC curve is the novelty, good scans being all held-out "
    "ones; with_broken counts clean and broken scans with a reference"
)


@dataclass(frozen=True)
class Setting:
    """What is labelled, and for how long each training learns.

    Attributes:
        cases: how many; all but the held-out ones where None.
        slices_each: of each, spread over its structures; whole cases where None.
        steps: of each training.
    """

    cases: int | None
    slices_each: int | None
    steps: int


SETTINGS = {
    ("hippocampus", "many"): Setting(None, None, 400),
    ("hippocampus", "few"): Setting(24, 3, 300),
    ("fetal_brain", "many"): Setting(None, None, 800),
    ("fetal_brain", "few"): Setting(None, 6, 300),
}


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
    """Train folds and a model, calibrate, judge held-out scans; writes JSON, prints the gist."""
    options = _options()
    started = time.monotonic()
    setting = _setting(options)
    dataset = read_dataset(options.data / options.name)
    other = read_dataset(options.data / OTHER[options.name])
    learn, test = _split(dataset, options.name, setting.cases)
    labels, channels = _labels(dataset), dataset.channel_names
    cases = [_annotated(dataset, case_id, setting.slices_each) for case_id in learn]
    config = TrainConfig(steps=setting.steps, seed=options.seed)
    run = f"{options.labels}-{len(cases)}-{setting.steps}-{options.folds}-{options.seed}"
    folder = options.work / options.name / run
    folders = Folders(
        lambda number: folder / "folds" / str(number), folder / "predictions", folder / "cache"
    )
    views, tell = tuple(view for view in VIEWS if view.name in options.views), Teller()
    found = validate(cases, labels, channels, config, folders, folds=options.folds, progress=tell)
    calibration, rules = calibrate(found, cases, labels, folders, views=views, progress=tell)
    plan = plan_for(cases, labels, channels)
    prepared = prepare_cases(cases, plan, folder / "cache")
    model = train(plan, prepared, config, folder / "model", tell)
    assess = Assessor(Predictor(load_checkpoint(model.path)), calibration, rules)
    scans = len(test) + min(options.broken, len(test)) * (len(CORRUPTIONS) + 1)
    seen: list[Seen] = []
    for one in _seen(assess, dataset, (other, test, options.broken)):
        tell(Progress("held out", len(seen), scans, f"{one.case_id} {one.kind}"))
        seen.append(one)
    out = options.out or _results() / f"quality_{options.name}_{options.labels}.json"
    document = {
        "script": "benchmarks/quality/evaluate.py",
        "settings": {
            **dataclasses.asdict(setting),
            "data": options.name,
            "labels": options.labels,
            "folds": options.folds,
            "seed": options.seed,
            "views": options.views,
        },
        "convention": CONVENTION,
        **_provenance(),
        "goals": GOALS,
        "cases": _counted(options.name, dataset, learn, test, cases),
        "out_of_fold_dice": [dataclasses.asdict(row) for row in found.dice],
        "calibrated_on": {
            labels.names[value]: {"dice": one.dice_cases, "surface": one.surface_cases}
            for value, one in calibration.by_label.items()
        },
        "post_processing": rules.to_json(),
        **_report(seen, labels),
        "minutes": round((time.monotonic() - started) / 60, 2),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, without_nan(document))
    sys.stdout.write("\n".join(_gist(document)) + "\n")


def _seen(
    assess: Assessor, dataset: Dataset, task: tuple[Dataset, Sequence[str], int]
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
            prediction = assess.predictor.segment((volume,), keep=True)
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
    names = list(labels.names.values())
    return {
        "labels": {
            name: {"clean": _of_labels(clean, [place]), "with_broken": _of_labels(known, [place])}
            for place, name in enumerate(names)
        },
        "all_labels": {
            "clean": _of_labels(clean, range(len(names))),
            "with_broken": _of_labels(known, range(len(names))),
        },
        "mean_of_labels": {"clean": _of_case(clean), "with_broken": _of_case(known)},
        "post_processed_dice": {
            "before": float(np.nanmean([o.dice for one in clean for o in one.raw])),
            "after": float(np.nanmean([o.dice for one in clean for o in one.outcomes])),
        },
        "clean_flagged": float(np.mean([one.quality.check_before_use for one in clean])),
        "clean_reasons": [one.quality.verdict for one in clean if one.quality.check_before_use],
        "broken": _of_broken(clean, [one for one in seen if one.kind != "clean"]),
        "scans": [
            {
                "case": one.case_id,
                "kind": one.kind,
                "novelty": one.quality.novelty,
                "flagged": one.quality.check_before_use,
                "expected": [label.dice for label in one.quality.labels],
                "expected_in_part": [label.part_dice for label in one.quality.labels],
                "dice": [outcome.dice for outcome in one.outcomes],
            }
            for one in seen
        ],
    }


def _of_broken(clean: Sequence[Seen], broken: Sequence[Seen]) -> dict[str, Any]:
    """By kind, the three flips together, and all kinds together."""
    kinds = {kind: [one for one in broken if one.kind == kind] for kind in [*CORRUPTIONS]}
    kinds["another anatomy"] = [one for one in broken if not one.outcomes]
    kinds["flipped along any axis"] = [one for one in broken if one.kind.startswith("flipped")]
    kinds["all"] = list(broken)
    novelty = [one.quality.novelty for one in clean]
    found = {}
    for kind, scans in kinds.items():
        if scans:
            dice = [o.dice for one in scans for o in one.outcomes if np.isfinite(o.dice)]
            found[kind] = {
                "auroc": auroc(
                    novelty,
                    [one.quality.novelty for one in scans],
                    [one.case_id for one in scans],
                ),
                "flagged": float(np.mean([one.quality.check_before_use for one in scans])),
                "mean_dice": float(np.mean(dice)) if dice else None,
            }
    return found


def _of_labels(seen: Sequence[Seen], places: Sequence[int]) -> dict[str, Any]:
    """Of these labels, all (scan, label) pairs in which both estimate and truth are known."""
    pairs = [
        (one.case_id, one.quality.labels[place], one.outcomes[place])
        for one in seen
        for place in places
    ]
    dice = [(i, e.dice, e.dice_low, e.dice_high, o.dice) for i, e, o in pairs]
    surface = [(i, e.surface_mm, e.surface_low, e.surface_high, o.surface_mm) for i, e, o in pairs]
    return {"dice": _agreement(dice), "surface_mm": _agreement(surface)}


def _of_case(seen: Sequence[Seen]) -> dict[str, Any]:
    rows = []
    for one in seen:
        expected = [label.order for label in one.quality.labels if label.order is not None]
        if expected:
            rows.append(
                (one.case_id, np.mean(expected), np.nanmean([o.dice for o in one.outcomes]))
            )
    if not rows:
        return {"rank_correlation": {"value": None, "n": 0}}
    cases, expected_dice, true = zip(*rows, strict=True)
    return {"rank_correlation": rank_correlation(expected_dice, true, cases)}


def _agreement(rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    kept = [row for row in rows if row[1] is not None and np.isfinite(row[4])]
    if not kept:
        return {"n": 0}
    cases = [row[0] for row in kept]
    expected, low, high, true = np.array([row[1:] for row in kept], dtype=float).T
    return {
        "n": len(kept),
        "rank_correlation": rank_correlation(expected, true, cases),
        "coverage": coverage(low, high, true, cases),
        "mean_width": float(np.mean(high - low)),
        "mean_true": float(true.mean()),
        "sd_true": float(true.std()),
        "mean_error": float(np.mean(np.abs(expected - true))),
    }


def _gist(document: dict[str, Any]) -> Iterator[str]:
    """What the goals ask for, in words."""
    for name, found in document["labels"].items():
        dice = found["clean"]["dice"]
        if dice["n"]:
            rank, held = dice["rank_correlation"], dice["coverage"]
            yield (
                f"{name}: n {dice['n']}, Dice {dice['mean_true']:.3f}, rank correlation "
                f"{_shown(rank)}, coverage {_shown(held)}"
            )
    yield f"mean of labels: {_shown(document['mean_of_labels']['clean']['rank_correlation'])}"
    for kind, found in document["broken"].items():
        area = found["auroc"]
        yield f"{kind}: area {_shown(area)}, {area['n_good']} good and {area['n_bad']} broken"


def _shown(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return "unknown"
    interval = found["interval"]
    bounds = f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else " (too few to say)"
    return f"{found['value']:.3f}{bounds}"


def _setting(options: argparse.Namespace) -> Setting:
    usual = SETTINGS[options.name, options.labels]
    return Setting(
        options.cases or usual.cases,
        options.slices_each or usual.slices_each,
        options.steps or usual.steps,
    )


def _split(dataset: Dataset, name: str, cases: int | None) -> tuple[list[str], list[str]]:
    whole = split(name, dataset.ids)
    return [*whole.others, *whole.tuning][:cases], [*whole.held_out]


def _counted(
    name: str, dataset: Dataset, learn: list[str], test: list[str], cases: list[AnnotatedCase]
) -> dict[str, Any]:
    tuned = set(split(name, dataset.ids).tuning)
    looked = [case.target.looked_at for case in cases]
    share = sum(int(each.sum()) for each in looked) / sum(each.size for each in looked)
    return {
        "learned": len(learn),
        "learned_that_tuned_the_method": len(tuned.intersection(learn)),
        "annotated_share": round(share, 4),
        "held_out": len(test),
        "split": f"default_rng({SPLIT_SEED}).permutation of the ids, the last {len(test)} held out",
    }


def _annotated(dataset: Dataset, case_id: str, slices: int | None) -> AnnotatedCase:
    case = dataset.case(case_id)
    reference = read_case_label_map(case, _labels(dataset))
    target = _target(reference) if slices is None else _of_slices(reference, slices)
    return AnnotatedCase(
        case_id, lambda: read_case_channels(case), reference.geometry, target, case_id
    )


def _of_slices(reference: LabelMap, count: int) -> Target:
    """Slices across the case's own axis, evenly spaced where something is to be seen."""
    shape, axis = reference.geometry.shape, slice_axis(reference.geometry)
    within = bounding_box(reference.array != BACKGROUND) or Box.whole(shape)
    low, high = within.start[axis], within.stop[axis]
    depths = low + (np.arange(count) + 0.5) / count * (high - low)
    boxes = [Box.slice_at(shape, axis, int(depth)) for depth in depths]
    asked = frozenset(reference.labels.values)
    return merge([annotate_region(reference, boxes, asked)], shape, reference.labels)


def _target(reference: LabelMap) -> Target:
    return merge([Annotation.of_whole(reference)], reference.geometry.shape, reference.labels)


def _labels(dataset: Dataset) -> LabelTable:
    if dataset.labels is None:
        raise SystemExit(f"{dataset.name} names no labels")
    return dataset.labels


def _results() -> Path:
    return HERE.parent / "results"


def _provenance() -> dict[str, Any]:
    return {"machine": machine(), "commit": commit()}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=sorted(HELD_OUT))
    parser.add_argument("labels", choices=("many", "few"))
    data = os.environ.get("VOXLOOP_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(data))
    parser.add_argument("--cases", type=int, help="labelled cases; as the setting says")
    parser.add_argument("--slices-each", type=int, help="labelled slices of each; likewise")
    parser.add_argument("--steps", type=int, help="of each training; likewise")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--broken", type=int, default=20, help="held-out scans that are corrupted")
    parser.add_argument("--views", nargs="*", default=[], help="names of views, see predict/views")
    work = HERE.parents[1] / ".cache" / "benchmarks" / "quality"
    parser.add_argument("--work", type=Path, default=work, help="models stay here")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
