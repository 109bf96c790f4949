"""A scan finer than the network's grid is labelled at its own resolution, where memory allows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from phantoms import oblique_geometry
from plans import small_plan
from voxloop.compute.memory import GIB
from voxloop.model.checkpoint import Checkpoint
from voxloop.model.unet import build_network
from voxloop.plan.plan import Normalisation, Plan
from voxloop.plan.preprocess import plan_grid
from voxloop.predict.footprint import plan_footprint
from voxloop.predict.keeping import Seen, kept_bytes
from voxloop.predict.predictor import Predictor
from voxloop.predict.refine.detail import CoarseView, refine_labels
from voxloop.volume.geometry import Geometry
from voxloop.volume.volume import Volume

AS_IT_IS = Normalisation("fixed", (-9.0, 9.0), 0.0, 1.0)
SPACING_MM = (0.4, 0.4, 0.5)


class _Bright(torch.nn.Module):
    """A cell is as probably a structure as the last channel is bright."""

    def forward(self, x: Tensor) -> Tensor:
        bright = x[:, 1:2] if x.shape[1] > 1 else x[:, :1]
        chance = bright.clamp(0.001, 0.999)
        never = torch.full_like(chance, -20.0)
        return torch.cat([(1 - chance).log(), chance.log(), never], dim=1)


@pytest.fixture(autouse=True)
def _no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Checkpoint, "network", lambda _self, _device: _Bright())


def _plan(channels: int = 1) -> Plan:
    return small_plan(
        spacing_mm=(1.6, 1.6, 1.5),
        channel_names=tuple(f"channel {n}" for n in range(channels)),
        normalisation=(AS_IT_IS,) * channels,
        patch_shape=(16, 16, 8),
    )


def _checkpoint(channels: int = 1) -> Checkpoint:
    plan = _plan(channels)
    return Checkpoint(plan, build_network(plan).state_dict(), {})


def _wall(geometry: Geometry) -> npt.NDArray[np.bool_]:
    """A shell 1 mm thick: less than one of the network's cells."""
    centre = geometry.to_world([(np.array(geometry.shape) - 1) / 2])[0]
    place = geometry.to_world(np.argwhere(np.ones(geometry.shape, dtype=bool)))
    radius = np.linalg.norm(place - centre, axis=1).reshape(geometry.shape)
    return np.asarray(np.abs(radius - 7.0) < 0.5)


@pytest.fixture
def scan() -> Volume:
    geometry = oblique_geometry((56, 52, 44), SPACING_MM)
    noise = np.random.default_rng(0).normal(0, 0.05, geometry.shape)
    return Volume((_wall(geometry) + noise).astype(np.float32), geometry)


def _dice(found: npt.NDArray[np.uint8], truth: npt.NDArray[np.bool_]) -> float:
    return float(2 * ((found == 1) & truth).sum() / ((found == 1).sum() + truth.sum()))


def test_a_wall_thinner_than_a_cell_is_found_at_the_scans_resolution(scan: Volume) -> None:
    truth = _wall(scan.geometry)
    found = Predictor(_checkpoint(), skip_empty=False).segment((scan,))
    fast = Predictor(_checkpoint(), skip_empty=False, quality="fast").segment((scan,))
    assert _dice(fast.label_map.array, truth) < 0.6, "the network's grid alone loses it"
    assert _dice(found.label_map.array, truth) > 0.95
    assert found.seen is None, "what nobody asked for is not held"
    assert not found.remark


def test_a_scan_of_the_networks_resolution_is_left_as_it_was(scan: Volume) -> None:
    plain = scan.geometry.resampled((1.6, 1.6, 1.5))
    volume = Volume(np.ascontiguousarray(scan.array[::4, ::4, ::3][: plain.shape[0]]),
                    Geometry.from_affine((14, 13, 15), plain.matrix))  # fmt: skip
    default, fast = (
        Predictor(_checkpoint(), overlap=0.5, quality=word, skip_empty=False).segment((volume,))
        for word in ("default", "fast")
    )
    np.testing.assert_array_equal(default.label_map.array, fast.label_map.array)


def test_the_channel_that_shows_the_structure_leads(scan: Volume) -> None:
    blank = Volume(
        np.random.default_rng(1).normal(0, 1, scan.array.shape).astype(np.float32), scan.geometry
    )
    found = Predictor(_checkpoint(2), skip_empty=False).segment((blank, scan))
    assert _dice(found.label_map.array, _wall(scan.geometry)) > 0.9


def test_what_is_kept_is_what_the_labels_were_made_of(scan: Volume) -> None:
    predictor = Predictor(_checkpoint(), skip_empty=False)
    found = predictor.segment((scan,), uncertainty=True, keep=True)
    assert found.seen is not None
    assert found.uncertainty is not None
    truth, prepared = predictor.probabilities((scan,))
    np.testing.assert_allclose(found.seen.probabilities, truth, atol=1e-3)
    np.testing.assert_array_equal(found.seen.prepared.array, prepared.array)
    view = CoarseView(truth, prepared.array[0], prepared.grid, prepared.source, (1, 4))
    expected = refine_labels(scan.array, view)
    assert (found.label_map.array != expected).mean() < 1e-3, "half precision may turn a tie"


def test_too_little_memory_costs_the_detail_and_says_so(scan: Volume) -> None:
    plan, held = _plan(), scan.array.nbytes
    most = plan_footprint(scan.geometry, plan, held, GIB, keep=True)
    least = plan_footprint(scan.geometry, plan, held, GIB)
    assert most.keep
    grid = plan_grid(scan.geometry, plan)
    assert most.bytes - least.bytes == kept_bytes(3, grid.voxel_count)
    limit = plan_footprint(scan.geometry, plan, held, least.bytes - 1).bytes
    found = Predictor(_checkpoint(), skip_empty=False, memory_bytes=limit).segment(
        (scan,), keep=True
    )
    assert "too little memory to follow the scan's own detail" in found.remark
    assert found.seen is None
    assert found.label_map.array.shape == scan.array.shape


def test_a_precision_asked_for_by_name_is_kept_at_best_quality() -> None:
    names = {
        engine: Predictor(_checkpoint(), quality="best", engine=engine).engines[0].name
        for engine in ("auto", "torch", "torch-bf16")
    }
    assert names == {"auto": "torch-fp32", "torch": "torch-fp32", "torch-bf16": "torch-bf16"}


def test_seen_is_half_the_size_of_single_precision(scan: Volume) -> None:
    found = Predictor(_checkpoint()).segment((scan,), keep=True)
    assert isinstance(found.seen, Seen)
    assert found.seen.probabilities.dtype == np.float16
    sums = found.seen.probabilities.astype(np.float32).sum(axis=0)
    np.testing.assert_allclose(sums, 1, atol=2e-3)
