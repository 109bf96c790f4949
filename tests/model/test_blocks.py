"""The parts of the network against what they claim to be."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from voxloop.model.blocks import ConvBlock, FoldSpace, SampleNorm, UnfoldSpace

Triple = tuple[int, int, int]
small = st.tuples(*[st.integers(1, 3)] * 3)


@settings(max_examples=50)
@given(small, small, st.integers(1, 3))
def test_unfolding_undoes_folding(factor: Triple, cells: Triple, channels: int) -> None:
    i, j, k = (f * n for f, n in zip(factor, cells, strict=True))
    x = torch.arange(2 * channels * i * j * k).reshape(2, channels, i, j, k)
    folded = FoldSpace(factor)(x)
    assert folded.shape == (2, channels * math.prod(factor), *cells)
    torch.testing.assert_close(UnfoldSpace(factor)(folded), x, rtol=0, atol=0)


def test_folding_keeps_neighbours_together() -> None:
    x = torch.arange(4 * 4 * 2).reshape(1, 1, 4, 4, 2)
    folded = FoldSpace((2, 2, 1))(x)
    assert set(folded[0, :, 1, 0, 1].tolist()) == set(x[0, 0, 2:4, 0:2, 1].ravel().tolist())


@pytest.mark.parametrize("shape", [(3, 5, 4, 6, 2), (1, 2, 3, 3, 3)])
def test_the_norm_is_instance_normalisation(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = (torch.randn(shape) * 7 + 3).contiguous(memory_format=torch.channels_last_3d)
    ours, theirs = SampleNorm(shape[1]), nn.InstanceNorm3d(shape[1], affine=True)
    for norm in (ours, theirs):
        torch.manual_seed(1)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [norm(i) for norm, i in zip((ours, theirs), inputs, strict=True)]
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)
    for output in outputs:
        (output**3).sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=1e-3, atol=1e-3)
    assert outputs[0].is_contiguous(memory_format=torch.channels_last_3d)


def test_the_norm_lets_a_single_voxel_through() -> None:
    x = torch.randn(2, 3, 1, 1, 1)
    torch.testing.assert_close(SampleNorm(3)(x), x)


def test_samples_of_a_batch_do_not_influence_each_other() -> None:
    block = ConvBlock(1, 2, (2, 1, 1))
    one, other = torch.randn(1, 1, 4, 4, 4), torch.randn(1, 1, 4, 4, 4) * 9
    together = block(torch.cat([one, other]))
    assert together.shape == (2, 2, 2, 4, 4)
    torch.testing.assert_close(together[:1], block(one), rtol=1e-4, atol=1e-5)
