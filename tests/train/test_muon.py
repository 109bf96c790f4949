"""Muon: its updates are orthogonal, equally long for all shapes, and it learns what is rare."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from voxloop.train.muon import Muon


def _update(gradient: torch.Tensor, rate: float = 1.0, decay: float = 0.0) -> torch.Tensor:
    parameter = nn.Parameter(torch.ones_like(gradient))
    parameter.grad = gradient
    Muon([parameter], rate, decay).step()
    return parameter.detach() - 1


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (6, 4, 3, 3, 3), (16, 1, 3, 3, 3)])
def test_every_direction_of_an_update_is_about_equally_long(shape: tuple[int, ...]) -> None:
    gradient = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    gradient[0] *= 100  # one direction that shouts
    update = -_update(gradient).flatten(1).double()
    unit = 0.2 * max(update.shape) ** 0.5
    sizes = torch.linalg.svdvals(update) / unit
    assert sizes.min() > 0.4
    assert sizes.max() < 1.3
    u, _, v = torch.linalg.svd(gradient.flatten(1).double(), full_matrices=False)
    overlap = (update * (u @ v)).sum() / (update.norm() * (u @ v).norm())
    assert overlap > 0.95, "the nearest orthogonal matrix, not just any"
    assert float(update.square().mean().sqrt()) == pytest.approx(0.2, rel=0.3)


def test_the_length_of_the_gradient_does_not_matter_and_none_changes_nothing() -> None:
    gradient = torch.randn((8, 40), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(_update(gradient * 1e4), _update(gradient), rtol=0.1, atol=0.03)
    assert not _update(torch.zeros(8, 40)).any()
    untouched = nn.Parameter(torch.ones(3, 3))
    Muon([untouched], 1.0, 0.5).step()
    assert torch.equal(untouched.detach(), torch.ones(3, 3))


def test_weights_decay_apart_from_the_gradient() -> None:
    torch.testing.assert_close(_update(torch.zeros(8, 40), 0.1, 0.3), torch.full((8, 40), -0.03))


def test_what_is_rare_is_learned_in_as_few_steps_as_what_is_common() -> None:
    common = torch.diag(torch.tensor([100.0, 1.0]))
    weight = nn.Parameter(torch.zeros(2, 2))
    optimizer = Muon([weight], 0.2, 0.0, momentum=0.5)
    for _ in range(12):
        weight.grad = common @ (weight.detach() - torch.eye(2))
        optimizer.step()
    learned = weight.detach().diagonal()
    assert learned.min() > 0.4
    assert float(learned[0] - learned[1]) == pytest.approx(0, abs=0.1)


def test_a_closure_is_refused() -> None:
    with pytest.raises(ValueError, match="takes no closure"):
        Muon([nn.Parameter(torch.ones(2, 2))], 0.1, 0.0).step(lambda: 1.0)
