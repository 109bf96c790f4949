"""Thin structures: what is left of them on the way back from the network's grid.

    python benchmarks/inference/thin_structures.py
    python benchmarks/inference/thin_structures.py --cases 0    # the phantoms alone

The phantom: shells of 0.6 and 0.9 mm, tubes of 0.9 to 2.4 mm, 0.3 mm voxels, partial volume, a
slow shading, white noise. A network on a grid of 1.2 mm is simulated: shares of its cells, blurred,
with errors in their odds. The fine model of the two stages is a threshold at the scan's own
resolution, so it stands for a network that has learned nothing but brightness. The real scans: the
reference of hippocampi and fetal brains is brought to grids 1.5 to 3 times as coarse, blurred and
disturbed likewise, and has to be found again with the scan's help (in the middle of the scan, for
the slow methods' sake; cases held out as in benchmarks/training). Then two scans that show
nothing: even, and noise. Compared: upsampling alone, the guided filter at full resolution (He
et al. 2013), joint bilateral upsampling (Kopf et al. 2007), a random walker in the band of doubt
with the upsampled probabilities as priors (Grady 2005, 2006), detail led by slopes from the coarse
grid (voxloop), and two stages. The result goes to benchmarks/results/thin_structures.json after
every scan; a run that was stopped continues.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from ledger import RESULTS, Ledger
from scipy import ndimage, sparse

from splits import split  # beside whose folder the ledger looks
from voxloop.dataset.layouts import read_dataset
from voxloop.dataset.load import read_case_label_map
from voxloop.io.formats import read_volume
from voxloop.metrics.bootstrap import estimate_mean
from voxloop.metrics.surface import surface_distances
from voxloop.plan.preprocess import Prepared
from voxloop.predict.keeping import Seen
from voxloop.predict.labelling import Labeller
from voxloop.predict.predictor import Prediction, Predictor
from voxloop.predict.refine.detail import CoarseView, refine_labels
from voxloop.predict.refine.locate import cropped
from voxloop.predict.refine.two_stage import TwoStagePredictor
from voxloop.volume.boxes import Box
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.resample import resample_linear
from voxloop.volume.volume import LabelArray, LabelMap, Volume

Float32Array = npt.NDArray[np.float32]
Rng = np.random.Generator
Method = Callable[[Float32Array, CoarseView], LabelArray]

CONVENTION = (
    "of each scan the mean over labels of Dice, of the mean distance of both surfaces and of its "
    "95th percentile, mm; means over n scans; gain_mm: upsampled minus method, mean distance, "
    "paired, with a BCa 95 % interval over scans from five on; seconds are processor seconds"
)
SCAN_MM, NETWORK_MM = 0.3, 1.2
MIDDLE = 64
"""Voxels along each axis that are taken of a real scan."""
BODY, BONE = 0.0, 1.0
"""Intensities; the noise is in units of their difference."""


@dataclass(frozen=True, eq=False)
class Task:
    """One scan with a reference, and what a coarse network says of it."""

    name: str
    image: Float32Array
    reference: LabelArray
    view: CoarseView
    structures: dict[str, npt.NDArray[np.bool_]]


def phantom_tasks(edge: int, seeds: int) -> Iterator[Task]:
    """Thin shells and tubes, in little and much noise, seen sharply and not so sharply."""
    for noise in (0.05, 0.1, 0.2, 0.4):
        for sight, blur, doubt in (("sharp", 0.5, 0.5), ("dim", 0.8, 1.0)):
            for seed in range(seeds):
                rng = np.random.default_rng(seed)
                image, parts, geometry = _phantom(edge, noise, rng)
                reference = np.any(list(parts.values()), axis=0).astype(np.uint8)
                view = simulated(
                    image, reference, geometry, (NETWORK_MM,) * 3, weakness=(blur, doubt), rng=rng
                )
                yield Task(
                    f"phantom, noise {noise}, {sight} network", image, reference, view, parts
                )


def blind_tasks(edge: int) -> Iterator[Task]:
    """Scans that show nothing of the structure."""
    geometry = Geometry.from_affine((edge,) * 3, np.diag([0.5, 0.5, 0.5, 1]))
    x, y, z = _places(geometry) / (edge / 8)
    reference = ((x / 1.1) ** 2 + y**2 + (z / 0.9) ** 2 < 1).astype(np.uint8)
    for name in ("even", "noise"):
        rng = np.random.default_rng(0)
        shown = rng.normal(size=geometry.shape) if name == "noise" else np.zeros(geometry.shape)
        image = (shown + 1000).astype(np.float32)
        view = simulated(image, reference, geometry, (1.5,) * 3, weakness=(0.4, 0.1), rng=rng)
        yield Task(f"ball, {name} scan", image, reference, view, {})


def real_tasks(data: Path, cases: int) -> Iterator[Task]:
    """Held-out hippocampi and fetal brains, from grids 1.5 to 3 times as coarse."""
    if not cases:
        return
    for name in ("hippocampus", "fetal_brain"):
        dataset = read_dataset(data / name)
        if dataset.labels is None:
            continue
        for case in map(dataset.case, split(name, dataset.ids).held_out[-cases:]):
            whole = read_volume(case.channels[0])
            start = [max(0, (n - MIDDLE) // 2) for n in whole.array.shape]
            stop = [min(n, a + MIDDLE) for a, n in zip(start, whole.array.shape, strict=True)]
            box = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
            scan = cropped(whole, box)
            reference = read_case_label_map(case, dataset.labels).array[box.slices]
            image = scan.array.astype(np.float32)
            image = np.clip(image, *np.percentile(image, (0.5, 99.5)))
            for factor in (1.5, 2.0, 3.0):
                rng = np.random.default_rng(1)
                spacing = tuple(factor * s for s in scan.geometry.canonical().spacing_mm)
                grid = (spacing[0], spacing[1], spacing[2])
                view = simulated(
                    image, reference, scan.geometry, grid, weakness=(0.5, 0.7), rng=rng
                )
                yield Task(f"{name}, {factor:g} x coarser", image, reference, view, {})


def simulated(
    image: Float32Array,
    reference: LabelArray,
    source: Geometry,
    spacing_mm: tuple[float, float, float],
    *,
    weakness: tuple[float, float],
    rng: Rng,
) -> CoarseView:
    """What a network on a coarser grid would see and say.

    Args:
        image: of the scan.
        reference: its labels.
        source: its grid.
        spacing_mm: of the network's grid.
        weakness: blur in cells, and standard deviation of the error of the log odds.
        rng: for the errors, which are alike in neighbouring cells.
    """
    grid = source.canonical().resampled(spacing_mm)
    values = tuple(int(v) for v in np.unique(reference) if v)
    blur, doubt = weakness
    shares = [
        ndimage.gaussian_filter(
            resample_linear((reference == v).astype(np.float32), source, grid), blur
        )
        for v in (0, *values)
    ]
    odds = np.log(np.stack(shares) + 0.01)
    errors = np.stack([ndimage.gaussian_filter(rng.normal(size=grid.shape), 0.7) for _ in odds])
    odds += doubt * errors / errors.std(axis=(1, 2, 3), keepdims=True)
    odds = np.exp(odds)
    probabilities = (odds / odds.sum(axis=0)).astype(np.float32)
    return CoarseView(probabilities, resample_linear(image, source, grid), grid, source, values)


def upsampled(_image: Float32Array, view: CoarseView) -> LabelArray:
    """The most probable class, interpolated."""
    prepared = Prepared(view.image[None], view.grid, view.source)
    labeller = Labeller(prepared, view.values, axis=0)
    labeller.add(dict(enumerate(view.probabilities)), 0, view.grid.shape[0])
    return labeller.labels


def detail(image: Float32Array, view: CoarseView) -> LabelArray:
    """Detail led by slopes from the coarse grid."""
    return refine_labels(image, view)


def guided(image: Float32Array, view: CoarseView) -> LabelArray:
    """The guided filter of each class at full resolution, over a window of about two cells."""
    radius = [
        max(1, round(c / f))
        for c, f in zip(view.grid.spacing_mm, view.source.canonical().spacing_mm, strict=True)
    ]
    width = [2 * r + 1 for r in radius]

    def mean(array: Float32Array) -> Float32Array:
        return np.asarray(ndimage.uniform_filter(array, width, mode="nearest"))

    guide = (image - image.mean()) / max(float(image.std()), 1e-6)
    centre = mean(guide)
    spread = np.maximum(mean(guide * guide) - centre**2, 0) + 1e-2
    found = []
    for each in _on_scan(view):
        level = mean(each)
        slope = (mean(guide * each) - centre * level) / spread
        found.append(mean(slope) * guide + mean(level - slope * centre))
    return _argmax(found, view)


def bilateral(image: Float32Array, view: CoarseView) -> LabelArray:
    """Joint bilateral upsampling: 27 cells about each voxel, by distance and likeness."""
    to_grid = np.linalg.inv(view.grid.matrix) @ view.source.matrix
    scale = 0.5 * max(float(view.image.std()), 1e-6)
    index = np.indices(image.shape, dtype=np.float32).reshape(3, -1)
    places = to_grid[:3, :3].astype(np.float32) @ index + to_grid[:3, 3:].astype(np.float32)
    last = np.array(view.grid.shape)[:, None] - 1
    near = np.rint(places)
    total = np.zeros((len(view.probabilities), image.size), np.float32)
    for step in np.ndindex(3, 3, 3):
        cell = near + np.array(step)[:, None] - 1
        inside = tuple(np.clip(cell, 0, last).astype(int))
        far = ((places - cell) ** 2).sum(axis=0)
        unlike = ((image.ravel() - view.image[inside]) / scale) ** 2
        total += np.exp(-(far + unlike) / 2) * view.probabilities[(slice(None), *inside)]
    return _argmax(list(total.reshape(-1, *image.shape)), view)


def walker(image: Float32Array, view: CoarseView) -> LabelArray:
    """Random walker with priors where classes compete; the rest is known."""
    upsampled = np.stack(_on_scan(view))
    doubtful = upsampled.max(axis=0) < 0.98
    sure = upsampled.argmax(axis=0)
    number = np.full(image.shape, -1)
    number[doubtful] = np.arange(np.count_nonzero(doubtful))
    prior_weight = 0.5
    diagonal = np.full(np.count_nonzero(doubtful), prior_weight)
    known = np.stack([prior_weight * each[doubtful] for each in upsampled]).astype(np.float64)
    spacing = np.array(view.source.spacing_mm)
    # twice the median step between neighbours counts as an edge
    steps = np.concatenate([np.abs(np.diff(image, axis=a)).ravel() for a in range(3)])
    edge = max(2 * float(np.median(steps)) / 0.95, 1e-6)
    entries: list[tuple[Any, Any, Any]] = []
    for axis in range(3):
        one, other = (
            tuple(part if a == axis else slice(None) for a in range(3))
            for part in (slice(None, -1), slice(1, None))
        )
        weight = (spacing.min() / spacing[axis]) ** 2 * np.exp(
            -(((image[one] - image[other]) / edge) ** 2) / 2
        ) + 1e-6
        for here, there in ((one, other), (other, one)):
            inner = number[here] >= 0
            diagonal += np.bincount(number[here][inner], weight[inner], len(diagonal))
            both = inner & (number[there] >= 0)
            entries.append((number[here][both], number[there][both], -weight[both]))
            rim = inner & (number[there] < 0)
            for c in range(len(known)):
                pull = weight[rim] * (sure[there][rim] == c)
                known[c] += np.bincount(number[here][rim], pull, len(diagonal))
    rows, columns, values = (np.concatenate(part) for part in zip(*entries, strict=True))
    shape = (len(diagonal), len(diagonal))
    system = sparse.csr_matrix((values, (rows, columns)), shape) + sparse.diags(diagonal)
    found = [np.asarray(sure == c, dtype=np.float32) for c in range(len(upsampled))]
    for each, target, start in zip(found, known, upsampled, strict=True):
        each[doubtful], _ = sparse.linalg.cg(
            system, target, x0=start[doubtful], rtol=1e-3, maxiter=80, M=sparse.diags(1 / diagonal)
        )
    return _argmax(found, view)


def two_stage(image: Float32Array, view: CoarseView) -> LabelArray:
    """Two stages, the fine model being a threshold half-way between bone and body."""
    table = LabelTable({1: "bone"})
    plan = SimpleNamespace(labels={"bone": 1}, channel_names=("CT",), table=table)

    def told(probabilities: Float32Array, labels: LabelArray, prepared: Prepared) -> Prediction:
        seen = Seen(prepared, probabilities.astype(np.float16))
        return Prediction(LabelMap(labels, prepared.source, table), {}, 0, seen=seen)

    def first(*_: object, **__: object) -> Prediction:
        prepared = Prepared(view.image[None], view.grid, view.source)
        return told(view.probabilities.astype(np.float32), refine_labels(image, view), prepared)

    def second(channels: tuple[Volume, ...], *_: object, **__: object) -> Prediction:
        (scan,) = channels
        smooth = ndimage.gaussian_filter(scan.array, 0.5, mode="nearest")
        bone = (1 / (1 + np.exp(-8 * (smooth - (BODY + BONE) / 2)))).astype(np.float32)
        source = scan.geometry
        turned = resample_linear(bone, source, source.canonical())
        prepared = Prepared(turned[None], source.canonical(), source)
        return told(np.stack([1 - turned, turned]), (bone > 0.5).astype(np.uint8), prepared)

    coarse, fine = (SimpleNamespace(plan=plan, segment=told_by) for told_by in (first, second))
    both = TwoStagePredictor(cast("Predictor", coarse), cast("Predictor", fine), margin_mm=3)
    return both.segment((Volume(image, view.source),)).label_map.array


METHODS: dict[str, Method] = {
    "upsampled": upsampled,
    "guided filter": guided,
    "joint bilateral": bilateral,
    "random walker": walker,
    "detail": detail,
    "two stages": two_stage,
}


def measured(task: Task, method: Method) -> dict[str, Any]:
    """Time, Dice and surface error of one method on one task, the mean over labels."""
    start = time.process_time()
    found = method(task.image, task.view)
    seconds = time.process_time() - start
    rows = []
    for value in task.view.values:
        one, other = task.reference == value, found == value
        distances = surface_distances(one, other, task.view.source)
        both = np.concatenate([distances.to_prediction_mm, distances.to_reference_mm])
        dice = 2 * (one & other).sum() / (one.sum() + other.sum())
        rows.append([dice, both.mean() if both.size else np.nan, distances.hd95_mm()])
    dice, mean_mm, p95_mm = np.nanmean(rows, axis=0) if np.isfinite(rows).any() else [np.nan] * 3
    return {
        "dice": float(dice),
        "mean_mm": _number(mean_mm),
        "p95_mm": _number(p95_mm),
        "cpu_seconds_per_million_voxels": seconds / task.image.size * 1e6,
        "found": {name: float((found[m] > 0).mean()) for name, m in task.structures.items()},
    }


def averaged(rows: list[dict[str, Any]], plain: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean of each number over the scans of a task, and what was gained on upsampling."""
    numbers = ("dice", "mean_mm", "p95_mm", "cpu_seconds_per_million_voxels")
    mean: dict[str, Any] = {"n": len(rows)}
    for key in numbers:
        known = [row[key] for row in rows if row[key] is not None]
        mean[key] = round(float(np.mean(known)), 4) if known else None
    pairs = [(p["mean_mm"], row["mean_mm"]) for p, row in zip(plain, rows, strict=True)]
    gains = [before - after for before, after in pairs if None not in {before, after}]
    gain = estimate_mean(gains, rng=np.random.default_rng(0))
    mean["gain_mm"] = {
        "value": _number(gain.value),
        "interval": gain.interval,
        "n": gain.cases,
        "closer_in": sum(g > 0 for g in gains),
    }
    mean["found"] = {
        name: round(float(np.mean([row["found"][name] for row in rows])), 3)
        for name in rows[0]["found"]
    }
    return mean


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The result in Markdown."""
    yield "| task | method | n | Dice | mean error (mm) | p95 (mm) | CPU s per million voxels |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        shown = [row["dice"], row["mean_mm"], row["p95_mm"]]
        cells = [str(row["n"]), *("" if v is None else f"{v:.3f}" for v in shown)]
        cells.append(f"{row['cpu_seconds_per_million_voxels']:.2f}")
        yield "| " + " | ".join([row["task"], row["method"], *cells]) + " |"


def compared(task: Task) -> dict[str, Any]:
    """Every method on one scan; the two stages only know the phantom."""
    return {
        "methods": {
            name: measured(task, method)
            for name, method in METHODS.items()
            if name != "two stages" or task.structures
        }
    }


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    data = os.environ.get("VOXLOOP_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(data))
    parser.add_argument("--edge", type=int, default=128, help="voxels along the phantom's edges")
    parser.add_argument("--seeds", type=int, default=2, help="phantoms of each kind")
    parser.add_argument("--cases", type=int, default=5, help="real scans of each kind")
    parser.add_argument("--out", type=Path, default=RESULTS / "thin_structures.json")
    options = parser.parse_args()
    settings = {key: vars(options)[key] for key in ("edge", "seeds", "cases")} | {"seed": 0}
    script = "benchmarks/inference/thin_structures.py"
    ledger = Ledger(options.out, script, settings, CONVENTION)
    kinds = [phantom_tasks(options.edge, options.seeds), blind_tasks(options.edge)]
    kinds.append(real_tasks(options.data, options.cases))
    groups: dict[str, list[dict[str, Any]]] = {}
    for task in (task for kind in kinds for task in kind):
        group = groups.setdefault(task.name, [])
        key = {"task": task.name, "scan": len(group)}
        group.append(ledger.row(key, partial(compared, task))["methods"])
    rows = [
        {"task": task, "method": method}
        | averaged([scan[method] for scan in scans], [scan["upsampled"] for scan in scans])
        for task, scans in groups.items()
        for method in scans[0]
    ]
    ledger.write(means=rows)
    for line in table(rows):
        print(line)
    return 0


def _phantom(
    edge: int, noise: float, rng: Rng
) -> tuple[Float32Array, dict[str, npt.NDArray[np.bool_]], Geometry]:
    geometry = Geometry.from_affine((edge,) * 3, np.diag([-SCAN_MM, -SCAN_MM, SCAN_MM, 1]))
    x, y, z = _places(geometry)
    reach = edge * SCAN_MM / 2
    middle = np.sqrt(x**2 + y**2 + z**2)
    inside = middle - 0.55 * reach
    depth = {
        "shell 0.6 mm": np.abs(middle - 0.85 * reach) - 0.3,
        "shell 0.9 mm": np.abs(middle - 0.62 * reach) - 0.45,
        "tube 0.9 mm": np.maximum(np.hypot(y - 0.3 * reach, z + 0.2 * reach) - 0.45, inside),
        "tube 1.2 mm": np.maximum(np.hypot(x - 0.3 * reach, y) - 0.6, inside),
        "tube 2.4 mm": np.maximum(np.hypot(x + 0.15 * reach, z) - 1.2, inside),
    }
    nearest = np.min(list(depth.values()), axis=0)
    filled = BODY + (BONE - BODY) * np.clip(0.5 - nearest / SCAN_MM, 0, 1)
    image = ndimage.gaussian_filter(filled, 0.5) + noise * rng.normal(size=filled.shape)
    image += 0.1 * np.sin(x / 4)
    return image.astype(np.float32), {name: d < 0 for name, d in depth.items()}, geometry


def _places(geometry: Geometry) -> npt.NDArray[np.float64]:
    """Millimetres from the grid's middle, (3, I, J, K)."""
    axes = [
        (np.arange(n) - (n - 1) / 2) * s
        for n, s in zip(geometry.shape, geometry.spacing_mm, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def _on_scan(view: CoarseView) -> list[Float32Array]:
    return [resample_linear(each, view.grid, view.source) for each in view.probabilities]


def _argmax(found: list[Float32Array], view: CoarseView) -> LabelArray:
    values = np.array([0, *view.values], dtype=np.uint8)
    return np.asarray(values[np.argmax(np.stack(found), axis=0)])


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


if __name__ == "__main__":
    sys.exit(main())
