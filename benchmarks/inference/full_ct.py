"""A full-size CT from file to label map file: seconds by stage and peak memory, by labels.

    python benchmarks/inference/full_ct.py > benchmarks/results/full_ct.json
    python benchmarks/inference/full_ct.py --model model.safetensors --quality fast default best

The scan is the public abdominal CT among the shared data (VOXLOOP_DATA), resampled to 512 x 512 x
200 voxels. With `--model` a trained model is used as it is; otherwise the network of the plan that
such a scan gets, for each number of labels, with random weights, made as decided as trained ones
and turned towards the background, so that a small part of the scan is labelled (`labelled_share`).
`--undecided` leaves them as they are, which is the worst case: every label is everywhere, and
nearly every voxel lies between several. Every cell runs in a process of its own, `--rounds` times
in turn; seconds are medians, peaks the highest. `all` is from file to file, imports excepted;
`process` has them, too.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from voxloop.compute.memory import GIB, peak_rss_bytes
from voxloop.io.formats import read_volume, write_label_map, write_volume
from voxloop.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from voxloop.model.unet import UNet, build_network
from voxloop.plan.fingerprint import Fingerprint
from voxloop.plan.plan import Plan
from voxloop.plan.planner import make_plan
from voxloop.predict.options import QUALITIES, QualityWord
from voxloop.predict.predictor import Predictor
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.resample import resample_linear
from voxloop.volume.volume import Volume

LABELS = (1, 5, 25, 100)
SHAPE = (512, 512, 200)
_CLEARER = 4.0
"""Random logits differ by about one, trained ones by several."""


def main() -> int:
    """Run every cell and print one JSON document."""
    arguments = _arguments()
    if arguments.cell:
        sys.stdout.write(json.dumps(run_cell(**json.loads(arguments.cell))) + "\n")
        return 0
    i, j, k = arguments.shape
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        scan = work / "scan.nii.gz"
        write_volume(scan, ct_scan(arguments.data, (i, j, k)))
        cells = []
        for labels in arguments.labels if arguments.model is None else [None]:
            model = ct_model(work, labels, scan, arguments.model, undecided=arguments.undecided)
            for quality in arguments.quality:
                cell = {"scan": str(scan), "model": str(model), "labels": labels}
                cell |= {"quality": quality, "engine": arguments.engine}
                cells.append(cell | {"uncertainty": arguments.uncertainty})
        found = run_in_turn(cells, arguments.rounds)
    document = {"shape": arguments.shape, "machine": machine(), "cells": found}
    sys.stdout.write(json.dumps(document, indent=1) + "\n")
    return 0


def run_cell(
    *,
    scan: str,
    model: str,
    labels: int | None,
    quality: QualityWord,
    engine: str,
    uncertainty: bool,
) -> dict[str, Any]:
    """Segment one scan and report what it took, the process's own start excepted."""
    start = time.monotonic()
    volume = read_volume(Path(scan))
    read = time.monotonic()
    checkpoint = load_checkpoint(Path(model))
    cache = Path(scan).parent / "engines"
    predictor = Predictor(
        checkpoint, quality=quality, engine=engine, cache=cache, memory_bytes=4 * GIB
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


def run_in_turn(cells: list[dict[str, Any]], rounds: int) -> list[dict[str, Any]]:
    """Run every cell so many times, each in a process of its own, and sum up."""
    found: list[list[dict[str, Any]]] = [[] for _ in cells]
    for _ in range(rounds):
        for cell, runs in zip(cells, found, strict=True):
            runs.append(_in_a_process(cell))
            sys.stderr.write(f"{json.dumps(runs[-1])}\n")
    return [_summary(runs) for runs in found]


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = [line for line in _processor() if line.startswith("model name")]
    return {
        "processor": model[0].split(":")[1].strip() if model else platform.processor(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _processor() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []


def _in_a_process(cell: dict[str, Any]) -> dict[str, Any]:
    start = time.monotonic()
    told = subprocess.run(
        [sys.executable, str(Path(__file__)), "--cell", json.dumps(cell)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(told.stdout)
    found["seconds"]["process"] = time.monotonic() - start
    return found


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    stages = runs[0]["seconds"]
    seconds = {s: round(median(run["seconds"][s] for run in runs), 3) for s in stages}
    peak = round(max(run["peak_gib"] for run in runs), 3)
    return {**runs[0], "seconds": seconds, "peak_gib": peak, "rounds": len(runs)}


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
    path = work / f"model-{labels}.safetensors"
    if not path.exists():
        plan = ct_plan(read_volume(scan).geometry, labels or 1)
        network = build_network(plan)
        if not undecided:
            decide(network)
        save_checkpoint(path, Checkpoint(plan, network.state_dict(), {}))
    return path


@torch.no_grad()
def decide(network: UNet) -> None:
    """Make random logits clearer, and the background's the highest nearly everywhere."""
    network.head.weight.mul_(_CLEARER)
    if network.head.bias is not None:
        highest = math.sqrt(2 * math.log(network.classes)) + 1
        network.head.bias.view(network.classes, -1)[0] += _CLEARER * highest


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
    parser.add_argument("--quality", nargs="+", choices=QUALITIES, default=["default"])
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--uncertainty", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shape", type=int, nargs=3, default=list(SHAPE))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--undecided", action="store_true")
    data = os.environ.get("VOXLOOP_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(data))
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
