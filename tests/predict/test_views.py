"""Views of a scan are undone, and differ only in what the network makes of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from phantoms import oblique_geometry
from plans import small_plan
from voxloop.errors import LimitError
from voxloop.model.checkpoint import Checkpoint
from voxloop.model.unet import UNet, build_network
from voxloop.plan.plan import Normalisation, Plan
from voxloop.predict import predictor as predictor_module
from voxloop.predict.predictor import Predictor
from voxloop.predict.views import (
    AS_IT_IS,
    VIEWS,
    View,
    seen_back,
    seen_through,
    views_for,
    with_dropped,
)
from voxloop.volume.volume import Volume

SPACING = (1.0, 1.0, 2.0)
MOVING = [view for view in VIEWS if view.turn is not None]
DROPPING = [view for view in VIEWS if view.dropped]
each_moving = pytest.mark.parametrize("view", MOVING, ids=lambda view: view.name)


@pytest.fixture(autouse=True)
def _full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("model.device", "predict.engines.torch_engine"):
        monkeypatch.setattr(f"voxloop.{module}.has_fast_bfloat16", lambda _: False)


class Pointwise(nn.Module):
    """Logits that depend on a voxel's last channel only."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.arange(3).float())

    def forward(self, x: Tensor) -> Tensor:
        return x[:, -1:] * self.scale.view(1, -1, 1, 1, 1)


def smooth(shape: tuple[int, int, int] = (24, 20, 14)) -> npt.NDArray[np.float32]:
    """A hill in the middle of an even plain."""
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, SPACING, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    hill = np.exp(-((x - 2) ** 2 + (y + 1) ** 2 + (z - 1.5) ** 2) / 2 / 5.0**2)
    return np.asarray(2 * hill, dtype=np.float32)


def predictor(plan: Plan, *seeds: int) -> Predictor:
    return Predictor(*(Checkpoint(plan, build_network(plan, s).state_dict(), {}) for s in seeds))


def scan(shape: tuple[int, int, int] = (11, 9, 6)) -> tuple[Volume]:
    geometry = oblique_geometry(shape, SPACING)
    return (Volume(np.random.default_rng(0).normal(size=shape), geometry),)


@each_moving
def test_what_is_seen_in_a_view_is_put_back_where_it_was(view: View) -> None:
    image = smooth()[None] / np.float32(2)
    there = seen_through(view, image, SPACING)
    back = seen_back(view, there, (24, 20, 14), SPACING)
    assert there.shape != image.shape or view.mirror
    np.testing.assert_allclose(back, image, atol=0.06)  # read between voxels, twice
    assert np.abs(back - image).mean() < 0.005


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 2)])
def test_a_mirrored_view_is_the_mirrored_image(axes: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).random((2, 7, 6, 5)).astype(np.float32)
    view = View("mirrored", mirror=axes)
    there = seen_through(view, image, SPACING)
    np.testing.assert_allclose(there, np.flip(image, tuple(a + 1 for a in axes)), atol=1e-5)
    np.testing.assert_allclose(seen_back(view, there, (7, 6, 5), SPACING), image, atol=1e-5)


def test_a_zoomed_view_shows_everything_so_much_larger() -> None:
    there = seen_through(View("larger", zoom=1.5), smooth()[None], SPACING)[0]
    assert there.shape == (36, 30, 21)
    peak = np.array(np.unravel_index(there.argmax(), there.shape)) - (np.array(there.shape) - 1) / 2
    np.testing.assert_allclose(peak * SPACING, np.array([2, -1, 1.5]) * 1.5, atol=1.01)


def test_a_turned_view_turns_in_millimetres() -> None:
    image = np.zeros((1, 41, 9, 21), dtype=np.float32)
    image[0, 20, :, 10:16] = 1  # 10 mm along the third axis
    there = seen_through(View("turned", degrees=(0, 90, 0)), image, SPACING)[0]
    places = np.argwhere(there > 0.5)
    length_mm = (np.ptp(places, axis=0) + 1) * SPACING
    assert length_mm[0] == pytest.approx(11, abs=1.5)
    assert length_mm[2] <= 2


@each_moving
def test_a_network_that_sees_single_voxels_gives_the_same_in_every_view(
    view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoint, "network", lambda _self, _device: Pointwise())
    plan = small_plan(normalisation=(Normalisation("fixed", (-9.0, 9.0)),), mirror_axes=(0, 1, 2))
    volume = Volume(smooth(), oblique_geometry((24, 20, 14), SPACING))
    found = predictor(plan, 0).members_on_grid((volume,), (AS_IT_IS, view))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(found[1], found[0], atol=0.03)


