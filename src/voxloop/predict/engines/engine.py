"""What every engine can do: give the logits of tiles."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Protocol

import numpy as np
import numpy.typing as npt

from voxloop.model.checkpoint import Checkpoint
from voxloop.plan.plan import Plan

__all__ = ["Engine", "Float32Array", "in_blocks", "model_identity"]

Float32Array = npt.NDArray[np.float32]


class Engine(Protocol):
    """A network, ready to run.

    Attributes:
        name: program and precision, e.g. "torch-fp32", "torch-bf16", "openvino-bf16".
        stem: voxels along each axis of the blocks in which logits come.
    """

    @property
    def name(self) -> str:
        """Program and precision."""

    @property
    def stem(self) -> tuple[int, int, int]:
        """Voxels along each axis of the blocks in which logits come."""

    def logits(self, tile: Float32Array) -> Float32Array:
        """Logits of tiles.

        Args:
            tile: (N, channels, I, J, K) float32, prepared, position channels included; I, J, K
                are the plan's patch shape.

        Returns:
            (N, C, F, i, j, k) float32, an array of its own: for each class and block of voxels the
            block's F voxels, as the network computes them; `unfold_voxels` puts them side by side.
        """


def in_blocks(found: npt.NDArray[np.floating], plan: Plan) -> Float32Array:
    """What a network gave (N, C * F, i, j, k), as an engine returns it."""
    n, _, i, j, k = found.shape
    classes, folded = len(plan.labels) + 1, math.prod(plan.stem)
    return np.asarray(found, dtype=np.float32).reshape(n, classes, folded, i, j, k)


def model_identity(checkpoint: Checkpoint) -> str:
    """Hash of all that decides what a checkpoint's network computes."""
    decisive = {
        "weights": checkpoint.sha256,
        "plan": checkpoint.plan.to_json(),
        "unlearned": sorted(checkpoint.provenance.get("unlearned", ())),
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
