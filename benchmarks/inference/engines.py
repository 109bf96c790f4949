"""Time every engine on a patch of a network, beside the machine's peak, and compare label maps.

For each network (the widths and stem that the planner gives a full-size CT, and a hippocampus) a
short training on made-up tiles makes the label map mean something. Then the engines and the peak
probes (matrix products and 3-D convolutions, in both precisions) take turns; figures are medians
over the rounds. Operations are two for each multiply-add of all (transposed) convolutions.
Disagreement is the share of voxels of a tile never seen in training whose label is not that of
PyTorch in fp32. The result goes to benchmarks/results/engines.json after each network.

    python benchmarks/inference/engines.py

int8 is no engine of Voxloop: quantised after training (NNCF 3.4, whose numpy is older than the
project's), a network of this kind ran 1.6 times as fast as in bfloat16, and 3.3 % of the voxels
got another label, twenty times as many. `--int8` measures it again, in an environment that has
nncf; without it the document quotes that earlier measurement, marked as such.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from ct_networks import ct_plan
from ledger import RESULTS, Ledger, say
from torch import nn
from torch.nn import functional
from torch.nn.modules import module as hooks

from voxloop.errors import MissingExtraError
from voxloop.model.checkpoint import Checkpoint
from voxloop.model.device import has_fast_bfloat16
from voxloop.model.portable import as_openvino, import_openvino
from voxloop.model.unet import build_network
from voxloop.plan.plan import Plan
from voxloop.predict.engines.choose import open_engine
from voxloop.predict.engines.engine import Engine, Float32Array, in_blocks
from voxloop.predict.engines.onnx_engine import OnnxEngine
from voxloop.predict.engines.openvino_engine import OpenVinoEngine
from voxloop.predict.engines.torch_engine import TorchEngine
from voxloop.predict.engines.verify import compare, sample_tile
from voxloop.volume.geometry import Geometry

SCANS: dict[str, tuple[tuple[int, int, int], tuple[float, float, float]]] = {
    "CT": ((512, 512, 200), (0.75, 0.75, 1.25)),
    "hippocampus": ((36, 51, 36), (1.0, 1.0, 1.0)),
    "tiny": ((16, 16, 16), (1.0, 1.0, 1.0)),
}
"""Voxels and spacing in mm of a scan; its plan says what the network is."""

EARLIER_INT8 = {
    "measured": False,
    "why_not_taken": "3.3 % of the voxels get another label; nncf needs numpy below 2.5",
    "earlier_measurement": {
        "what": "plain U-Net of widths 16 to 256 on 128^3, NNCF 3.4 post-training, 4 volumes",
        "ms_per_patch": 191,
        "bf16_ms_per_patch": 315,
        "differing": 0.0329,
        "bf16_differing": 0.00158,
    },
}
MATRIX = 4096
SEED = 0
CONVENTION = (
    "medians over the repeats, engines and probes in turn; two operations for each multiply-add; "
    "differing: share of a tile's voxels with another label than PyTorch in fp32; "
    "processor_share: of all threads, what this process got, 1 on a quiet machine"
)
CONVOLUTIONS = ((256, 16), (128, 24), (64, 32))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SCANS, default=["CT", "hippocampus"])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--steps", type=int, default=40, help="of the short training")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--matrix", type=int, default=MATRIX, help="edge of the peak's matrices")
    parser.add_argument("--out", type=Path, default=RESULTS / "engines.json")
    parser.add_argument("--int8", action="store_true", help="measure int8; needs nncf")
    arguments = parser.parse_args()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the table is one of a CPU
    torch.set_num_threads(arguments.threads)
    settings = {"repeats": arguments.repeats, "steps": arguments.steps, "matrix": arguments.matrix}
    settings |= {"threads": arguments.threads, "int8": arguments.int8, "seed": SEED}
    ledger = Ledger(arguments.out, "benchmarks/inference/engines.py", settings, CONVENTION)
    for name in arguments.only:
        key = {"network": name}
        row = ledger.row(key, partial(measure, name, arguments))
        for engine, line in row["engines"].items():
            sys.stdout.write(
                f"{name:12s} {engine:16s} {line['ms_per_patch']:9.2f} ms, {line['gflops']:7.1f} "
                f"GFLOP/s, {100 * line['share_of_matrix_peak']:3.0f} % of the peak, "
                f"{100 * line['differing']:.3f} % differ\n"
            )


def measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The table of one network."""
    load, began, used = os.getloadavg()[0], time.perf_counter(), time.process_time()
    plan = plan_of(name)
    checkpoint = briefly_trained(plan, arguments.steps)
    gflop = operations(plan) / 1e9
    started = time.perf_counter()
    engines = engines_of(checkpoint)
    int8 = quantised(checkpoint) if arguments.int8 else None
    if int8 is not None:
        engines.append(int8)
    made_s = time.perf_counter() - started
    tile = sample_tile(plan, 99)
    truth = engines[0].logits(tile)
    probes = peak_probes(arguments.matrix)
    seconds: dict[str, list[float]] = {}
    for repeat in range(arguments.repeats + 1):
        turns: list[tuple[str, Callable[[], object]]] = [(e.name, at(e, tile)) for e in engines]
        turns += [(label, run) for label, (run, _) in probes.items()]
        for label, run in turns:
            start = time.perf_counter()
            run()
            if repeat:  # the first round warms up
                seconds.setdefault(label, []).append(time.perf_counter() - start)
    rates = {label: work / median(seconds[label]) / 1e9 for label, (_, work) in probes.items()}
    chosen = open_engine(checkpoint)
    share = (time.process_time() - used) / (time.perf_counter() - began) / arguments.threads
    return {
        "load_at_start": round(load, 2),
        "processor_share": round(share, 2),
        "bfloat16": has_fast_bfloat16(torch.device("cpu")),
        "patch": plan.patch_shape,
        "stem": plan.stem,
        "widths": plan.widths,
        "gflop_per_patch": round(gflop, 2),
        "peak_gflops": {label: round(rate, 1) for label, rate in rates.items()},
        "engines": {
            e.name: row(seconds[e.name], gflop, rates, compare(truth, e.logits(tile)).to_json())
            for e in engines
        },
        "int8": {"measured": True} if int8 is not None else EARLIER_INT8,
        "made_ready_s": round(made_s, 1),
        "auto": chosen.to_json(),
    }


