"""What every engine can do: give the logits of tiles."""

from __future__ import annotations

import hashlib
import json
from typing import Protocol

import numpy as np
import numpy.typing as npt

from voxloop.model.checkpoint import Checkpoint

__all__ = ["Engine", "Float32Array", "model_identity"]

Float32Array = npt.NDArray[np.float32]


class Engine(Protocol):
    """A network, ready to run.

    Attributes:
        name: program and precision, e.g. "torch-fp32", "torch-bf16", "openvino-bf16".
    """

    @property
    def name(self) -> str:
        """Program and precision."""

    def logits(self, tile: Float32Array) -> Float32Array:
        """Logits of tiles.

        Args:
            tile: (N, channels, I, J, K) float32, prepared, position channels included; I, J, K
                are the plan's patch shape.

        Returns:
            (N, C, I, J, K) float32, an array of its own.
        """


def model_identity(checkpoint: Checkpoint) -> str:
    """Hash of all that decides what a checkpoint's network computes."""
    decisive = {
        "weights": checkpoint.sha256,
        "plan": checkpoint.plan.to_json(),
        "unlearned": sorted(checkpoint.provenance.get("unlearned", ())),
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
