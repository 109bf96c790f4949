"""One cell of the training benchmark: learn from some labels of a data set, score on others."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voxloop.active.pool import slice_axis
from voxloop.compute.memory import peak_rss_bytes
from voxloop.dataset.annotation import Annotation, annotate_region, merge
from voxloop.dataset.case import Case
from voxloop.dataset.dataset import Dataset
from voxloop.dataset.layouts import read_dataset
from voxloop.dataset.load import read_case_channels, read_case_label_map
from voxloop.metrics.bootstrap import estimate_mean
from voxloop.metrics.overlap import dice, measure_overlap
from voxloop.model.checkpoint import load_checkpoint
from voxloop.plan.plan import Plan
from voxloop.predict.predictor import Predictor
from voxloop.train.config import TrainConfig
from voxloop.train.loop import train
from voxloop.train.prepare import AnnotatedCase, plan_for, prepare_cases
from voxloop.volume.boxes import Box, bounding_box
from voxloop.volume.labels import BACKGROUND
from voxloop.volume.volume import LabelMap

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from parts import switched_off

from provenance import commit, machine
from splits import split

__all__ = ["Cell", "run_cell"]

FOREGROUND_SHARE = 0.75
"""Of the slices to label, taken from those that show a structure, as an annotator would."""


@dataclass(frozen=True)
class Cell:
    """What is learned from, for how long, and what is switched off.

    Attributes:
        data: name of the data set's folder.
        cases: how many cases have labels; all but the held-out ones where None.
        slice_share: of all slices of these cases that are labelled, chosen at random.
        slices_each: labelled slices of each case, instead.
        axes: `own`, slices across the case's own axis; `any`, each across an axis drawn at
            random, until as many voxels are labelled. With `slices_each`: `own`, evenly spaced
            over the whole scan; `any`, across the three axes in turn, evenly spaced over the
            structures.
        label_sets: `all`, or `halves`: one half of the cases carries only the first label, the
            other half only the rest.
        minutes: of training.
        steps: of training, instead.
        seed: of cases, slices, weights and patches.
        without: parts of the recipe that are switched off; see `parts.py`.
        tuning: score on cases that the recipe was chosen on, learn from others that were
            learned from then; the held-out cases are not touched.
    """

    data: str
    cases: int | None = None
    slice_share: float | None = None
    slices_each: int | None = None
    axes: str = "own"
    label_sets: str = "all"
    minutes: float = 10.0
    steps: int | None = None
    seed: int = 0
    without: tuple[str, ...] = ()
    tuning: bool = False

    @property
    def name(self) -> str:
        """A file name that says it all."""
        labels = "all"
        if self.slice_share is not None:
            labels = f"{100 * self.slice_share:g}pct"
        if self.slices_each is not None:
            labels = f"{self.slices_each}slices"
        time_ = f"{self.minutes:g}min" if self.steps is None else f"{self.steps}steps"
        parts = [self.data, f"n{self.cases or 'all'}", labels, time_, f"seed{self.seed}"]
        parts += [f"{self.axes}-axis"] if self.axes != "own" else []
        parts += [self.label_sets] if self.label_sets != "all" else []
        parts += [f"no-{part}" for part in self.without]
        parts += ["tuning"] if self.tuning else []
        return "_".join(parts)


def run_cell(cell: Cell, data: Path) -> dict[str, Any]:
    """Train and score; returns a JSON-ready document."""
    dataset = read_dataset(data / cell.data)
    learn, test = _split(dataset, cell)
    references = {i: _reference(dataset, i) for i in (*learn, *test)}
    with tempfile.TemporaryDirectory() as folder, switched_off(cell.without) as adapt:
        cases = _annotated(dataset, learn, references, cell)
        plan = adapt(plan_for(cases, dataset_labels(dataset), dataset.channel_names))
        prepared = prepare_cases(cases, plan, Path(folder) / "cache")
        config = TrainConfig(steps=cell.steps, minutes=cell.minutes, seed=cell.seed)
        result = train(plan, prepared, config, Path(folder) / "run")
        predictor = Predictor(load_checkpoint(result.path))
        started = time.monotonic()
        scores = {i: _dice(predictor, dataset.case(i), references[i]) for i in test}
        seconds = (time.monotonic() - started) / len(test)
    means = [float(np.nanmean(list(found.values()))) for found in scores.values()]
    overall = estimate_mean(means, rng=np.random.default_rng(0))
    return {
        "cell": asdict(cell),
        "dice": {"mean": overall.value, "interval": overall.interval, "n": overall.cases},
        "dice_per_label": {
            name: float(np.nanmean([found[name] for found in scores.values()]))
            for name in plan.labels
        },
        "dice_per_case": scores,
        "annotated_slices": _slices(cases),
        "train_minutes": round(result.seconds / 60, 3),
        "steps": result.steps,
        "planned_steps": result.planned_steps,
        "fall_per_doubling": result.fall_per_doubling,
        "seconds_per_case": round(seconds, 3),
        "peak_gib": round(peak_rss_bytes() / 2**30, 2),
        "plan": _essential(plan),
        "machine": machine(),
        "commit": commit(),
    }


def _split(dataset: Dataset, cell: Cell) -> tuple[list[str], list[str]]:
    """Ids to learn from (a random choice where fewer than all are wanted) and to score on."""
    pool, test = split(cell.data, dataset.ids).learn_and_score(tuning=cell.tuning)
    if cell.cases is not None:
        chosen = np.random.default_rng(cell.seed).permutation(len(pool))[: cell.cases]
        pool = [pool[i] for i in (chosen if cell.seed else range(cell.cases))]
    return pool, test


def _annotated(
    dataset: Dataset, ids: list[str], references: dict[str, LabelMap], cell: Cell
) -> list[AnnotatedCase]:
    chosen = _chosen_regions([references[i] for i in ids], cell)
    found = []
    for number, (case_id, regions) in enumerate(zip(ids, chosen, strict=True)):
        if not regions:
            continue
        reference, case = references[case_id], dataset.case(case_id)
        asked = frozenset(reference.labels.values)
        if cell.label_sets == "halves":
            first = frozenset(reference.labels.values[:1])
            asked = first if number % 2 else asked - first
        annotation: Annotation = annotate_region(reference, regions, asked)
        target = merge([annotation], reference.geometry.shape, reference.labels)
        found.append(
            AnnotatedCase(
                case_id,
                lambda case=case: read_case_channels(case),  # type: ignore[misc]
                reference.geometry,
                target,
                case_id,
            )
        )
    return found


def _chosen_regions(references: list[LabelMap], cell: Cell) -> list[list[Box]]:
    shapes = [r.geometry.shape for r in references]
    axes = [slice_axis(r.geometry) for r in references]
    if cell.slices_each is not None and cell.axes == "any":
        return [_planes_of(reference, cell.slices_each) for reference in references]
    if cell.slices_each is not None:
        depths = (np.arange(cell.slices_each) + 0.5) / cell.slices_each
        return [
            [Box.slice_at(shape, axis, int(depth * shape[axis])) for depth in depths]
            for shape, axis in zip(shapes, axes, strict=True)
        ]
    if cell.slice_share is None:
        return [[Box.whole(shape)] for shape in shapes]
    total = sum(shape[axis] for shape, axis in zip(shapes, axes, strict=True))
    slices = max(1, round(cell.slice_share * total))
    if cell.axes == "own":
        return _drawn(references, cell.seed, lambda case, _: axes[case], slices)
    voxels = round(slices * sum(r.array.size for r in references) / total)
    return _drawn(references, cell.seed, lambda _, rng: int(rng.integers(3)), None, voxels)


def _planes_of(reference: LabelMap, count: int) -> list[Box]:
    """Slices across the three axes in turn, evenly spaced where something is to be seen."""
    within = bounding_box(reference.array != BACKGROUND)
    if within is None:
        return []
    found = []
    for axis in range(3):
        number = len(range(axis, count, 3))
        low, high = within.start[axis], within.stop[axis]
        depths = (np.arange(number) + 0.5) / max(number, 1)
        shape = reference.geometry.shape
        found += [Box.slice_at(shape, axis, int(low + d * (high - low))) for d in depths]
    return found


def _drawn(
    references: list[LabelMap],
    seed: int,
    axis_of: Callable[[int, np.random.Generator], int],
    slices: int | None,
    voxels: int = 0,
) -> list[list[Box]]:
    """Slices at random, one case after the other, until there are so many, or so many voxels."""
    rng = np.random.default_rng([seed, 7])
    chosen: list[list[Box]] = [[] for _ in references]
    order, turn, spent = rng.permutation(len(references)), 0, 0
    while turn < slices if slices is not None else spent < voxels:
        case = int(order[turn % len(references)])
        reference, axis = references[case], axis_of(case, rng)
        shape = reference.geometry.shape
        others = tuple(a for a in range(3) if a != axis)
        shows = np.flatnonzero((reference.array > 0).any(axis=others))
        pool = shows if rng.random() < FOREGROUND_SHARE else np.arange(shape[axis])
        boxes = [Box.slice_at(shape, axis, int(index)) for index in pool]
        free = [box for box in boxes if box not in chosen[case]]
        box = (free or boxes)[int(rng.integers(len(free or boxes)))]
        chosen[case].append(box)
        turn, spent = turn + 1, spent + box.voxel_count
    return chosen


def _dice(predictor: Predictor, case: Case, reference: LabelMap) -> dict[str, float]:
    found = predictor.segment(read_case_channels(case)).label_map.array
    return {
        name: float(dice(measure_overlap(reference.array == value, found == value)))
        for value, name in reference.labels.names.items()
    }


def _reference(dataset: Dataset, case_id: str) -> LabelMap:
    return read_case_label_map(dataset.case(case_id), dataset_labels(dataset))


def dataset_labels(dataset: Dataset) -> Any:
    """The label table, which a benchmark cannot do without."""
    if dataset.labels is None:
        raise SystemExit(f"{dataset.name} names no labels")
    return dataset.labels


def _slices(cases: list[AnnotatedCase]) -> float:
    """Annotated voxels, counted in slices across each case's own axis."""
    total = 0.0
    for case in cases:
        depth = case.geometry.shape[slice_axis(case.geometry)]
        total += float(case.target.looked_at.mean()) * depth
    return round(total, 1)


def _essential(plan: Plan) -> dict[str, Any]:
    document = plan.to_json()
    for key in ("labels", "reasons", "normalisation", "channel_names"):
        document.pop(key)
    return document