def row(
    seconds: list[float], gflop: float, rates: dict[str, float], agreement: dict[str, float]
) -> dict[str, Any]:
    """One engine's line; shares are of the best matrix product and convolution, any precision."""
    rate = gflop / median(seconds)
    matrix = max(value for label, value in rates.items() if "matrix" in label)
    convolution = max(value for label, value in rates.items() if "convolution" in label)
    return {
        "ms_per_patch": round(1e3 * median(seconds), 2),
        "fastest_ms": round(1e3 * min(seconds), 2),
        "gflops": round(rate, 1),
        "share_of_matrix_peak": round(rate / matrix, 3),
        "share_of_best_convolution": round(rate / convolution, 3),
        **{key: float(f"{value:.3g}") for key, value in agreement.items()},
    }


def plan_of(name: str) -> Plan:
    """The plan of such a scan, four labels and a position channel, which makes sides learnable."""
    shape, spacing_mm = SCANS[name]
    geometry = Geometry.from_affine(shape, np.diag([*spacing_mm, 1.0]))
    return dataclasses.replace(ct_plan(geometry, 4), use_position=True)


def briefly_trained(plan: Plan, steps: int) -> Checkpoint:
    """A network that tells brightness and sides of made-up tiles apart, roughly."""
    torch.manual_seed(SEED)
    network = build_network(plan)
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    for step in range(steps):
        tile = torch.from_numpy(sample_tile(plan, step))
        bright, side = tile[:, 0], tile[:, 1]
        target = torch.where(bright > -1.5, torch.where(side > 0, 1, 2), 0)
        target = torch.where(bright > 0.3, torch.where(side > 0, 3, 4), target)
        with torch.autocast("cpu", torch.bfloat16, has_fast_bfloat16(torch.device("cpu"))):
            logits = network(tile)
        loss = functional.cross_entropy(logits.float(), target)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % 10 == 9:
            say(f"step {step + 1} of {steps}, loss {loss.item():.3f}")
    return Checkpoint(plan, network.state_dict(), {})


