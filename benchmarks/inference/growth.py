"""How time and memory grow with a scan's voxels, from 128^3 to 512 x 512 x 800.

    python benchmarks/inference/growth.py

Made-up CTs: an elliptic trunk of noisy tissue in noisy air, 400 mm across and as long as its slices
of 2 mm are many. All are segmented by the model of one plan, that of the 512 x 512 x 200 scan: so
the network sees voxels of one size, and what grows is the body. Random weights as in `full_ct.py`,
whose conventions hold; `exponents` are slopes of logarithm against logarithm of the voxels, over
all sizes and over the sizes of 512 x 512. The result goes to benchmarks/results/growth.json after
every run; a run that was stopped continues.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ct_networks import SEED, ct_plan, decide, seeded_network
from full_ct import CONVENTION, run_in_turn
from ledger import CACHE, RESULTS, Ledger, say

from voxloop.io.formats import write_volume
from voxloop.model.checkpoint import Checkpoint, save_checkpoint
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
    settings = {"shapes": chosen, "labels": arguments.labels, "quality": arguments.quality}
    settings |= {"engine": arguments.engine, "rounds": arguments.rounds, "seed": SEED}
    ledger = Ledger(arguments.out, "benchmarks/inference/growth.py", settings, CONVENTION)
    work = CACHE / "growth"
    model = work / f"model-{arguments.labels}.safetensors"
    work.mkdir(parents=True, exist_ok=True)
    plan = ct_plan(_geometry((512, 512, 200)), arguments.labels)
    network = seeded_network(plan)
    decide(network, plan)
    save_checkpoint(model, Checkpoint(plan, network.state_dict(), {}))
    cells = [
        {
            "name": "x".join(map(str, shape)),
            "scan": str(_scan_file(work, shape)),
            "model": str(model),
            "labels": arguments.labels,
            "weights": "random",
            "quality": arguments.quality,
            "engine": arguments.engine,
            "uncertainty": False,
            "cache": str(work / "engines"),
        }
        for shape in chosen
    ]
    found = run_in_turn(cells, arguments.rounds, ledger)
    for cell, shape in zip(found, chosen, strict=True):
        cell["shape"] = shape
        cell["million_voxels"] = round(float(np.prod(shape)) / 1e6, 2)
    ledger.write(cells=found, exponents=exponents(found))
    for cell in found:
        sys.stdout.write(
            f"{cell['million_voxels']:6.1f} million voxels {cell['seconds']['all']:6.1f} s, "
            f"{cell['peak_gib']:.2f} GiB\n"
        )
    return 0


def exponents(cells: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """How steeply seconds and the peak rise: 1 is in proportion to the voxels."""
    found = {}
    for name, least in (("all sizes", 0), ("512 x 512", 512)):
        rows = [cell for cell in cells if cell["shape"][0] >= least]
        if len(rows) < 2:
            continue
        voxels = np.log([row["million_voxels"] for row in rows])
        seconds = np.log([row["seconds"]["all"] for row in rows])
        peak = np.log([row["peak_gib"] for row in rows])
        found[name] = {
            "seconds": round(float(np.polyfit(voxels, seconds, 1)[0]), 3),
            "peak_gib": round(float(np.polyfit(voxels, peak, 1)[0]), 3),
        }
    return found


def _scan_file(work: Path, shape: tuple[int, int, int]) -> Path:
    """Made once."""
    folder = work / "x".join(map(str, shape))
    if not (folder / "scan.nii.gz").exists():
        say(f"making a scan of {shape}")
        folder.mkdir(parents=True, exist_ok=True)
        write_volume(folder / "scan.nii.gz", trunk(shape))
    return folder / "scan.nii.gz"


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
    parser.add_argument("--out", type=Path, default=RESULTS / "growth.json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
