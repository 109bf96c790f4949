"""ONNX Runtime: for processors that OpenVINO does not know, and to check an exported file."""

from __future__ import annotations

import numpy as np
import torch

from voxloop.model.checkpoint import Checkpoint
from voxloop.model.portable import INPUT_NAME, OUTPUT_NAME, as_onnx, import_onnxruntime
from voxloop.predict.engines.engine import Float32Array, in_blocks

__all__ = ["OnnxEngine"]

_WARNINGS_AND_WORSE = 3


class OnnxEngine:
    """Runs the network on the CPU with ONNX Runtime, on as many threads as PyTorch may use.

    Args:
        checkpoint: the model.

    Raises:
        MissingExtraError: if ONNX Runtime or the package `onnx` is not installed.
    """

    name = "onnxruntime-fp32"

    def __init__(self, checkpoint: Checkpoint) -> None:
        runtime = import_onnxruntime()
        plan = checkpoint.plan
        self._plan, self.stem = plan, plan.stem
        network = checkpoint.network(torch.device("cpu"))
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = _WARNINGS_AND_WORSE
        self._session = runtime.InferenceSession(
            as_onnx(network, plan.input_channels, plan.patch_shape, folded=True),
            options,
            providers=["CPUExecutionProvider"],
        )

    def logits(self, tile: Float32Array) -> Float32Array:
        """Logits (N, C, F, i, j, k) of tiles (N, channels, I, J, K)."""
        found = [
            self._session.run([OUTPUT_NAME], {INPUT_NAME: np.ascontiguousarray(one[None])})[0]
            for one in tile
        ]
        return in_blocks(found[0] if len(found) == 1 else np.concatenate(found), self._plan)
