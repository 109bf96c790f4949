"""PyTorch: the reference that every other engine must agree with."""

from __future__ import annotations

import contextlib

import numpy as np
import torch

from voxloop.model.checkpoint import Checkpoint
from voxloop.model.device import best_device, has_fast_bfloat16
from voxloop.predict.engines.engine import Float32Array, in_blocks

__all__ = ["TorchEngine"]


class TorchEngine:
    """Runs the network as it was trained.

    Args:
        checkpoint: the model.
        precision: "fp32" or "bf16"; by default bf16 where the device multiplies it in hardware,
            fp32 elsewhere.
        device: by default CUDA when present, else the CPU.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        precision: str | None = None,
        device: torch.device | None = None,
    ) -> None:
        self._device = best_device() if device is None else device
        if precision is None:
            precision = "bf16" if has_fast_bfloat16(self._device) else "fp32"
        self._bfloat16 = precision == "bf16"
        self._network = checkpoint.network(self._device)
        self._network.unfold = torch.nn.Identity()
        self._plan = checkpoint.plan
        self.stem = checkpoint.plan.stem
        place = "" if self._device.type == "cpu" else f"-{self._device.type}"
        self.name = f"torch-{precision}{place}"

    @torch.inference_mode()
    def logits(self, tile: Float32Array) -> Float32Array:
        """Logits (N, C, F, i, j, k) of tiles (N, channels, I, J, K)."""
        x = torch.from_numpy(np.ascontiguousarray(tile)).to(self._device)
        x = x.contiguous(memory_format=torch.channels_last_3d)
        lower = torch.autocast(self._device.type, torch.bfloat16)
        with lower if self._bfloat16 else contextlib.nullcontext():
            found = self._network(x)
        return in_blocks(found.float().contiguous().cpu().numpy(), self._plan)
