"""No time is spent on air, and nothing is lost by that."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from phantoms import ellipsoid_mask, oblique_geometry
from plans import small_plan
from voxloop.compute.progress import Progress
from voxloop.model.checkpoint import Checkpoint
from voxloop.model.unet import build_network
from voxloop.plan.plan import Normalisation, Plan
from voxloop.plan.preprocess import plan_grid
from voxloop.predict.body import Body, find_body
from voxloop.predict.predictor import Predictor
from voxloop.volume.boxes import Box
from voxloop.volume.geometry import Geometry
from voxloop.volume.volume import Volume

CT = Normalisation("fixed", (-200.0, 300.0), 0.0, 100.0)
FLIPS = (True, False, True)


class _Bright(torch.nn.Module):
    """Label 1 above 0.5, label 4 above 1.5."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([0 * x, 30 * (x - 0.5), 60 * (x - 1.0)], dim=1)


@pytest.fixture
def ct_model(monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    monkeypatch.setattr(Checkpoint, "network", lambda _self, _device: _Bright())
    return _model(small_plan(normalisation=(CT,), spacing_mm=(5.0, 5.0, 5.0)))


def _model(plan: Plan) -> Checkpoint:
    return Checkpoint(plan, build_network(plan).state_dict(), {})


def _patient(geometry: Geometry) -> npt.NDArray[np.float32]:
    """A trunk cut above and below, with a lung and a windpipe that end at the cut, and bones."""
    rng = np.random.default_rng(0)
    array = np.full(geometry.shape, -1000.0) + rng.normal(0, 30, geometry.shape)
    array[ellipsoid_mask(geometry, (110, 80, 9999))] = 0
    array[ellipsoid_mask(geometry, (40, 40, 9999), (40, 0, 0))] = -850
    array[ellipsoid_mask(geometry, (12, 12, 9999), (0, -20, 0))] = -1000
    array[ellipsoid_mask(geometry, (14, 14, 60), (-50, 10, 0))] = 250
    return array.astype(np.float32)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_air_within_the_body_is_inside_even_where_the_scan_cuts_it(order: list[int]) -> None:
    base = oblique_geometry((80, 70, 24), (4.0, 4.0, 6.0), (0.1, -0.05, 0.1), FLIPS)
    matrix = base.matrix.copy()
    matrix[:3, :3] = matrix[:3, order]
    geometry = Geometry.from_affine([base.shape[a] for a in order], matrix)
    array = _patient(geometry)
    plan = small_plan(normalisation=(CT,), spacing_mm=(5.0, 5.0, 5.0))
    body = find_body((Volume(array, geometry),), plan)
    assert body is not None
    shown = body.cells
    for axis, size in enumerate(body.size):
        shown = shown.repeat(size, axis=axis)
    shown = shown[tuple(slice(n) for n in geometry.shape)]
    trunk = ellipsoid_mask(geometry, (110, 80, 9999))
    assert shown[trunk].all()
    assert (~shown).mean() > 0.15
    reach = ellipsoid_mask(geometry, (110 + 45, 80 + 45, 9999))
    assert not (shown & ~reach).any(), "the margin is a few centimetres"


def test_skipped_air_is_background_and_saves_tiles(ct_model: Checkpoint) -> None:
    geometry = oblique_geometry((120, 110, 24), (4.0, 4.0, 6.0), (0, 0, 0), FLIPS)
    volume = Volume(_patient(geometry), geometry)
    tiles: dict[bool, list[Progress]] = {True: [], False: []}
    found = {
        skip: Predictor(ct_model, skip_empty=skip).segment((volume,), tiles[skip].append)
        for skip in tiles
    }
    np.testing.assert_array_equal(found[True].label_map.array, found[False].label_map.array)
    assert set(np.unique(found[True].label_map.array)) == {0, 1, 4}
    assert len(tiles[True]) == tiles[True][-1].total < 0.6 * len(tiles[False])


def test_boxes_of_another_grid_are_told_to_touch_the_body() -> None:
    source = oblique_geometry((40, 30, 20), (2.0, 2.0, 4.0), flips=FLIPS)
    cells = np.zeros((10, 10, 10), dtype=bool)
    cells[3, 4, 5] = True
    body = Body(cells, (4, 3, 2), source)
    grid = plan_grid(source, small_plan(spacing_mm=(2.0, 2.0, 4.0)))
    box = body.box(grid)
    assert box.shape == (4, 3, 2)
    assert body.touches(box, grid)
    assert body.touches(box.padded(1, grid.shape), grid)
    i, j, k = box.start
    assert not body.touches(Box((i - 5, j, k), (i, j + 3, k + 2)), grid)
    assert not body.touches(Box((-8, -8, -8), (i, j, k)), grid)
    assert body.touches(Box((-8, -8, -8), (i + 1, j + 1, k + 1)), grid)


def _scan(array: npt.NDArray[Any]) -> tuple[Volume, ...]:
    return (Volume(array, oblique_geometry(array.shape, (4.0, 4.0, 4.0), flips=FLIPS)),)


def test_of_a_scan_without_units_nothing_is_skipped_but_what_was_masked() -> None:
    rng = np.random.default_rng(0)
    noise = rng.uniform(5, 15, (40, 40, 40)).astype(np.float32)
    plan = small_plan()
    # a phantom whose structure is a faint rod in noisy air
    rod = noise.copy()
    rod[:, 4:6, 4:6] += 5
    assert find_body(_scan(rod), plan) is None
    masked = np.zeros_like(noise)
    masked[:, 10:30, 10:30] = noise[:, 10:30, 10:30]
    masked[:, 36, 36] = 1  # however thin
    body = find_body(_scan(masked), plan)
    assert body is not None
    assert not body.cells.all()
    assert body.cells[:, 36 // 2, 36 // 2].all()
    two = small_plan(channel_names=("A", "B"), normalisation=(Normalisation("volume"),) * 2)
    assert find_body((*_scan(masked), *_scan(noise)), two) is None


def test_a_scan_that_is_all_air_or_all_body_is_looked_at_as_a_whole() -> None:
    plan = small_plan(normalisation=(CT,))
    assert find_body(_scan(np.full((9, 8, 7), -1000, np.int16)), plan) is None
    assert find_body(_scan(np.full((9, 8, 7), 40, np.int16)), plan) is None
