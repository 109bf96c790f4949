"""The network: a U-Net, with space folded into channels at its door where the plan says so."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn

from voxloop.model.blocks import ChannelsLast, ConvBlock, FoldSpace, UnfoldSpace
from voxloop.plan.plan import Plan

__all__ = ["UNet", "build_network"]

_SUPERVISED = 2
"""Coarser levels with a head of their own."""

Triple = tuple[int, int, int]

_NEVER = -1e4
"""A logit whose probability is zero in any precision."""


class UNet(nn.Module):
    """Encoder and decoder with skip connections (Ronneberger et al. 2015; Çiçek et al. 2016).

    Args:
        inputs: input channels.
        classes: output channels, background included.
        widths: channels per level, finest first.
        strides: downsampling between neighbouring levels.
        stem: voxels folded into channels along each axis.
    """

    def __init__(
        self,
        inputs: int,
        classes: int,
        widths: tuple[int, ...],
        strides: tuple[Triple, ...],
        stem: Triple,
    ) -> None:
        super().__init__()
        self.classes = classes
        fold = math.prod(stem)
        self.fold = FoldSpace(stem) if fold > 1 else nn.Identity()
        self.layout = ChannelsLast()
        self.unfold = UnfoldSpace(stem) if fold > 1 else nn.Identity()
        steps = list(zip(pairwise(widths), strides, strict=True))
        self.encoder = nn.ModuleList(
            [ConvBlock(inputs * fold, widths[0])]
            + [ConvBlock(upper, lower, stride) for (upper, lower), stride in steps]
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(lower, upper, stride, stride)
            for (upper, lower), stride in reversed(steps)
        )
        self.decoder = nn.ModuleList(
            ConvBlock(2 * upper, upper) for (upper, _), _ in reversed(steps)
        )
        self.head = nn.Conv3d(widths[0], classes * fold, 1)
        self.coarse_heads = nn.ModuleList(
            nn.Conv3d(width, classes, 1) for width in widths[1:-1][:_SUPERVISED]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes, I, J, K) of an input (N, inputs, I, J, K)."""
        return self.at_levels(x, 1)[0]

    def at_levels(self, x: Tensor, levels: int | None = None) -> list[Tensor]:
        """Logits of the finest levels, for deep supervision (Lee et al. 2015).

        Args:
            x: (N, inputs, I, J, K).
            levels: how many, at least one; all that have a head where None.

        Returns:
            (N, classes, I, J, K), then ever coarser ones, without the deepest level.
        """
        x = self.layout(self.fold(x))
        skips: list[Tensor] = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        skips.pop()
        decoded: list[Tensor] = []
        for up, block in zip(self.up, self.decoder, strict=True):
            x = block(torch.cat([up(x), skips.pop()], dim=1))
            decoded.append(x)
        found: list[Tensor] = [self.unfold(self.head(x))]
        wanted = len(self.coarse_heads) if levels is None else levels - 1
        coarse = zip(self.coarse_heads[:wanted], reversed(decoded[:-1]), strict=False)
        return found + [head(features) for head, features in coarse]

    @torch.no_grad()
    def silence(self, classes: Iterable[int]) -> None:
        """Give classes no chance, whatever an image shows; for inference only."""
        if self.head.bias is not None:
            self.head.bias.view(self.classes, -1)[list(classes)] = _NEVER


def build_network(plan: Plan, seed: int = 0) -> UNet:
    """The network of a plan, with weights drawn from `seed` (He initialisation).

    Layout is channels-last; move it to a device afterwards.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet(
            plan.input_channels, len(plan.labels) + 1, plan.widths, plan.strides, plan.stem
        )
        for module in network.modules():
            if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
                nn.init.kaiming_normal_(module.weight, 0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        # logits of unit size: a timid head takes as long to wake up as a whole short training
        for head in (network.head, *network.coarse_heads):
            nn.init.kaiming_normal_(head.weight, nonlinearity="linear")
    for parameter in network.parameters():
        if parameter.ndim == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
    return network
