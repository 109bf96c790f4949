"""From a scan, however it is stored, to labels on its own grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from phantoms import ellipsoid_mask, oblique_geometry
from plans import small_plan
from voxloop.compute.progress import Progress
from voxloop.errors import DataError, LimitError
from voxloop.model.checkpoint import Checkpoint
from voxloop.model.unet import build_network
from voxloop.plan.plan import Normalisation
from voxloop.predict import predictor as predictor_module
from voxloop.predict.options import QUALITIES
from voxloop.predict.predictor import Predictor
from voxloop.volume.geometry import Geometry
from voxloop.volume.volume import Volume

UNITS = Normalisation("fixed", (-10.0, 10.0), 0.0, 1.0)


class _Pointwise(torch.nn.Module):
    """Stands in for a trained network: label 1 above 0.5, label 4 above 2."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([0 * x, 8 * (x - 0.5), 16 * (x - 1.25)], dim=1)


@pytest.fixture
def checkpoint(monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    monkeypatch.setattr(Checkpoint, "network", lambda _self, _device: _Pointwise())
    plan = small_plan(normalisation=(UNITS,))
    return Checkpoint(plan, build_network(plan).state_dict(), {})


def _scan(geometry: Geometry) -> tuple[Volume, np.ndarray[Any, Any]]:
    body = ellipsoid_mask(geometry, (9, 7, 11), (2, -1, 1))
    core = ellipsoid_mask(geometry, (4, 3, 5), (5, -2, 3)) & body
    return Volume(body + 2.0 * core, geometry), np.where(core, 4, body).astype(np.uint8)


ALL_FLIPS = [(a, b, c) for a in (False, True) for b in (False, True) for c in (False, True)]


@pytest.mark.parametrize("flips", ALL_FLIPS)
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 0, 2]])
def test_labels_lie_on_the_scan_they_were_predicted_for(
    checkpoint: Checkpoint, flips: tuple[bool, bool, bool], order: list[int]
) -> None:
    base = oblique_geometry((22, 18, 13), (1.0, 1.0, 2.0), flips=flips)
    matrix = base.matrix.copy()
    matrix[:3, :3] = matrix[:3, order]
    geometry = Geometry.from_affine([base.shape[a] for a in order], matrix)
    scan, expected = _scan(geometry)
    found = Predictor(checkpoint).segment((scan,))
    assert found.label_map.geometry == geometry
    assert found.label_map.labels.to_json() == {"body": 1, "core": 4}
    np.testing.assert_array_equal(found.label_map.array, expected)
    assert set(found.seconds) == {"prepare", "network", "labels"}
    assert found.peak_bytes > 1 << 20


def test_a_scan_of_another_spacing_is_segmented_on_its_own_grid(checkpoint: Checkpoint) -> None:
    geometry = oblique_geometry((34, 30, 12), (0.7, 0.8, 2.6), flips=(True, False, True))
    scan, expected = _scan(geometry)
    found = Predictor(checkpoint).segment((scan,)).label_map
    for value in (1, 4):
        one, other = found.array == value, expected == value
        assert 2 * (one & other).sum() / (one.sum() + other.sum()) > 0.85
    probabilities = Predictor(checkpoint).probabilities_on_grid((scan,))
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-4)
    np.testing.assert_array_equal(np.array([0, 1, 4])[probabilities.argmax(0)], found.array)


def test_an_ensemble_is_the_mean_of_its_members() -> None:
    plan = small_plan()
    members = [Checkpoint(plan, build_network(plan, seed).state_dict(), {}) for seed in (0, 1)]
    geometry = oblique_geometry((9, 8, 5), (1, 1, 2))
    scan = Volume(np.random.default_rng(0).normal(size=geometry.shape), geometry)
    one, other = (Predictor(member).probabilities((scan,))[0] for member in members)
    both, prepared = Predictor(*members).probabilities((scan,))
    np.testing.assert_allclose(both, (one + other) / 2, atol=1e-6)
    assert prepared.source == geometry
    foreign = small_plan(spacing_mm=(2.0, 2.0, 2.0))
    with pytest.raises(ValueError, match="checkpoints of one plan"):
        Predictor(members[0], Checkpoint(foreign, members[1].weights, {}))


def test_a_scan_that_memory_cannot_hold_is_refused_before_the_work(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    geometry = oblique_geometry((9, 8, 5))
    scan = Volume(np.zeros(geometry.shape, np.float32), geometry)
    monkeypatch.setattr("voxloop.compute.memory.available_bytes", lambda: 1000)
    monkeypatch.setattr(predictor_module, "prepare_image", None)
    with pytest.raises(LimitError, match=r"scan of \(9, 8, 5\) voxels with 2 labels needs"):
        Predictor(checkpoint).segment((scan,))


def test_uncertainty_is_the_entropy_on_the_scans_own_grid(checkpoint: Checkpoint) -> None:
    geometry = oblique_geometry((34, 30, 12), (0.7, 0.8, 2.6), flips=(True, False, True))
    scan, _ = _scan(geometry)
    model = Predictor(checkpoint)
    found = model.segment((scan,), uncertainty=True)
    assert found.uncertainty is not None
    assert found.uncertainty.dtype == np.uint8
    p = model.probabilities_on_grid((scan,))
    entropy = -(p * np.log(np.maximum(p, 1e-12))).sum(0) / np.log(3) * 255
    np.testing.assert_allclose(found.uncertainty, entropy, atol=1.5)
    plain = model.segment((scan,))
    assert plain.uncertainty is None
    np.testing.assert_array_equal(plain.label_map.array, found.label_map.array)


def test_several_models_are_asked_together() -> None:
    plan = small_plan()
    members = [Checkpoint(plan, build_network(plan, seed).state_dict(), {}) for seed in (0, 1)]
    geometry = oblique_geometry((20, 18, 9), (1, 1, 2))
    scan = Volume(np.random.default_rng(0).normal(size=geometry.shape), geometry)
    model = Predictor(*members)
    probabilities = model.probabilities_on_grid((scan,))
    found = model.segment((scan,)).label_map.array
    assert (np.array([0, 1, 4])[probabilities.argmax(0)] != found).mean() < 1e-3


def test_best_looks_more_often_and_in_single_precision(checkpoint: Checkpoint) -> None:
    geometry = oblique_geometry((22, 18, 13), (1.0, 1.0, 2.0))
    scan, _ = _scan(geometry)
    tiles: dict[str, list[Progress]] = {}
    for quality in QUALITIES:
        model = Predictor(checkpoint, quality=quality, skip_empty=False)
        found = model.segment((scan,), tiles.setdefault(quality, []).append)
        assert found.engine.startswith("torch-")
    assert found.engine.startswith("torch-fp32")
    fast, default, best = (len(tiles[quality]) for quality in QUALITIES)
    assert fast < default < best


def test_the_channels_must_be_those_of_the_plan(checkpoint: Checkpoint) -> None:
    geometry = oblique_geometry((9, 8, 5))
    scan = Volume(np.zeros(geometry.shape, np.float32), geometry)
    with pytest.raises(DataError, match="expected 1 channels"):
        Predictor(checkpoint).segment((scan, scan))
