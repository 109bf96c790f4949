"""Time Voxloop's training step beside nnU-Net's and MONAI's at the same patch and batch.

The rounds are interleaved in one process: after each step of Voxloop's real training loop (called
through `train`, with real cases, batches and loss) every other contender does one step, and the
machine's peak is measured: matrix products and 3-D convolutions in both precisions. Figures are
medians over the rounds. Operations are two for each multiply-add of all (transposed)
convolutions; the gradients of inputs and weights cost as much as the forward pass each, where
they are needed. Prints one JSON document.

    PYTHONPATH=src python benchmarks/peers/step_speed.py > step_speed.json

The peers' steps have their batch ready (their augmentation runs in other processes), Voxloop's
step contains making the batch. nnU-Net: the network, loss and optimiser of its 3d_fullres plans
for the patch, in float32 as it trains on a CPU. MONAI: DynUNet with Voxloop's widths, behind the
same folding of space where the plan folds. Needs the environment of `benchmarks/peers/README.md`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from contenders import Contender, contenders_for, nnunet_topology
from torch import Tensor

from voxloop.compute.progress import Progress
from voxloop.dataset.annotation import Annotation, merge
from voxloop.dataset.case import Case
from voxloop.dataset.layouts import read_dataset
from voxloop.dataset.load import read_case_channels, read_case_label_map
from voxloop.model.device import has_fast_bfloat16
from voxloop.model.unet import UNet
from voxloop.plan.plan import Plan
from voxloop.train.config import TrainConfig
from voxloop.train.loop import train
from voxloop.train.patches import Batch, PatchSource, TrainingCase
from voxloop.train.prepare import AnnotatedCase, plan_for, prepare_cases
from voxloop.volume.labels import LabelTable

SPLIT_SEED = 12
CASES = {"hippocampus": 160, "fetal_brain": 3}
WARM_UP = 2

Seconds = dict[str, list[float]]


def main() -> None:
    """Measure every data set and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = Path(os.environ.get("VOXLOOP_DATA", "../shared/data"))
    parser.add_argument("data", type=Path, nargs="?", default=data, help="folder of data sets")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--cases", type=int, help="to learn from, instead of those of the record")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the peers' steps are those of a CPU
    torch.set_num_threads(arguments.threads)
    load, started = os.getloadavg()[0], time.perf_counter()
    document = {
        "benchmark": "training step against nnU-Net and MONAI",
        "repeats": arguments.repeats,
        "data": {
            name: compare(arguments.data / name, arguments.cases or CASES[name], arguments.repeats)
            for name in arguments.only
        },
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": arguments.threads,
            "load_at_start": round(load, 2),
            "cpu_share": round(cpu_share(started, arguments.threads), 2),
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "nnunetv2", "monai", "numpy")},
        },
    }
    print(json.dumps(document, indent=2))


def cpu_share(started: float, threads: int) -> float:
    """Processor time had, of what the threads could have had: low where others were running."""
    return time.process_time() / (time.perf_counter() - started) / threads


def compare(folder: Path, count: int, repeats: int) -> dict[str, Any]:
    """Plan a data set as Voxloop does, and time everyone's step on its patches."""
    dataset = read_dataset(folder)
    if dataset.labels is None:
        raise SystemExit(f"{folder} names no labels")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(dataset.ids))
    cases = [annotated(dataset.cases[i], dataset.labels) for i in order[:count]]
    plan = plan_for(cases, dataset.labels, dataset.channel_names)
    with tempfile.TemporaryDirectory() as scratch:
        prepared = prepare_cases(cases, plan, Path(scratch) / "cache")
        contenders = contenders_for(plan, PatchSource(prepared, plan, 0))
        seconds = timed_rounds(plan, prepared, contenders, Path(scratch) / "run", repeats)
    return summary(plan, seconds, {name: c.operations for name, c in contenders.items()})


def annotated(case: Case, labels: LabelTable) -> AnnotatedCase:
    """A case with all its labels."""
    reference = read_case_label_map(case, labels)
    target = merge([Annotation.of_whole(reference)], reference.geometry.shape, labels)
    return AnnotatedCase(
        case.id, lambda: read_case_channels(case), reference.geometry, target, case.id
    )


class Laps:
    """Adds up the time between marks under the name of the mark that ends it."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._last = time.perf_counter()

    def mark(self, name: str) -> None:
        """End a lap."""
        now = time.perf_counter()
        self.parts[name] = self.parts.get(name, 0.0) + now - self._last
        self._last = now

    def restart(self) -> None:
        """Forget everything and begin a lap."""
        self.parts = {}
        self._last = time.perf_counter()


def timed_rounds(
    plan: Plan,
    cases: tuple[TrainingCase, ...],
    contenders: dict[str, Contender],
    folder: Path,
    repeats: int,
) -> Seconds:
    """Seconds of each contender, and of each part of Voxloop's step, round by round."""
    seconds: Seconds = {}
    laps = Laps()

    def finish_round(progress: Progress) -> None:
        laps.mark("optimiser and the rest")
        found = {"voxloop": sum(laps.parts.values())}
        found |= {f"voxloop: {name}": value for name, value in laps.parts.items()}
        for name, contender in contenders.items():
            started = time.perf_counter()
            contender.run()
            found[name] = time.perf_counter() - started
        if progress.done > WARM_UP:
            for name, value in found.items():
                seconds.setdefault(name, []).append(value)
        laps.restart()

    config = TrainConfig(steps=repeats + WARM_UP, save_seconds=86_400.0)
    with watched(laps):
        laps.restart()
        train(plan, cases, config, folder, finish_round)
    return seconds


