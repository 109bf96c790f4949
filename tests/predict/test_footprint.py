"""Memory is known beforehand, kept under the limit, and hardly depends on a scan's length."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from phantoms import oblique_geometry
from plans import small_plan
from voxloop.compute.memory import GIB
from voxloop.errors import LimitError
from voxloop.model.checkpoint import Checkpoint
from voxloop.model.unet import build_network
from voxloop.plan.plan import Normalisation, Plan
from voxloop.predict.footprint import inference_bytes, plan_footprint
from voxloop.predict.predictor import Predictor
from voxloop.volume.geometry import Geometry
from voxloop.volume.volume import Volume

UNITS = Normalisation("fixed", (-10.0, 10.0), 0.0, 1.0)


class _Bands(torch.nn.Module):
    """Each class has its band of intensities."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.centres = torch.linspace(-2, 2, classes).view(1, -1, 1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.centres).square_().mul_(-20)


def _checkpoint(plan: Plan) -> Checkpoint:
    return Checkpoint(plan, build_network(plan).state_dict(), {})


def _measure() -> None:
    """Run in a process of its own: report the estimate and the peak it came to."""
    labels = {f"label {n}": n for n in range(1, 41)}
    plan = small_plan(labels=labels, patch_shape=(64, 64, 64), normalisation=(UNITS,))
    Checkpoint.network = lambda _self, _device: _Bands(41)  # type: ignore[method-assign, assignment, return-value]
    geometry = Geometry.from_affine((200, 200, 100), np.diag([1.0, 1.0, 2.0, 1.0]))
    array = np.random.default_rng(0).normal(size=geometry.shape).astype(np.float32)
    found = Predictor(_checkpoint(plan), overlap=0.0).segment((Volume(array, geometry),))
    estimate = plan_footprint(geometry, plan, array.nbytes, 4 * GIB).bytes
    sys.stdout.write(f"{estimate} {found.peak_bytes}\n")


def test_the_estimate_is_what_a_process_comes_to_hold() -> None:
    told = subprocess.run(
        [sys.executable, __file__],
        env={"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    estimate, peak = map(int, told.stdout.split())
    assert peak < estimate * 1.05, "a limit that was promised is kept"
    assert estimate == pytest.approx(peak, rel=0.3)


def _ct(slices: int) -> Geometry:
    return Geometry.from_affine((512, 512, slices), np.diag([-0.8, -0.8, 1.0, 1.0]))


def test_a_long_scan_needs_more_for_its_voxels_only() -> None:
    plan = small_plan(
        spacing_mm=(2.5, 2.5, 2.5),
        patch_shape=(64, 64, 64),
        labels={str(n): n for n in range(1, 101)},
    )
    short, long = (plan_footprint(_ct(n), plan, 0, 99 * GIB) for n in (400, 1600))
    assert long.axis == 2, "slabs follow each other along the body"
    voxels = 512 * 512 * 1200
    assert (long.bytes - short.bytes) / voxels < 1.6, "a label, and a prepared voxel in sixteen"


def test_a_hundred_labels_cost_memory_for_a_slab_not_for_the_scan() -> None:
    few, many = (
        inference_bytes(
            _ct(800), small_plan(labels=labels, spacing_mm=(2.5,) * 3, patch_shape=(64,) * 3), 2
        )
        for labels in ({"one": 1}, {str(n): n for n in range(1, 101)})
    )
    assert many < 2 * GIB
    assert few < GIB


def test_half_precision_is_taken_before_a_scan_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = small_plan(labels={str(n): n for n in range(1, 21)}, normalisation=(UNITS,))
    geometry = oblique_geometry((40, 36, 30), (1.0, 1.0, 2.0))
    volume = Volume(np.random.default_rng(0).normal(size=geometry.shape), geometry)
    monkeypatch.setattr(Checkpoint, "network", lambda _self, _device: _Bands(21))
    full = plan_footprint(geometry, plan, volume.array.nbytes, GIB)
    limit = full.bytes - 1
    least = plan_footprint(geometry, plan, volume.array.nbytes, limit)
    assert not full.half
    assert least.half
    one, other = (
        Predictor(_checkpoint(plan), memory_bytes=allowed).segment((volume,)).label_map.array
        for allowed in (full.bytes, limit)
    )
    assert (one != other).mean() < 0.005
    assert (one == other).any()
    with pytest.raises(LimitError, match=r"20 labels needs .* MiB of memory, .*; allow more"):
        Predictor(_checkpoint(plan), memory_bytes=least.bytes - 1).segment((volume,))


def test_every_part_of_the_estimate_counts() -> None:
    plan = small_plan()
    source = oblique_geometry((80, 70, 60), (1.0, 1.0, 2.0))
    least = inference_bytes(source, plan, 0)
    assert inference_bytes(source, plan, 0, uncertainty=True) == least + source.voxel_count
    more = dataclasses.replace(plan, labels={str(n): n for n in range(1, 41)})
    assert inference_bytes(source, more, 0) > least
    assert inference_bytes(source, more, 0, half=True) < inference_bytes(source, more, 0)
    told = plan_footprint(source, plan, 0, GIB), plan_footprint(source, plan, 1000, GIB)
    assert told[1].bytes - told[0].bytes == 1000
    assert plan_footprint(source, plan, 0, GIB, engine="auto").bytes > told[0].bytes


if __name__ == "__main__":
    _measure()
