"""A coarse model finds the structures, a fine one draws them in their box."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from phantoms import ellipsoid_mask, oblique_geometry
from plans import small_plan
from voxloop.model.checkpoint import Checkpoint
from voxloop.model.unet import build_network
from voxloop.plan.plan import Normalisation
from voxloop.predict.options import QualityWord
from voxloop.predict.predictor import Predictor
from voxloop.predict.refine.locate import cropped, likely_foreground, structure_box
from voxloop.predict.refine.two_stage import TwoStagePredictor
from voxloop.volume.geometry import Geometry
from voxloop.volume.volume import Volume

UNITS = Normalisation("fixed", (-10.0, 10.0), 0.0, 1.0)
Spacing = tuple[float, float, float]
Maker = Callable[..., Predictor]


class _Pointwise(torch.nn.Module):
    """Stands in for a trained network: label 1 above 0.5, label 4 above 2; keeps what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen = 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += x.numel()
        return torch.cat([0 * x, 6 * (x - 0.5), 12 * (x - 1.25)], dim=1)


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> Maker:
    """Makes a predictor of a spacing, and lets its network be seen."""

    def make(
        spacing_mm: Spacing,
        network: torch.nn.Module | None = None,
        quality: QualityWord = "default",
        **plan: Any,
    ) -> Predictor:
        own = network or _Pointwise()
        monkeypatch.setattr(Checkpoint, "network", lambda _self, _device: own)
        made = small_plan(
            normalisation=(UNITS,), spacing_mm=spacing_mm, patch_shape=(16, 16, 16), **plan
        )
        checkpoint = Checkpoint(made, build_network(made).state_dict(), {})
        predictor = Predictor(checkpoint, quality=quality)
        assert len(predictor.engines) == 1  # made here, while the network is the one wanted
        return predictor

    return make


def _thin(geometry: Geometry) -> tuple[Volume, npt.NDArray[np.uint8]]:
    """A shell of 1.2 mm about a core, far smaller than the scan."""
    outer = ellipsoid_mask(geometry, (5, 4.5, 6), (3, -2, 1))
    inner = ellipsoid_mask(geometry, (3.8, 3.3, 4.8), (3, -2, 1))
    core = ellipsoid_mask(geometry, (1.5, 1.5, 1.5), (3, -2, 1))
    labels = np.where(core, 4, outer & ~inner).astype(np.uint8)
    return Volume(np.array([0, 1, 0, 0, 3.0])[labels], geometry), labels


@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True)])
def test_the_fine_model_draws_what_the_coarse_one_found(
    predictor: Maker, flips: tuple[bool, bool, bool]
) -> None:
    geometry = oblique_geometry((66, 60, 50), (0.6, 0.6, 0.8), flips=flips)
    scan, expected = _thin(geometry)
    network = _Pointwise()
    coarse = predictor((2.4, 2.4, 2.4))
    fine = predictor((0.6, 0.6, 0.8), network)
    found = TwoStagePredictor(coarse, fine, margin_mm=3).segment((scan,), uncertainty=True)
    assert found.label_map.geometry == geometry
    np.testing.assert_array_equal(found.label_map.array, expected)
    alone = predictor((2.4, 2.4, 2.4), quality="fast").segment((scan,)).label_map.array
    assert (alone[expected == 1] != 1).mean() > 0.3
    assert set(found.seconds) == {"prepare", "network", "labels", "locate", "blend"}
    in_box = network.seen
    in_all = fine.segment((scan,), uncertainty=True).uncertainty
    assert in_box < (network.seen - in_box) / 2
    assert found.uncertainty is not None
    assert in_all is not None
    drawn = expected > 0
    np.testing.assert_allclose(found.uncertainty[drawn], in_all[drawn], atol=2)
    assert in_all[drawn].max() > 5