@contextlib.contextmanager
def watched(laps: Laps) -> Iterator[None]:
    """Mark where batch, forward pass, loss and backward pass end in whatever loop runs inside."""
    make_batch, forward, backward = PatchSource.batch, UNet.at_levels, Tensor.backward

    def batch(source: PatchSource, step: int) -> Batch:
        laps.mark("optimiser and the rest")
        made = make_batch(source, step)
        laps.mark("batch")
        return made

    def at_levels(network: UNet, x: Tensor, levels: int | None = None) -> list[Tensor]:
        laps.mark("optimiser and the rest")
        outputs = forward(network, x, levels)
        laps.mark("forward")
        for output in outputs:
            if output.requires_grad:
                output.register_hook(lambda _gradient: laps.mark("loss"))  # type: ignore[no-untyped-call]
        return outputs

    def whole_backward(loss: Tensor, *args: Any, **kwargs: Any) -> None:
        laps.mark("loss")
        backward(loss, *args, **kwargs)  # type: ignore[no-untyped-call]
        laps.mark("backward")

    with (
        patch.object(PatchSource, "batch", batch),
        patch.object(UNet, "at_levels", at_levels),
        patch.object(Tensor, "backward", whole_backward),
    ):
        yield


def summary(plan: Plan, seconds: Seconds, operations: dict[str, float]) -> dict[str, Any]:
    """Rates, ratios and shares from the medians."""
    middle = {name: median(values) for name, values in seconds.items()}
    probes = [name for name in operations if name.startswith(("float32", "bfloat16"))]
    peaks = {name: operations[name] / middle[name] / 1e9 for name in probes}
    steps = [name for name in middle if name not in probes and ":" not in name]
    parts = {
        name.removeprefix("voxloop: "): value
        for name, value in middle.items()
        if name.startswith("voxloop: ")
    }
    without_batch = middle["voxloop"] - parts["batch"]
    gflop = {name: operations[name] / 1e9 for name in steps if operations.get(name)}
    gflop["voxloop"] = gflop["voxloop network in fp32"]
    peers = [name for name in gflop if not name.startswith("voxloop")]
    return {
        "patch": plan.patch_shape,
        "batch": plan.batch_size,
        "stem": plan.stem,
        "widths": plan.widths,
        "nnunet_patch": nnunet_topology(plan)[2],
        "step_ms": {name: round(1e3 * middle[name], 1) for name in steps},
        "fastest_step_ms": {name: round(1e3 * min(seconds[name]), 1) for name in steps},
        "samples_per_second": {
            name: round(plan.batch_size / middle[name], 3) for name in ("voxloop", *gflop)
        },
        "gflop_per_step": {name: round(value, 2) for name, value in gflop.items()},
        "voxloop_parts_ms": {name: round(1e3 * value, 1) for name, value in parts.items()},
        "voxloop_parts_share": {
            name: round(value / sum(parts.values()), 3) for name, value in parts.items()
        },
        "times_as_long_as_voxloop": {
            name: {
                "batch made in voxloop's step only": round(middle[name] / middle["voxloop"], 2),
                "batch ready for both": round(middle[name] / without_batch, 2),
            }
            for name in peers
        },
        "peak_gflops": {name: round(rate, 1) for name, rate in peaks.items()},
        "voxloop_share_of_peak": shares(gflop["voxloop"], middle["voxloop"], parts, peaks),
    }


def shares(
    gflop: float, step: float, parts: dict[str, float], peaks: dict[str, float]
) -> dict[str, float]:
    """Share of the machine's peaks, in the precision used, of network and whole step."""
    used = "bfloat16" if has_fast_bfloat16(torch.device("cpu")) else "float32"
    network = parts["forward"] + parts["backward"]
    convolution = max(rate for name, rate in peaks.items() if f"{used} conv" in name)
    found = {
        f"network, of the {used} matrix peak": gflop / network / peaks[f"{used} matrix"],
        f"step, of the {used} matrix peak": gflop / step / peaks[f"{used} matrix"],
        f"network, of the best {used} convolution": gflop / network / convolution,
        f"step, of the best {used} convolution": gflop / step / convolution,
    }
    return {name: round(share, 3) for name, share in found.items()}


if __name__ == "__main__":
    main()
