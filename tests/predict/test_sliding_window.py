"""Tile by tile the same as all at once, wherever that can be known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from plans import small_plan
from voxloop.compute.progress import Progress
from voxloop.predict.sliding_window import class_probabilities

SPACING = (1.0, 1.0, 2.0)


@pytest.fixture(autouse=True)
def _full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxloop.model.device.has_fast_bfloat16", lambda _: False)


class Pointwise(nn.Module):
    """Logits that depend on a voxel's own value and channel only."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.arange(classes).float())
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.shapes.append(tuple(x.shape))
        return x[:, -1:] * self.scale.view(1, -1, 1, 1, 1)


class Place(nn.Module):
    """Logits that depend on the place within the tile: blending would show."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        ramp = torch.arange(x.shape[2]).view(1, 1, -1, 1, 1).expand(1, 1, *x.shape[2:]).float()
        return torch.cat([ramp, 0 * ramp, 0 * ramp], dim=1)


def _expected(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    logits = torch.from_numpy(values)[None] * torch.arange(3).view(3, 1, 1, 1)
    return np.asarray(torch.softmax(logits, 0).numpy())


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(1, 20)] * 3), st.floats(0, 0.8))
def test_seams_never_show(shape: tuple[int, int, int], overlap: float) -> None:
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    network = Pointwise()
    found = class_probabilities(network, image, small_plan(), SPACING, overlap=overlap)
    np.testing.assert_allclose(found, _expected(image[0]), rtol=1e-5, atol=1e-6)
    assert set(network.shapes) == {(1, 1, 8, 8, 4)}, "also where the scan is smaller than a tile"


def test_a_constant_network_gives_exactly_its_constant() -> None:
    image = np.ones((1, 19, 11, 7), dtype=np.float32)
    found = class_probabilities(Pointwise(), image, small_plan(), SPACING)
    for probability, expected in zip(found, _expected(image[0]), strict=True):
        np.testing.assert_allclose(probability, expected, rtol=1e-6)
        assert probability.max() - probability.min() < 1e-6


def test_mirrored_views_are_turned_back_before_they_are_averaged() -> None:
    image = np.random.default_rng(0).normal(size=(1, 9, 8, 4)).astype(np.float32)
    plan = small_plan(mirror_axes=(0,))
    plain = class_probabilities(Pointwise(), image, plan, SPACING)
    mirrored = class_probabilities(Pointwise(), image, plan, SPACING, mirror=True)
    np.testing.assert_allclose(mirrored, plain, rtol=1e-5)
    whole = np.zeros((1, 8, 8, 4), dtype=np.float32)
    lopsided = class_probabilities(Place(), whole, plan, SPACING)
    even = class_probabilities(Place(), whole, plan, SPACING, mirror=True)
    np.testing.assert_allclose(even, (lopsided + lopsided[:, ::-1]) / 2, rtol=1e-5)
    sided = class_probabilities(Place(), whole, small_plan(mirror_axes=()), SPACING, mirror=True)
    np.testing.assert_array_equal(sided, lopsided)


@pytest.mark.parametrize("shape", [(21, 8, 5), (5, 9, 3)])
def test_position_channels_are_millimetres_from_the_middle_of_the_scan(
    shape: tuple[int, int, int],
) -> None:
    image = np.zeros((1, *shape), dtype=np.float32)
    found = class_probabilities(Pointwise(), image, small_plan(use_position=True), SPACING)
    superior_mm = (np.arange(shape[2]) - (shape[2] - 1) / 2) * SPACING[2]
    expected = np.broadcast_to((superior_mm / 100).astype(np.float32), shape)
    np.testing.assert_allclose(found, _expected(np.array(expected)), rtol=1e-5)


def test_progress_counts_the_tiles() -> None:
    seen: list[Progress] = []
    image = np.zeros((1, 12, 8, 4), dtype=np.float32)
    class_probabilities(Pointwise(), image, small_plan(), SPACING, progress=seen.append)
    assert [(p.done, p.total) for p in seen] == [(1, 2), (2, 2)]