def engines_of(checkpoint: Checkpoint) -> list[Engine]:
    """All that can be made here, the reference first."""
    makers: list[Callable[[], Engine]] = [lambda: TorchEngine(checkpoint, "fp32")]
    fast = has_fast_bfloat16(torch.device("cpu"))
    if fast:
        makers.append(lambda: TorchEngine(checkpoint, "bf16"))
    makers.append(lambda: OnnxEngine(checkpoint))
    makers.append(lambda: OpenVinoEngine(checkpoint, "fp32"))
    if fast:
        makers.append(lambda: OpenVinoEngine(checkpoint, "bf16"))
    engines: list[Engine] = []
    for make in makers:
        try:
            engines.append(make())
        except MissingExtraError:
            continue
    return engines


class Quantised:
    """OpenVINO with convolutions in int8, the rest in the fastest precision."""

    name = "openvino-int8"

    def __init__(self, model: Any, plan: Plan) -> None:
        self._plan, self.stem = plan, plan.stem
        settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "NUM_STREAMS": 1}
        compiled = import_openvino().Core().compile_model(model, "CPU", settings)
        self._request = compiled.create_infer_request()

    def logits(self, tile: Float32Array) -> Float32Array:
        """Logits of a tile."""
        return in_blocks(self._request.infer([tile])[0].copy(), self._plan)


def quantised(checkpoint: Checkpoint) -> Engine:
    """Calibrated on four made-up tiles."""
    import nncf  # type: ignore[import-not-found] # lives in an environment of its own

    plan = checkpoint.plan
    network = checkpoint.network(torch.device("cpu"))
    model = as_openvino(network, plan.input_channels, plan.patch_shape, folded=True)
    tiles = [sample_tile(plan, seed) for seed in range(4)]
    quantised = nncf.quantize(model, nncf.Dataset(tiles), subset_size=len(tiles))
    return Quantised(quantised, plan)


def at(engine: Engine, tile: Float32Array) -> Callable[[], object]:
    """One pass of an engine."""
    return lambda: engine.logits(tile)


def peak_probes(matrix: int) -> dict[str, tuple[Callable[[], object], float]]:
    """What bounds the machine: a matrix product and convolutions, with their operations."""
    probes: dict[str, tuple[Callable[[], object], float]] = {}
    fast = has_fast_bfloat16(torch.device("cpu"))
    for dtype in (torch.float32, *((torch.bfloat16,) if fast else ())):
        name = str(dtype).removeprefix("torch.")
        a = torch.randn(matrix, matrix).to(dtype)
        probes[f"{name} matrix"] = (lambda a=a: a @ a, 2.0 * matrix**3)  # type: ignore[misc]
        for channels, edge in CONVOLUTIONS:
            layout = torch.channels_last_3d
            x = (
                torch.randn(1, channels, edge, edge, edge)
                .to(dtype)
                .contiguous(memory_format=layout)
            )
            w = torch.randn(channels, channels, 3, 3, 3).to(dtype).contiguous(memory_format=layout)

            def run(x: torch.Tensor = x, w: torch.Tensor = w) -> torch.Tensor:
                with torch.inference_mode():
                    return functional.conv3d(x, w, padding=1)

            work = 2.0 * 27 * channels**2 * edge**3
            probes[f"{name} convolution {channels} x {edge}^3"] = (run, work)
    return probes


def operations(plan: Plan) -> float:
    """Of one patch: two for each multiply-add of all (transposed) convolutions."""
    total = [0.0]

    def count(layer: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
            maps = output if isinstance(layer, nn.Conv3d) else inputs[0]
            voxels = maps.shape[0] * int(np.prod(maps.shape[2:]))
            total[0] += 2.0 * layer.weight.numel() * voxels

    handle = hooks.register_module_forward_hook(count)
    try:
        with torch.inference_mode():
            build_network(plan)(torch.zeros(1, plan.input_channels, *plan.patch_shape))
    finally:
        handle.remove()
    return total[0]


if __name__ == "__main__":
    main()
