"""Muon: steps whose every direction is equally long, so that rare ones are learned as soon."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from voxloop.model.device import has_fast_bfloat16

__all__ = ["Muon"]

_ROUNDS = 5
"""Newton-Schulz iterations; after five, singular values lie in about 0.7..1.2."""

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients that grow small singular values fastest (Jordan et al. 2024)."""

_RMS = 0.2
"""Root mean square of an update per unit of learning rate: what AdamW's updates have, so that
one learning rate and weight decay suit both (Liu et al. 2025, arXiv 2502.16982)."""


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: the nearest matrix whose singular values are all one.

    Gradients of convolutions are nearly of low rank: plain steps follow the few directions of
    what is common, and what is rare, such as a small structure, waits. Source: Jordan et al.
    2024, "Muon: an optimizer for hidden layers in neural networks".

    Args:
        parameters: weights of two or more axes, output channels first; others are flattened.
        learning_rate: peak rate; set anew for each step through the groups' `lr`.
        weight_decay: decoupled, as in AdamW.
        momentum: of the running mean of gradients, Nesterov's kind.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float,
        weight_decay: float,
        momentum: float = 0.95,
    ) -> None:
        defaults = {"lr": learning_rate, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Change every parameter that has a gradient."""
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(parameter)
                mean = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(mean, group["momentum"])
                # channels last, as they lie in memory: the order of columns does not matter
                columns = ahead.movedim(1, -1)
                matrix = columns.flatten(1)
                length = _RMS * max(matrix.shape) ** 0.5 * group["lr"]
                update = _orthogonal(matrix).view(columns.shape).movedim(-1, 1)
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.sub_(update, alpha=length)


def _orthogonal(matrix: Tensor) -> Tensor:
    """Roughly the nearest matrix with singular values of one, by Newton-Schulz iteration."""
    a, b, c = _QUINTIC
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = x * (1 / x.norm().clamp_min(1e-7))
    x = x.bfloat16() if has_fast_bfloat16(matrix.device) else x
    for _ in range(_ROUNDS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    found: Tensor = x if wide else x.T
    return found.to(matrix.dtype)
