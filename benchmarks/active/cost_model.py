"""Expected against spent seconds: a cost model that learns from a simulated annotator's times.

    python benchmarks/active/cost_model.py --data ../shared/data

The slices are real (their reference label maps say what there is to draw); the annotator is not.
Their hidden prices are drawn anew for each seed, far from the ones assumed; every time carries
log-normal noise of 30 %, and one in twenty runs over lunch. The model learns from the first k
logged times and is asked for 40 slices of other cases. Two kinds of annotator: one whose time is a
sum of the very parts that the model knows, and one whose time is not: sublinear in the outline,
with every loose piece as an extra, and slow in the first twenty slices. What there is to draw is
taken from the reference, or expected from a made-up prediction (the reference bent and blurred),
which is all that there is at work. The result goes to benchmarks/results/cost_model.json; `--table`
prints it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from voxloop.active.cost.effort import Effort, EffortArray, expected_efforts, known_efforts
from voxloop.active.cost.model import CostModel, LoggedTime, per_cost
from voxloop.active.cost.prices import ASSUMED_PRICES, Prices
from voxloop.active.pool import slice_axis
from voxloop.compute.atomic import write_json
from voxloop.dataset.dataset import Dataset
from voxloop.dataset.layouts import read_dataset
from voxloop.dataset.load import read_case_label_map
from voxloop.metrics.bootstrap import estimate
from voxloop.volume.lattice import Lattice
from voxloop.volume.volume import LabelMap

RESULT = Path(__file__).resolve().parent.parent / "results" / "cost_model.json"

CASES = {"hippocampus": 40, "fetal_brain": 15}
LOGS = (0, 1, 5, 10, 20, 40)
HELD_OUT = 40
SEEDS = 30
NOISE = 0.3
LUNCHES = 0.05
FOREGROUND_SHARE = 0.75
"""Of the slices that are asked for; the others are drawn from all."""
MINUTES = 30
"""In which as much score as possible is to be gathered."""

FloatArray = npt.NDArray[np.floating[Any]]
Rng = np.random.Generator


@dataclass(frozen=True)
class Slices:
    """All slices of a data set, one row each.

    Attributes:
        case: number of the case, (n,).
        voxels: voxels of the slice, (n,).
        known: efforts from the reference, (n, 5).
        expected: efforts from the made-up prediction, (n, 5).
        pieces: connected pieces of all labels, (n,).
        score: total predictive entropy of the made-up prediction in mm2 nats, (n,).
    """

    case: npt.NDArray[np.int64]
    voxels: npt.NDArray[np.int64]
    known: EffortArray
    expected: EffortArray
    pieces: FloatArray
    score: FloatArray


@dataclass(frozen=True)
class Annotator:
    """A simulated person.

    Attributes:
        prices: hidden from the model.
        like_the_model: whether the time is a sum of the parts that the model knows.
    """

    prices: Prices
    like_the_model: bool

    @classmethod
    def drawn(cls, rng: Rng, *, like_the_model: bool) -> Annotator:
        """Somebody up to three times slower or faster than assumed, in each thing differently."""
        pace = np.exp(rng.uniform(-np.log(3), np.log(3)))
        shape = np.exp(rng.uniform(-np.log(3), np.log(3), 6))
        return cls(Prices(*(pace * shape * ASSUMED_PRICES.row)), like_the_model)

    def seconds(
        self, slices: Slices, chosen: npt.NDArray[np.int64], done: int, *, corrected: bool
    ) -> FloatArray:
        """What the slices take, without noise; `done` slices came before."""
        efforts = slices.known[chosen].copy()
        if self.like_the_model:
            return CostModel("seconds", prices=self.prices).seconds(efforts, corrected=corrected)
        typical = np.maximum(efforts[:, 2:5:2].mean(axis=0), 1e-9)
        efforts[:, 2:5:2] = typical * (efforts[:, 2:5:2] / typical) ** 0.8
        efforts[:, 3] += 0.5 * slices.pieces[chosen]
        plain = CostModel("seconds", prices=self.prices).seconds(efforts, corrected=corrected)
        return np.asarray(plain * (1 + np.exp(-(done + np.arange(len(chosen))) / 10)))


def main() -> int:
    """Simulate and write, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--table", action="store_true", help="print what is there")
    data = os.environ.get("VOXLOOP_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(data))
    arguments = parser.parse_args()
    if not arguments.table:
        write_json(RESULT, run(arguments.data))
    print("\n".join(table(json.loads(RESULT.read_text()))))
    return 0


def run(data: Path) -> dict[str, Any]:
    """Every data set, annotator, way of working and number of logs."""
    rows, gathered, measured = [], [], {}
    for name, cases in CASES.items():
        slices, seconds = all_slices(read_dataset(data / name), cases)
        measured[name] = {"slices": len(slices.case), "seconds_per_case": seconds}
        for like in (True, False):
            for corrected in (False, True):
                key = {"data": name, "annotator": "as the model" if like else "otherwise",
                       "work": "corrected" if corrected else "drawn"}  # fmt: skip
                found = [trial(slices, seed, like=like, corrected=corrected)
                         for seed in range(SEEDS)]  # fmt: skip
                rows += [key | row for row in summarised([trials for trials, _ in found])]
                gathered.append(key | gathered_of([gain for _, gain in found]))
        print(f"{name}: done", file=sys.stderr, flush=True)
    return {
        "what": "expected against spent seconds of a simulated annotator on real slices",
        "script": "benchmarks/active/cost_model.py",
        "seeds": SEEDS, "held_out_slices": HELD_OUT, "noise": NOISE, "lunches": LUNCHES,
        "data": measured, "rows": rows, "gathered": gathered,
    }  # fmt: skip


def trial(
    slices: Slices, seed: int, *, like: bool, corrected: bool
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """One annotator: how well each number of logs foretells 40 slices, and what a ranking gains."""
    rng = np.random.default_rng([seed, like, corrected])
    annotator = Annotator.drawn(rng, like_the_model=like)
    order = rng.permutation(np.unique(slices.case))
    learned, asked = order[: len(order) // 2], order[len(order) // 2 :]
    logged = draw(slices, learned, max(LOGS), rng)
    spent = noisy(annotator.seconds(slices, logged, 0, corrected=corrected), rng)
    spent += (rng.random(len(spent)) < LUNCHES) * rng.uniform(1200, 3600, len(spent))
    times = [
        LoggedTime(int(slices.voxels[i]), float(s), Effort.of_row(slices.known[i]), 1, corrected)
        for i, s in zip(logged, spent, strict=True)
    ]
    held = draw(slices, asked, HELD_OUT, rng)
    noiseless = annotator.seconds(slices, held, max(LOGS), corrected=corrected)
    truth = noisy(noiseless, rng)
    found = [compared("nothing but noise", max(LOGS), noiseless, truth)]
    for count in LOGS:
        model = CostModel.from_times(times[:count])
        for source in ("known", "expected"):
            guess = model.seconds(getattr(slices, source)[held], corrected=corrected)
            found.append(compared(f"prices, {source} effort", count, guess, truth))
        if count:
            flat = model.per_voxel * slices.voxels[held]
            found.append(compared("per voxel", count, flat, truth))
    open_slices = np.flatnonzero(np.isin(slices.case, asked))
    return found, gain_in_time(slices, open_slices, annotator, times, corrected=corrected)


def compared(method: str, logs: int, guess: FloatArray, truth: FloatArray) -> dict[str, Any]:
    """How expected seconds compare with spent ones, over the held-out slices."""
    x, y = np.log(guess), np.log(truth)
    slope = float(np.cov(x, y)[0, 1] / x.var(ddof=1)) if x.std() > 1e-6 else None
    return {
        "method": method,
        "logs": logs,
        "relative_error": float(np.median(np.abs(guess / truth - 1))),
        "slope": slope,
        "total": float(guess.sum() / truth.sum()),
        "total_error": float(abs(guess.sum() / truth.sum() - 1)),
    }


def gain_in_time(
    slices: Slices,
    chosen: npt.NDArray[np.int64],
    annotator: Annotator,
    times: list[LoggedTime],
    *,
    corrected: bool,
) -> dict[str, float]:
    """Score gathered in `MINUTES` by ranking: by score, by score per voxel and per second."""
    score, efforts = slices.score[chosen], slices.expected[chosen]
    model = CostModel.from_times(times[:10])
    spent = annotator.seconds(slices, chosen, 10**6, corrected=corrected)
    keys = {
        "score": score,
        "score per voxel": per_cost(score, slices.voxels[chosen]),
        "score per second": per_cost(score, model.seconds(efforts, corrected=corrected)),
    }
    gained = {}
    for name, key in keys.items():
        order = np.argsort(-key, kind="stable")
        within = np.cumsum(spent[order]) <= 60 * MINUTES
        gained[name] = float(score[order][within].sum())
        gained[f"{name}: slices"] = int(within.sum())
    first, by_cost = (set(np.argsort(-keys[k])[:20]) for k in ("score", "score per second"))
    gained["of the first 20 by score not among those per second"] = len(first - by_cost)
    return gained


def summarised(trials: list[list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Median over seeds with its interval, for each method and number of logs."""
    for cells in zip(*trials, strict=True):
        row: dict[str, Any] = {"method": cells[0]["method"], "logs": cells[0]["logs"]}
        for metric in ("relative_error", "slope", "total", "total_error"):
            values = [cell[metric] for cell in cells if cell[metric] is not None]
            row[metric] = median_of(values) if values else None
        yield row


def gathered_of(gains: list[dict[str, float]]) -> dict[str, Any]:
    """Per ranking the score gathered, as a ratio to that of ranking by score."""
    ratios = {
        name: median_of([one[name] / one["score"] for one in gains if one["score"] > 0])
        for name in ("score per voxel", "score per second")
    }
    counts = {
        name: median_of([float(one[name]) for one in gains])
        for name in gains[0] if name not in {"score", *ratios}
    }  # fmt: skip
    return {"ratio_to_ranking_by_score": ratios, "counts": counts}


def median_of(values: list[float]) -> dict[str, Any]:
    """The median with its interval over seeds, and the worst of them."""
    found = estimate(values, statistic=np.median, rng=np.random.default_rng(0))
    interval = None if found.interval is None else [round(v, 4) for v in found.interval]
    middle, most = round(found.value, 4), round(max(values), 4)
    return {"median": middle, "interval": interval, "most": most}


def draw(
    slices: Slices, cases: npt.NDArray[np.int64], count: int, rng: Rng
) -> npt.NDArray[np.int64]:
    """Slices of some cases, three of four with something to draw."""
    within = np.isin(slices.case, cases)
    shows = np.flatnonzero(within & (slices.known[:, 3] > 0))
    full = rng.choice(shows, round(FOREGROUND_SHARE * count), replace=False)
    rest = rng.choice(np.setdiff1d(np.flatnonzero(within), full), count - len(full), replace=False)
    return np.asarray(rng.permutation(np.concatenate([full, rest])))


def noisy(seconds: FloatArray, rng: Rng) -> FloatArray:
    """The same work on different days, with a mean of one."""
    return np.asarray(seconds * rng.lognormal(-(NOISE**2) / 2, NOISE, len(seconds)))


def all_slices(dataset: Dataset, count: int) -> tuple[Slices, float]:
    """Every slice of some cases, and the seconds that expected efforts took per case."""
    parts, spent = [], 0.0
    for number, case_id in enumerate(dataset.ids[:count]):
        if dataset.labels is None:
            raise SystemExit(f"{dataset.name} names no labels")
        reference = read_case_label_map(dataset.case(case_id), dataset.labels)
        axis, shape = slice_axis(reference.geometry), reference.geometry.shape
        spacing_mm = reference.geometry.spacing_mm
        sides = [n if a != axis else 1 for a, n in enumerate(shape)]
        lattice = (Lattice.of_sides(shape, (sides[0], sides[1], sides[2])),)
        members = made_up_prediction(reference, np.random.default_rng([number, 5]))
        started = time.perf_counter()
        expected = expected_efforts(members, spacing_mm, lattice, axis)
        spent += time.perf_counter() - started
        proposal = np.array([0, *reference.labels.values], dtype=np.uint8)[members[0].argmax(0)]
        known = known_efforts(reference.array, spacing_mm, lattice, axis, proposal=proposal)
        entropy = -(members[0] * np.log(np.maximum(members[0], 1e-12))).sum(axis=0)
        pixel_mm2 = float(np.prod(np.delete(spacing_mm, axis)))
        parts.append(
            Slices(
                np.full(len(known), number),
                lattice[0].voxel_counts,
                known,
                expected,
                pieces_of(reference, axis),
                lattice[0].sums(entropy) * pixel_mm2,
            )
        )
    names = Slices.__dataclass_fields__
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Slices(**joined), round(spent / count, 3)


def made_up_prediction(reference: LabelMap, rng: Rng) -> npt.NDArray[np.float32]:
    """The reference, bent by half to two millimetres and blurred, (1, C, I, J, K)."""
    spacing_mm, shape = np.array(reference.geometry.spacing_mm), reference.array.shape
    amount_mm = rng.uniform(0.5, 2.0)
    places = np.indices(shape, dtype=np.float32)
    for axis in range(3):
        bend = ndimage.gaussian_filter(rng.normal(size=shape).astype(np.float32), 6 / spacing_mm)
        places[axis] += amount_mm / spacing_mm[axis] * bend / bend.std()
    bent = ndimage.map_coordinates(reference.array, places, order=0, mode="nearest")
    values = (0, *reference.labels.values)
    sigma = 0.5 * (1 + amount_mm) / spacing_mm
    blurred = np.stack(
        [ndimage.gaussian_filter((bent == v).astype(np.float32), sigma) for v in values]
    )
    return np.asarray(blurred / blurred.sum(axis=0))[None]


def pieces_of(reference: LabelMap, axis: int) -> FloatArray:
    """Connected pieces of all labels in each slice, (n,)."""
    planes = np.moveaxis(reference.array, axis, 0)
    values = reference.labels.values
    return np.array([sum(ndimage.label(plane == v)[1] for v in values) for plane in planes], float)


def table(document: dict[str, Any]) -> Iterator[str]:
    """What is expected of k logs, in Markdown."""
    yield "| data | annotator | work | logs | method | error of one | slope | 40 slices, off by |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in document["rows"]:
        shown = [row[key] for key in ("data", "annotator", "work", "logs", "method")]
        cells = [
            cell(row["relative_error"], 100),
            cell(row["slope"]),
            cell(row["total_error"], 100),
        ]
        yield "| " + " | ".join(map(str, (*shown, *cells))) + " |"
    for row in document["gathered"]:
        ratio = row["ratio_to_ranking_by_score"]
        yield (
            f"{row['data']}, {row['annotator']}, {row['work']}: score gathered in {MINUTES} "
            f"minutes against ranking by score: per second {cell(ratio['score per second'])}, "
            f"per voxel {cell(ratio['score per voxel'])}"
        )


def cell(found: dict[str, Any] | None, factor: float = 1.0) -> str:
    """A median with its interval."""
    if found is None:
        return ""
    digits = 0 if factor > 1 else 2
    shown = f"{factor * found['median']:.{digits}f}"
    if found["interval"]:
        low, high = (f"{factor * v:.{digits}f}" for v in found["interval"])
        shown += f" [{low}, {high}]"
    return shown + (" %" if factor > 1 else "")


if __name__ == "__main__":
    sys.exit(main())
