"""The parts of the network, in the memory layout that a CPU convolves fastest."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ChannelsLast", "ConvBlock", "FoldSpace", "SampleNorm", "UnfoldSpace", "unfold_voxels"]

Triple = tuple[int, int, int]


class SampleNorm(nn.Module):
    """Instance normalisation that keeps the channels-last layout.

    Normalising one sample over its voxels is what batch normalisation in training mode does to
    a batch of one; calling it that way avoids the reshape (and two copies) of PyTorch's own
    instance norm: a quarter of a step on a CPU.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, I, J, K) per sample and channel."""
        if x.shape[2:].numel() == 1:  # a single voxel has no deviation
            return x * self.weight.view(1, -1, 1, 1, 1) + self.bias.view(1, -1, 1, 1, 1)
        samples = [
            functional.batch_norm(s, None, None, self.weight, self.bias, training=True)
            for s in torch.split(x, 1)
        ]
        return samples[0] if len(samples) == 1 else torch.cat(samples)


class ConvBlock(nn.Module):
    """Two 3x3x3 convolutions, each normalised and rectified; the first may stride."""

    def __init__(self, inputs: int, outputs: int, stride: Triple = (1, 1, 1)) -> None:
        super().__init__()
        self.first = nn.Conv3d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = SampleNorm(outputs)
        self.second = nn.Conv3d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = SampleNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, I, J, K) to (N, outputs, I', J', K')."""
        x = functional.leaky_relu(self.first_norm(self.first(x)), 0.01, inplace=True)
        return functional.leaky_relu(self.second_norm(self.second(x)), 0.01, inplace=True)


class ChannelsLast(nn.Module):
    """Lay a tensor out with the channels of a voxel side by side; its values stay."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, I, J, K), unchanged but for its strides."""
        return x.contiguous(memory_format=torch.channels_last_3d)


class FoldSpace(nn.Module):
    """Move blocks of neighbouring voxels into channels, losslessly."""

    def __init__(self, factor: Triple) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, I, J, K) to (N, C*a*b*c, I/a, J/b, K/c)."""
        c, i, j, k = _lengths(x)
        fi, fj, fk = self.factor
        x = x.reshape(-1, c, i // fi, fi, j // fj, fj, k // fk, fk)
        x = x.permute(0, 1, 3, 5, 7, 2, 4, 6)
        return x.reshape(-1, c * fi * fj * fk, i // fi, j // fj, k // fk)


class UnfoldSpace(nn.Module):
    """Move channels back into blocks of neighbouring voxels; undoes `FoldSpace`."""

    def __init__(self, factor: Triple) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """(N, C*a*b*c, I, J, K) to (N, C, I*a, J*b, K*c)."""
        c, i, j, k = _lengths(x)
        folded = math.prod(self.factor)
        found = unfold_voxels(x.reshape(-1, folded, i, j, k), self.factor)
        return found.reshape(-1, c // folded, *found.shape[1:])


def unfold_voxels(x: Tensor, factor: Triple) -> Tensor:
    """Put the voxels of blocks side by side.

    Args:
        x: (N, F, I, J, K): for each block its F = a*b*c voxels.
        factor: (a, b, c), a block's voxels along each axis.

    Returns:
        (N, I*a, J*b, K*c).
    """
    _, i, j, k = _lengths(x)
    fi, fj, fk = factor
    x = x.reshape(-1, fi, fj, fk, i, j, k).permute(0, 4, 1, 5, 2, 6, 3)
    return x.reshape(-1, i * fi, j * fj, k * fk)


def _lengths(x: Tensor) -> tuple[int, int, int, int]:
    """Channels and voxels as plain numbers, so that an export holds them as constants."""
    c, i, j, k = (int(length) for length in x.shape[1:])
    return c, i, j, k
