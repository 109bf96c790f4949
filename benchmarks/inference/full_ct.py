"""A full-size CT from file to label map file: seconds by stage and peak memory, by labels.

    python benchmarks/inference/full_ct.py
    python benchmarks/inference/full_ct.py --model model.safetensors --out mine.json

The scan is the public abdominal CT among the shared data (VOXLOOP_DATA), resampled to 512 x 512 x
200 voxels. Every number of labels is run at default quality, the other qualities with one of them
(`--labels-of-qualities`). With `--model` a trained model is used as it is; otherwise the network of
the plan that such a scan gets, for each number of labels, with random weights, made as decided as
trained ones and turned towards the background, so that a small part of the scan is labelled
(`labelled_share`). `--undecided` leaves them as they are, which is the worst case: every label is
everywhere, and nearly every voxel lies between several. Every cell runs in a process of its own,
`--rounds` times in turn; `cells` holds medians of seconds and the highest peaks. `all` is from file
to file, imports excepted; `process` has them, too. `open` is long once, when the engine is compiled
and compared, which is left out (`longest_open`). The result goes to benchmarks/results/full_ct.json
after every run; a run that was stopped continues.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from ledger import CACHE, RESULTS, Ledger

from voxloop.compute.memory import GIB, peak_rss_bytes
from voxloop.io.formats import read_geometry, read_volume, write_label_map, write_volume
from voxloop.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from voxloop.model.unet import UNet, build_network
from voxloop.plan.fingerprint import Fingerprint
from voxloop.plan.plan import Plan
from voxloop.plan.planner import make_plan
from voxloop.predict.engines.verify import sample_tile
from voxloop.predict.options import QUALITIES, QualityWord
from voxloop.predict.predictor import Predictor
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.resample import resample_linear
from voxloop.volume.volume import Volume

LABELS = (1, 5, 25, 100)
SHAPE = (512, 512, 200)
SEED = 0
CONVENTION = (
    "wall seconds from file to label map file in a fresh process without its imports, engine "
    "compiled before; cells: median and range over the rounds, peak: the highest resident memory"
)
Row = dict[str, Any]
_CLEARER = 4.0
"""Random logits differ by about one, trained ones by several."""

_LABELLED = 0.05
"""Of a made-up tile; about what the liver or all bones fill of such a scan."""


def main() -> int:
    """Run every cell and print one JSON document."""
    arguments = _arguments()
    if arguments.cell:
        sys.stdout.write(json.dumps(run_cell(**json.loads(arguments.cell))) + "\n")
        return 0
    i, j, k = arguments.shape
    work = CACHE / f"ct-{i}x{j}x{k}"
    scan = work / "scan.nii.gz"
    if not scan.exists():
        work.mkdir(parents=True, exist_ok=True)
        write_volume(scan, ct_scan(arguments.data, (i, j, k)))
    if arguments.scan_only:
        return 0
    keys = ("shape", "labels", "quality", "labels_of_qualities", "engine", "uncertainty", "rounds")
    settings = {key: vars(arguments)[key] for key in keys}
    settings |= {"undecided": arguments.undecided, "seed": SEED}
    settings["model"] = None if arguments.model is None else arguments.model.name
    ledger = Ledger(arguments.out, "benchmarks/inference/full_ct.py", settings, CONVENTION)
    cells = []
    for labels, quality in _grid(arguments):
        model = ct_model(work, labels, scan, arguments.model, undecided=arguments.undecided)
        cell: Row = {"scan": str(scan), "model": str(model), "labels": labels, "quality": quality}
        cell |= {"engine": arguments.engine, "cache": str(work / "engines")}
        cells.append(cell | {"uncertainty": arguments.uncertainty})
    found = run_in_turn(cells, arguments.rounds, ledger)
    ledger.write(cells=found)
    for cell in found:
        sys.stdout.write(
            f"{cell['labels']:3d} labels, {cell['quality']:7s} {cell['seconds']['all']:6.1f} s, "
            f"{cell['peak_gib']:.2f} GiB, {cell['engine']}\n"
        )
    return 0


def _grid(arguments: argparse.Namespace) -> list[tuple[int | None, QualityWord]]:
    """Every number of labels at the first quality, the other qualities with one number."""
    first, *others = arguments.quality
    if arguments.model is not None:
        return [(None, quality) for quality in arguments.quality]
    cells = [(labels, first) for labels in arguments.labels]
    return cells + [(arguments.labels_of_qualities, quality) for quality in others]


def run_cell(
    *,
    scan: str,
    model: str,
    labels: int | None,
    quality: QualityWord,
    engine: str,
    uncertainty: bool,
    cache: str,
) -> Row:
    """Segment one scan and report what it took, the process's own start excepted."""
    start = time.monotonic()
    volume = read_volume(Path(scan))
    read = time.monotonic()
    checkpoint = load_checkpoint(Path(model))
    predictor = Predictor(
        checkpoint, quality=quality, engine=engine, cache=Path(cache), memory_bytes=4 * GIB
    )
    name = predictor.engines[0].name
    opened = time.monotonic()
    tiles = 0

    def count(_progress: object) -> None:
        nonlocal tiles
        tiles += 1

    found = predictor.segment((volume,), count, uncertainty=uncertainty)
    segmented = time.monotonic()
    write_label_map(Path(scan).parent / "out.nii.gz", found.label_map)
    done = time.monotonic()
    return {
        "labels": labels or len(checkpoint.plan.labels),
        "quality": quality,
        "spacing_mm": checkpoint.plan.spacing_mm,
        "patch": checkpoint.plan.patch_shape,
        "engine": name,
        "tiles": tiles,
        "seconds": {
            "read": read - start,
            "open": opened - read,
            **found.seconds,
            "write": done - segmented,
            "all": done - start,
        },
        "peak_gib": peak_rss_bytes() / GIB,
        "labelled_share": float((found.label_map.array > 0).mean()),
        "labels_found": int(np.count_nonzero(np.bincount(found.label_map.array.ravel()[::7]))) - 1,
    }


