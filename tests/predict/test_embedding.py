"""Features of the network on cells that lie where the scan's voxels lie."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from phantoms import oblique_geometry
from plans import small_plan
from voxloop.model.checkpoint import Checkpoint
from voxloop.model.unet import UNet, build_network
from voxloop.plan.plan import Normalisation, Plan
from voxloop.plan.preprocess import prepare_image
from voxloop.predict.embedding import cell_shape, coarse_grid, network_features
from voxloop.predict.predictor import Predictor
from voxloop.volume.geometry import Geometry
from voxloop.volume.volume import Volume

DEEP: dict[str, Any] = {
    "strides": ((2, 2, 1), (2, 2, 2)),
    "widths": (4, 8, 8),
    "patch_shape": (16, 16, 8),
}
UNITS = (Normalisation("fixed", (-9.0, 9.0)),)


@pytest.fixture(autouse=True)
def _full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("model.device", "predict.engines.torch_engine"):
        monkeypatch.setattr(f"voxloop.{module}.has_fast_bfloat16", lambda _: False)


def deep_plan(**changes: Any) -> Plan:
    plan: Plan = small_plan(**{**DEEP, "normalisation": UNITS, **changes})
    return plan


def predictor(plan: Plan) -> Predictor:
    return Predictor(Checkpoint(plan, build_network(plan, 1).state_dict(), {}))


def noise(geometry: Geometry, seed: int = 0) -> Volume:
    return Volume(np.random.default_rng(seed).normal(size=geometry.shape), geometry)


@pytest.mark.parametrize("shape", [(32, 24, 12), (33, 21, 9), (5, 6, 3)])
def test_features_span_the_scan_in_cells_of_the_level(shape: tuple[int, int, int]) -> None:
    model = predictor(deep_plan())
    volume = noise(oblique_geometry(shape, (1.0, 1.0, 2.0)))
    found = model.features_on_grid((volume,))
    assert found.dtype == np.float32
    assert found.shape == (
        8,
        *(max(1, round(n / c)) for n, c in zip(shape, (2, 2, 1), strict=True)),
    )
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, model.features_on_grid((volume,)))
    other = model.features_on_grid((noise(volume.geometry, 1),))
    assert np.abs(other - found).max() > 0.1, "another scan has other features"


class Pooled(nn.Module):
    """Stands in for a network: the features of a cell are the means of its voxels."""

    def __init__(self, cell: tuple[int, int, int]) -> None:
        super().__init__()
        self.decoder = nn.ModuleList([nn.AvgPool3d(cell)])
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.decoder[0](x))


@pytest.mark.parametrize("world", [0, 1, 2])
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 2.0), (0.8, 1.3, 2.5)])
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_a_cells_features_are_those_of_the_place_it_spans(
    order: list[int], spacing_mm: tuple[float, float, float], world: int
) -> None:
    base = oblique_geometry((41, 38, 23), spacing_mm, flips=(True, False, True))
    matrix = base.matrix.copy()
    matrix[:3, :3] = matrix[:3, order]
    geometry = Geometry.from_affine([base.shape[a] for a in order], matrix)
    places = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    coordinate = geometry.to_world(places.reshape(-1, 3))[:, world].reshape(geometry.shape)
    plan = deep_plan(normalisation=(Normalisation("fixed", (-1e4, 1e4)),))
    prepared = prepare_image((Volume(coordinate, geometry),), plan)
    network = cast("UNet", Pooled(cell_shape(plan)))
    found = network_features(network, prepared, plan)[0]
    sizes = zip(geometry.shape, found.shape, strict=True)
    middles = [(np.arange(count) + 0.5) * n / count - 0.5 for n, count in sizes]
    cells = np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1)
    expected = geometry.to_world(cells.reshape(-1, 3))[:, world].reshape(found.shape)
    inner = (slice(2, -2),) * 3  # the scan is continued, not extrapolated, at its border
    np.testing.assert_allclose(found[inner], expected[inner], atol=0.02)


def test_cells_meet_the_scans_outer_faces() -> None:
    source = oblique_geometry((31, 22, 13), (0.7, 0.9, 2.5), flips=(True, False, False))
    grid = source.canonical().resampled((1.0, 1.0, 2.0))
    cells = coarse_grid(source, grid, (4, 4, 2))
    assert cells.shape == (5, 5, 8)
    first, last = np.full(3, -0.5), np.array(cells.shape) - 0.5
    np.testing.assert_allclose(cells.to_world([first]), source.to_world([[-0.5] * 3]), atol=1e-9)
    far = source.to_world([np.array(source.shape) - 0.5])
    np.testing.assert_allclose(cells.to_world([last]), far, atol=1e-9)


def test_tiles_agree_with_one_large_tile_away_from_borders() -> None:
    volume = noise(oblique_geometry((48, 48, 24), (1.0, 1.0, 2.0), (0, 0, 0)))
    tiled, whole = (
        predictor(deep_plan(patch_shape=patch)).features_on_grid((volume,))[:, 8:-8, 8:-8, 8:-8]
        for patch in ((32, 32, 16), (48, 48, 24))
    )
    assert (
        np.corrcoef(tiled.ravel(), whole.ravel())[0, 1] > 0.95
    )  # each tile is normalised by itself
    plan = deep_plan(patch_shape=(8, 8, 4))
    prepared = prepare_image((volume,), plan)
    network = cast("UNet", Pooled((2, 2, 1)))
    exact = prepared.array[0].reshape(24, 2, 24, 2, 24).mean(axis=(1, 3))
    np.testing.assert_allclose(network_features(network, prepared, plan)[0], exact, atol=1e-5)


def test_a_network_of_one_level_gives_its_encoders_features() -> None:
    plan = small_plan(strides=(), widths=(4,))
    assert cell_shape(plan) == (1, 1, 1)
    network = build_network(plan)
    prepared = prepare_image((noise(oblique_geometry((9, 8, 5), (1.0, 1.0, 2.0))),), plan)
    assert network_features(network, prepared, plan).shape == (4, 9, 8, 5)
    assert not network.encoder[-1]._forward_hooks


def test_folded_voxels_and_position_channels_belong_to_the_cells() -> None:
    plan = deep_plan(stem=(2, 2, 1), use_position=True)
    assert cell_shape(plan) == (4, 4, 1)
    found = predictor(plan).features_on_grid((noise(oblique_geometry((16, 16, 8), (1, 1, 2))),))
    assert found.shape == (8, 4, 4, 8)
