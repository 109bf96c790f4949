"""The network: shapes, reproducible weights, and a field of view that reaches across."""

from __future__ import annotations

import pytest
import torch

from plans import small_plan
from voxloop.model.unet import UNet, build_network

Triple = tuple[int, int, int]


@pytest.mark.parametrize(
    ("stem", "strides", "shape"),
    [
        ((1, 1, 1), ((2, 2, 1),), (8, 6, 3)),
        ((1, 1, 1), ((2, 2, 1), (2, 2, 2)), (8, 8, 2)),
        ((2, 2, 1), ((2, 2, 1), (1, 1, 2)), (8, 4, 6)),
        ((2, 2, 2), ((2, 2, 2),), (4, 12, 8)),
        ((1, 1, 1), (), (5, 3, 1)),
    ],
)
def test_there_is_a_logit_for_each_class_and_voxel(
    stem: Triple, strides: tuple[Triple, ...], shape: Triple
) -> None:
    network = UNet(2, 3, tuple(4 * 2**n for n in range(len(strides) + 1)), strides, stem)
    x = torch.randn(2, 2, *shape, requires_grad=True)
    logits = network(x)
    assert logits.shape == (2, 3, *shape)
    logits[1, :, 0, 0, 0].sum().backward()
    assert x.grad is not None
    assert not x.grad[0].any()
    assert x.grad[1].count_nonzero() > 27


def test_weights_follow_from_the_seed_and_leave_other_chance_alone() -> None:
    plan = small_plan(use_position=True)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = (build_network(plan, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])
    assert one["encoder.0.first.weight"].shape[1] == 4


@pytest.mark.parametrize("stem", [(1, 1, 1), (2, 2, 1)])
def test_coarser_levels_answer_for_the_same_field_of_view(stem: Triple) -> None:
    strides = ((2, 2, 1), (2, 2, 2), (1, 2, 2))
    network = UNet(1, 3, (4, 8, 16, 16), strides, stem)
    levels = network.at_levels(torch.randn(2, 1, 16, 16, 8))
    inner = (16 // stem[0], 16 // stem[1], 8 // stem[2])
    first = (inner[0] // 2, inner[1] // 2, inner[2])
    second = (first[0] // 2, first[1] // 2, first[2] // 2)
    expected = [(16, 16, 8), first, second]
    assert [tuple(logits.shape) for logits in levels] == [(2, 3, *shape) for shape in expected]
    torch.stack([logits.sum() for logits in levels]).sum().backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_every_weight_of_a_shallow_network_is_trained_too() -> None:
    for strides in ((), ((2, 2, 2),)):
        network = UNet(1, 3, (4, 8)[: len(strides) + 1], strides, (1, 1, 1))
        levels = network.at_levels(torch.randn(1, 1, 4, 4, 4))
        torch.stack([logits.sum() for logits in levels]).sum().backward()  # type: ignore[no-untyped-call]
        assert all(parameter.grad is not None for parameter in network.parameters())


def test_silenced_classes_are_never_predicted() -> None:
    network = build_network(small_plan(stem=(2, 2, 1), strides=((1, 1, 2),)))
    network.silence([1])
    logits = network(torch.randn(1, 1, 8, 8, 4) * 50)
    assert not (logits.argmax(1) == 1).any()
    assert torch.isfinite(torch.softmax(logits, 1)).all()