def run_in_turn(cells: list[Row], rounds: int, ledger: Ledger) -> list[Row]:
    """Run every cell so many times, each in a process of its own, and sum up."""
    found: list[list[Row]] = [[] for _ in cells]
    for number in range(rounds):
        for cell, runs in zip(cells, found, strict=True):
            key = {"scan": cell.get("name", "ct"), "labels": cell["labels"]}
            key |= {"quality": cell["quality"], "round": number}
            runs.append(ledger.row(key, partial(_in_a_process, cell)))
    return [_summary(runs) for runs in found]


def _in_a_process(cell: Row) -> Row:
    start = time.monotonic()
    wanted = {name: value for name, value in cell.items() if name != "name"}
    told = subprocess.run(
        [sys.executable, str(Path(__file__)), "--cell", json.dumps(wanted)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: Row = json.loads(told.stdout)
    found["seconds"]["process"] = time.monotonic() - start
    return found


def _summary(runs: list[Row]) -> Row:
    """Medians over the rounds; of `open` over those that found the engine compiled."""
    opened = [run["seconds"]["open"] for run in runs]
    least = min(opened)
    runs_s = [{**run["seconds"], "open": least} for run in runs]
    for run_s, run in zip(runs_s, runs, strict=True):
        for whole in ("all", "process"):
            run_s[whole] = run["seconds"][whole] - run["seconds"]["open"] + least
    seconds = {s: round(median(run_s[s] for run_s in runs_s), 3) for s in runs_s[0]}
    kept = {name: runs[0][name] for name in runs[0] if name not in {"key", "commit", "seconds"}}
    return {
        **kept,
        "seconds": seconds,
        "longest_open": round(max(opened), 2),
        "seconds_all_range": [round(f(r["all"] for r in runs_s), 2) for f in (min, max)],
        "peak_gib": round(max(run["peak_gib"] for run in runs), 3),
        "rounds": len(runs),
    }


def ct_scan(data: Path, shape: tuple[int, int, int]) -> Volume:
    """The shared CT at the wanted number of voxels; whole Hounsfield units."""
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(str(data / "dicom" / "chaos_ct_liver" / "DICOM_anon"))
    reader.SetFileNames(names)
    image = reader.Execute()
    array = sitk.GetArrayFromImage(image).transpose(2, 1, 0).astype(np.float32)
    matrix = np.eye(4)
    directions = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    matrix[:3, :3] = np.diag([-1, -1, 1]) @ directions  # from LPS to RAS
    matrix[:3, 3] = np.array([-1, -1, 1]) * image.GetOrigin()
    source = Geometry.from_affine(array.shape, matrix)
    spacing = np.array(source.spacing_mm) * source.shape / shape
    target = source.resampled((spacing[0], spacing[1], spacing[2]))
    values = np.rint(resample_linear(array, source, target)).astype(np.int16)
    return Volume(np.asfortranarray(values), target)


def ct_model(
    work: Path, labels: int | None, scan: Path, given: Path | None, *, undecided: bool = False
) -> Path:
    """The file of a model for such scans: the one given, or one of random weights."""
    if given is not None:
        return given
    path = work / f"model-{labels}{'-undecided' if undecided else ''}.safetensors"
    plan = ct_plan(read_geometry(scan), labels or 1)
    network = seeded_network(plan)
    if not undecided:
        decide(network, plan)
    save_checkpoint(path, Checkpoint(plan, network.state_dict(), {}))
    return path


def seeded_network(plan: Plan) -> UNet:
    """A network of random weights, the same in every run."""
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        return build_network(plan)


@torch.no_grad()
def decide(network: UNet, plan: Plan) -> None:
    """Make random logits clearer, and the background's the highest nearly everywhere."""
    network.head.weight.mul_(_CLEARER)
    if network.head.bias is not None:
        network.head.bias.mul_(_CLEARER)
        logits = network(torch.from_numpy(sample_tile(plan)))
        margin = logits[:, 1:].amax(dim=1) - logits[:, 0]
        background = network.head.bias.view(network.classes, -1)[0]
        background += torch.quantile(margin.flatten(), 1 - _LABELLED)


def ct_plan(geometry: Geometry, labels: int) -> Plan:
    """The plan that scans of this grid and so many labels get."""
    canonical = geometry.canonical()
    fingerprint = Fingerprint(
        cases=1,
        shape=canonical.shape,
        largest_shape=canonical.shape,
        spacing_mm=canonical.spacing_mm,
        is_ct=True,
        foreground_range=((-200.0, 300.0),),
        foreground_mean_sd=((50.0, 100.0),),
        annotated_vox=canonical.voxel_count,
        label_cases=dict.fromkeys(range(1, labels + 1), 1),
    )
    table = LabelTable({n: f"label {n}" for n in range(1, labels + 1)})
    return make_plan(fingerprint, table, ("CT",), 64 * GIB)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, nargs="+", default=list(LABELS))
    words = ["default", "fast", "best"]
    parser.add_argument("--quality", nargs="+", choices=QUALITIES, default=words)
    parser.add_argument("--labels-of-qualities", type=int, default=5)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--uncertainty", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shape", type=int, nargs=3, default=list(SHAPE))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--undecided", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS / "full_ct.json")
    parser.add_argument("--scan-only", action="store_true", help="make the scan, measure nothing")
    data = os.environ.get("VOXLOOP_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(data))
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
