"""A step: labels stand where coarser logits do, and every weight has one optimiser."""

from __future__ import annotations

import torch

from plans import small_plan
from voxloop.model.unet import build_network
from voxloop.train.config import TrainConfig
from voxloop.train.step import build_optimizers, thinned


def test_thinned_labels_stand_in_the_middle_of_coarser_voxels() -> None:
    place = torch.arange(16).view(1, 16, 1, 1).expand(2, 16, 4, 6)
    found = thinned(place, torch.zeros(2, 3, 4, 4, 3))
    assert found.shape == (2, 4, 4, 3)
    assert found[0, :, 0, 0].tolist() == [2, 6, 10, 14]
    assert torch.equal(thinned(place, torch.zeros(2, 3, 16, 4, 6)), place)


def test_every_weight_is_trained_by_exactly_one_optimiser() -> None:
    network = build_network(small_plan(widths=(4, 8, 16), strides=((2, 2, 1), (2, 2, 2))))
    owners = [
        parameter
        for optimizer in build_optimizers(network, TrainConfig())
        for group in optimizer.param_groups
        for parameter in group["params"]
    ]
    assert len(owners) == len(set(owners))
    assert set(owners) == set(network.parameters())
    muon, adam = build_optimizers(network, TrainConfig())
    inner = {p for group in muon.param_groups for p in group["params"]}
    assert all(p.ndim == 5 for p in inner)
    assert network.head.weight not in inner
    assert network.coarse_heads[0].weight not in inner
    assert all(group["weight_decay"] == 0 for group in adam.param_groups[1:])