@each_moving
def test_position_channels_keep_telling_where_in_the_body_a_voxel_lies(
    view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoint, "network", lambda _self, _device: Pointwise())
    plan = small_plan(use_position=True, mirror_axes=(0, 1, 2))
    found = predictor(plan, 0).members_on_grid(scan((24, 20, 14)), (AS_IT_IS, view))
    np.testing.assert_allclose(found[1], found[0], atol=0.01)  # the last channel is the height
    assert np.ptp(found[0]) > 0.05


def test_without_views_a_member_is_the_model_on_the_scan_as_it_is() -> None:
    model = predictor(small_plan(), 3)
    members = model.members_on_grid(scan())
    assert members.shape == (1, 3, 11, 9, 6)
    np.testing.assert_array_equal(members[0], model.probabilities_on_grid(scan()))


def test_members_are_every_model_through_every_view_that_the_plan_allows() -> None:
    plan = small_plan(mirror_axes=(1,))
    allowed = views_for(plan, VIEWS)
    assert [view.mirror for view in allowed if view.mirror] == [(1,)]
    assert len(allowed) == len(VIEWS) - 2
    members = predictor(plan, 0, 1).members_on_grid(scan(), VIEWS)
    assert members.shape == (2 * len(allowed), 3, 11, 9, 6)
    assert members.dtype == np.float32
    np.testing.assert_allclose(members.sum(axis=1), 1, atol=1e-4)
    distances = np.abs(members[:, None] - members[None]).max(axis=(2, 3, 4, 5))
    assert (distances + np.eye(len(members)) > 1e-4).all(), "no two members are alike"
    alone = [predictor(plan, seed).members_on_grid(scan(), VIEWS) for seed in (0, 1)]
    np.testing.assert_array_equal(members, np.concatenate(alone))


def test_the_mean_of_unturned_members_is_the_prediction_of_the_ensemble() -> None:
    model = predictor(small_plan(), 0, 1)
    mean = model.members_on_grid(scan()).mean(axis=0)
    np.testing.assert_allclose(mean, model.probabilities_on_grid(scan()), atol=1e-6)


def test_gamma_bends_the_contrast_and_keeps_mean_and_deviation() -> None:
    image = smooth()[None]
    bent = seen_through(View("brighter", gamma=0.5), image, SPACING)
    assert bent.mean() == pytest.approx(image.mean(), abs=1e-5)
    assert bent.std() == pytest.approx(image.std(), rel=1e-5)
    order = np.argsort(image, axis=None)
    assert (np.diff(bent.reshape(-1)[order]) >= 0).all()
    assert np.abs(bent - image).max() > 0.1
    flat = np.ones((1, 3, 3, 3), dtype=np.float32)
    np.testing.assert_allclose(seen_through(View("brighter", gamma=0.5), flat, SPACING), flat)


def test_features_are_left_out_for_the_view_only_and_alike_every_time() -> None:
    network = build_network(small_plan()).eval()
    x = torch.from_numpy(smooth((8, 8, 4)))[None, None]

    def through(view: View) -> npt.NDArray[np.float32]:
        with torch.no_grad(), with_dropped(view, network):
            return np.asarray(network(x).numpy())

    state = torch.get_rng_state()
    whole, one, again, other = (through(v) for v in (AS_IT_IS, DROPPING[0], *DROPPING))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - whole).max() > 1e-3
    assert np.abs(one - other).max() > 1e-3
    np.testing.assert_array_equal(through(AS_IT_IS), whole)
    assert torch.equal(state, torch.get_rng_state()), "no chance of others is touched"


def test_the_network_is_whole_again_after_an_error() -> None:
    network = build_network(small_plan())
    with pytest.raises(RuntimeError, match="on the way"), with_dropped(DROPPING[0], network):
        raise RuntimeError("on the way")
    assert isinstance(network, UNet)
    assert not network.encoder[-1]._forward_hooks
    with pytest.raises(TypeError, match="of a U-Net only"), with_dropped(DROPPING[0], Pointwise()):
        pass


@pytest.mark.parametrize(
    "change", [{"zoom": 0.0}, {"gamma": -1.0}, {"mirror": (3,)}, {"dropped": 1.0}]
)
def test_views_are_valid_from_birth(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="a view"):
        dataclasses.replace(AS_IT_IS, **change)  # type: ignore[arg-type]


def test_members_that_memory_cannot_hold_are_refused_before_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = predictor(small_plan(mirror_axes=(0, 1, 2)), 0)
    one = 4 * 3 * 11 * 9 * 6
    monkeypatch.setattr("voxloop.compute.memory.available_bytes", lambda: 8 * one)
    model.members_on_grid(scan())
    monkeypatch.setattr(predictor_module, "prepare_image", None)
    with pytest.raises(LimitError, match=r"10 predictions of a scan of \(11, 9, 6\) voxels needs"):
        model.members_on_grid(scan(), VIEWS)
