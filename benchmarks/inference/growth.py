"""How time and memory grow with a scan's voxels, from 128^3 to 512 x 512 x 800.

    python benchmarks/inference/growth.py > benchmarks/results/inference_growth.json

Made-up CTs: an elliptic trunk of noisy tissue in noisy air, 400 mm across and as long as its slices
of 2 mm are many. All are segmented by the model of one plan, that of the 512 x 512 x 200 scan: so
the network sees voxels of one size, and what grows is the body. Random weights as in `full_ct.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from full_ct import ct_plan, decide, machine, run_in_turn

from voxloop.io.formats import write_volume
from voxloop.model.checkpoint import Checkpoint, save_checkpoint
from voxloop.model.unet import build_network
from voxloop.volume.geometry import Geometry
from voxloop.volume.volume import Volume

SHAPES = (
    (128, 128, 128),
    (256, 256, 128),
    (512, 512, 100),
    (512, 512, 200),
    (512, 512, 400),
    (512, 512, 800),
)
_ACROSS_MM = 400.0
_SLICE_MM = 2.0


def main() -> int:
    """Run every size and print one JSON document."""
    arguments = _arguments()
    chosen = [shape for shape in SHAPES if np.prod(shape) <= arguments.largest * 1e6]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        model = work / "model.safetensors"
        plan = ct_plan(_geometry((512, 512, 200)), arguments.labels)
        network = build_network(plan)
        decide(network)
        save_checkpoint(model, Checkpoint(plan, network.state_dict(), {}))
        cells = []
        for number, shape in enumerate(chosen):
            (work / str(number)).mkdir()
            scan = work / str(number) / "scan.nii.gz"
            write_volume(scan, trunk(shape))
            cells.append(
                {
                    "scan": str(scan),
                    "model": str(model),
                    "labels": arguments.labels,
                    "quality": arguments.quality,
                    "engine": arguments.engine,
                    "uncertainty": False,
                }
            )
        found = run_in_turn(cells, arguments.rounds)
    for cell, shape in zip(found, chosen, strict=True):
        cell["shape"] = shape
        cell["million_voxels"] = round(float(np.prod(shape)) / 1e6, 2)
    sys.stdout.write(json.dumps({"machine": machine(), "cells": found}, indent=1) + "\n")
    return 0


def trunk(shape: tuple[int, int, int]) -> Volume:
    """A noisy elliptic cylinder in noisy air."""
    geometry = _geometry(shape)
    rng = np.random.default_rng(0)
    across = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape[:2]), indexing="ij")
    body = (across[0] / 0.85) ** 2 + (across[1] / 0.6) ** 2 < 1
    array = np.empty(shape, dtype=np.int16, order="F")
    for k in range(shape[2]):
        noise = rng.normal(0, 25, shape[:2])
        array[:, :, k] = np.where(body, 40 + 40 * np.sin(k / 9 + 5 * across[0]), -1000) + noise
    return Volume(array, geometry)


def _geometry(shape: tuple[int, int, int]) -> Geometry:
    i, j = (_ACROSS_MM / n for n in shape[:2])
    return Geometry.from_affine(shape, np.diag([-i, -j, _SLICE_MM, 1.0]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, default=5)
    parser.add_argument("--quality", default="default")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--largest", type=float, default=1e9, help="million voxels at most")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
