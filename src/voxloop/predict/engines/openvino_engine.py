"""OpenVINO: the network compiled for this processor, kept on disk once compiled."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from voxloop.compute.atomic import write_bytes
from voxloop.errors import StorageError
from voxloop.model.checkpoint import Checkpoint
from voxloop.model.portable import as_openvino, import_openvino
from voxloop.predict.engines.engine import Float32Array, in_blocks, model_identity

__all__ = ["OpenVinoEngine"]

_HINTS = {"fp32": "f32", "bf16": "bf16"}
_FORM = "folded"
"""Of the compiled network's output."""

_DIGEST_BYTES = hashlib.sha256().digest_size


class OpenVinoEngine:
    """Runs the network on the CPU with OpenVINO, on as many threads as PyTorch may use.

    Args:
        checkpoint: the model.
        precision: "fp32" or "bf16"; by default bf16 where the processor multiplies it in
            hardware, fp32 elsewhere.
        cache: folder in which the compiled network is kept; compiled anew each time without.

    Raises:
        MissingExtraError: if OpenVINO is not installed.
    """

    def __init__(
        self, checkpoint: Checkpoint, precision: str | None = None, cache: Path | None = None
    ) -> None:
        openvino = import_openvino()
        core = openvino.Core()
        if precision is None:
            able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            precision = "bf16" if "BF16" in able else "fp32"
        self.name = f"openvino-{precision}"
        self._plan, self.stem = checkpoint.plan, checkpoint.plan.stem
        threads = torch.get_num_threads()
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # several processes pinned to the same cores would wait for each other
            "ENABLE_CPU_PINNING": False,
        }
        file = None if cache is None else cache / _file_name(checkpoint, precision, core)
        compiled = None if file is None else _load(core, settings, file)
        if compiled is None:
            plan = checkpoint.plan
            network = checkpoint.network(torch.device("cpu"))
            model = as_openvino(network, plan.input_channels, plan.patch_shape, folded=True)
            compiled = core.compile_model(model, "CPU", settings)
            if file is not None:
                _store(compiled, file)
        self._request = compiled.create_infer_request()

    def logits(self, tile: Float32Array) -> Float32Array:
        """Logits (N, C, F, i, j, k) of tiles (N, channels, I, J, K)."""
        found = [
            self._request.infer([np.ascontiguousarray(one[None])])[0].copy() for one in tile
        ]  # the request reuses its output
        return in_blocks(found[0] if len(found) == 1 else np.concatenate(found), self._plan)


def _file_name(checkpoint: Checkpoint, precision: str, core: Any) -> str:
    """Of the compiled network: another one for each model, precision, version and processor."""
    decisive = [
        _FORM,
        model_identity(checkpoint),
        precision,
        import_openvino().__version__,
        core.get_property("CPU", "FULL_DEVICE_NAME"),
        sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
    ]
    key = hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:32]
    return f"openvino-{key}.bin"


def _store(compiled: Any, path: Path) -> None:
    exported = compiled.export_model()
    content = exported if isinstance(exported, bytes) else exported.getvalue()
    with contextlib.suppress(StorageError):  # a full disk costs time, not the result
        write_bytes(path, hashlib.sha256(content).digest() + content)


def _load(core: Any, settings: dict[str, Any], path: Path) -> Any:
    """The compiled network; None if it is not there, damaged, or of another build."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, compiled = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(compiled).digest() != digest:
        return None
    with contextlib.suppress(RuntimeError):  # what the program says of a file it does not like
        return core.import_model(io.BytesIO(compiled), "CPU", settings)
    return None