def test_where_nothing_is_found_nothing_is_looked_for(predictor: Maker) -> None:
    geometry = oblique_geometry((40, 36, 30), (0.6, 0.6, 0.8))
    network = _Pointwise()
    two = TwoStagePredictor(predictor((2.4, 2.4, 2.4)), predictor((0.6, 0.6, 0.8), network))
    found = two.segment((Volume(np.zeros(geometry.shape), geometry),))
    assert not found.label_map.array.any()
    assert network.seen == 0


def test_the_fine_word_counts_fully_up_to_the_scans_own_border(predictor: Maker) -> None:
    geometry = oblique_geometry((60, 36, 30), (0.6, 0.6, 0.8))
    array = np.zeros(geometry.shape)
    # sheets that a coarse grid cannot tell apart, cut by the scan
    array[:8, np.arange(36) % 4 < 2] = 1.0
    coarse, fine = predictor((2.4, 2.4, 2.4)), predictor((0.6, 0.6, 0.8))
    found = TwoStagePredictor(coarse, fine, margin_mm=4).segment((Volume(array, geometry),))
    np.testing.assert_array_equal(found.label_map.array, array.astype(np.uint8))


def test_the_two_models_must_speak_of_the_same(predictor: Maker) -> None:
    one = predictor((2.0, 2.0, 2.0))
    with pytest.raises(ValueError, match="the same labels"):
        TwoStagePredictor(one, predictor((1.0, 1.0, 1.0), labels={"body": 1, "rim": 4}))
    with pytest.raises(ValueError, match="margin must be 0 mm or more"):
        TwoStagePredictor(one, one, margin_mm=-1)


@settings(max_examples=25)
@given(
    st.tuples(*[st.booleans()] * 3),
    st.tuples(*[st.floats(0.5, 4.0)] * 3),
    st.tuples(*[st.floats(-6.0, 6.0)] * 3),
    st.floats(0, 8),
)
def test_the_box_holds_the_structure_and_its_margin(
    flips: tuple[bool, bool, bool], spacing_mm: Spacing, offset_mm: Spacing, margin_mm: float
) -> None:
    source = oblique_geometry((40, 36, 30), (0.9, 1.1, 1.0), flips=flips)
    grid = source.canonical().resampled(spacing_mm)
    mask = ellipsoid_mask(grid, (5, 4, 6), offset_mm)
    box = structure_box(mask, grid, source, margin_mm)
    assert (box is None) == (not mask.any())
    if box is None:
        return
    places = source.to_voxel(grid.to_world(np.argwhere(mask)))
    reach = margin_mm / np.array(source.spacing_mm)
    last = np.array(source.shape)
    assert (box.start <= np.maximum(places.min(0) - reach + 0.5, 0)).all()
    assert (box.stop >= np.minimum(places.max(0) + reach + 0.5, last)).all()
    cell = np.abs(np.linalg.inv(source.matrix) @ grid.matrix)[:3, :3].sum(axis=1)
    assert (box.start >= places.min(0) - reach - cell / 2 - 1).all()
    assert (box.stop <= places.max(0) + reach + cell / 2 + 2).all()


def test_specks_do_not_stretch_the_box_and_thin_shells_count() -> None:
    probabilities = np.zeros((2, 30, 30, 30), np.float32)
    probabilities[1, 5:15, 5:15, 5:15] = 0.3
    probabilities[1, 28, 28, 28] = 1.0
    probabilities[0] = 1 - probabilities[1]
    mask = likely_foreground(probabilities)
    assert mask[5:15, 5:15, 5:15].all()
    assert mask.sum() == 1000
    assert not likely_foreground(np.stack([np.ones((4, 4, 4)), np.zeros((4, 4, 4))])).any()
    grid = oblique_geometry((30, 30, 30), (1.0, 1.0, 2.0))
    box = structure_box(mask, grid, grid, 2.0)
    assert box is not None
    assert (box.start, box.stop) == ((3, 3, 4), (17, 17, 16))
    part = cropped(Volume(probabilities[1], grid), box)
    np.testing.assert_allclose(part.geometry.to_world([[0, 0, 0]]), grid.to_world([[3, 3, 4]]))
    np.testing.assert_array_equal(part.array, probabilities[1][box.slices])
