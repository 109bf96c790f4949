"""Which engine runs a model: the fastest one here that says what the reference says."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from voxloop.compute.atomic import write_json
from voxloop.errors import MissingExtraError, StorageError, UsageError
from voxloop.model.checkpoint import Checkpoint
from voxloop.model.device import best_device, has_fast_bfloat16
from voxloop.predict.engines.engine import Engine, Float32Array, model_identity
from voxloop.predict.engines.onnx_engine import OnnxEngine
from voxloop.predict.engines.openvino_engine import OpenVinoEngine
from voxloop.predict.engines.torch_engine import TorchEngine
from voxloop.predict.engines.verify import Agreement, compare, sample_tile

__all__ = ["ENGINE_NAMES", "CheckedEngine", "open_engine"]

_PRECISIONS = {
    "torch": ("bf16", "fp32"),
    "openvino": ("bf16", "fp32"),
    "onnxruntime": ("fp32",),
}
"""Of each program, the faster first."""

ENGINE_NAMES = (
    "auto",
    *_PRECISIONS,
    *(f"{program}-{p}" for program, precisions in _PRECISIONS.items() for p in precisions),
)
"""What may be asked for."""

_ROUNDS = 3
_PACKAGES = ("torch", "openvino", "onnx", "onnxruntime")
_VERSION = 1
"""Of the record; raise it when the way to check or to choose changes."""


@dataclass(frozen=True)
class CheckedEngine:
    """An engine, and why it may be trusted and was taken.

    Attributes:
        engine: runs the network.
        agreement: with PyTorch in fp32; None for PyTorch itself where it was asked for by name.
        seconds_per_tile: by engine that was measured on this computer.
        note: what was left out and why, in words; empty if there is nothing to say.
    """

    engine: Engine
    agreement: Agreement | None = None
    seconds_per_tile: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def name(self) -> str:
        """Program and precision."""
        return self.engine.name

    @property
    def stem(self) -> tuple[int, int, int]:
        """Voxels along each axis of the blocks in which logits come."""
        return self.engine.stem

    def logits(self, tile: Float32Array) -> Float32Array:
        """Logits (N, C, F, i, j, k) of tiles (N, channels, I, J, K)."""
        return self.engine.logits(tile)

    def to_json(self) -> dict[str, Any]:
        """The choice as a document."""
        return {
            "engine": self.name,
            "agreement": None if self.agreement is None else self.agreement.to_json(),
            "seconds_per_tile": {n: round(s, 5) for n, s in self.seconds_per_tile.items()},
            "note": self.note,
        }


def open_engine(
    checkpoint: Checkpoint, wanted: str = "auto", cache: Path | None = None
) -> CheckedEngine:
    """Make a model ready to run.

    Every engine but PyTorch is compared with PyTorch in fp32 on a made-up tile before its first
    use. "auto" takes the fastest of those that agree, by time measured on this computer: OpenVINO
    (ONNX Runtime only where that is not installed) or PyTorch; on a GPU, PyTorch. What was found
    is kept in the cache, for this model, these packages and this computer.

    Args:
        checkpoint: the model.
        wanted: one of `ENGINE_NAMES`; a program without a precision takes its fastest that agrees.
        cache: folder for compiled networks and for what was found; may be deleted at any time.

    Raises:
        UsageError: if there is no such engine, or the one asked for does not agree.
        MissingExtraError: if the one asked for is not installed; names the extra.
    """
    if wanted not in ENGINE_NAMES:
        raise UsageError(f"there is no engine {wanted!r}; take one of {', '.join(ENGINE_NAMES)}")
    program, _, precision = wanted.partition("-")
    if program == "torch":
        return CheckedEngine(TorchEngine(checkpoint, precision or None))
    file = None if cache is None else cache / f"engine-{_record_key(checkpoint, wanted)}.json"
    return _as_recorded(checkpoint, file, cache) or _examined(checkpoint, wanted, file, cache)


def _examined(
    checkpoint: Checkpoint, wanted: str, file: Path | None, cache: Path | None
) -> CheckedEngine:
    tile = sample_tile(checkpoint.plan)
    reference = TorchEngine(checkpoint, "fp32")
    truth = reference.logits(tile)
    agreements = {reference.name: Agreement(0.0, 0.0, 0.0)}
    able: list[Engine] = []
    notes: list[str] = []
    for ladder in _ladders(wanted, notes):
        for name in ladder:
            try:
                engine = reference if name == "torch-fp32" else _make(checkpoint, name, cache)
                agreement = compare(truth, engine.logits(tile))
            except (ImportError, OSError, RuntimeError) as error:
                if wanted != "auto":
                    raise
                notes.append(f"{name} cannot run here: {_first_line(error)}")
                continue
            agreements[engine.name] = agreement
            if agreement.holds:
                able.append(engine)
                break
            notes.append(f"{engine.name} was not taken: {agreement}")
    if not able:
        raise UsageError(
            f"{wanted!r} does not agree with PyTorch for this model: {'; '.join(notes)}; "
            "take the engine auto or torch"
        )
    seconds = _timed(able, tile) if len(able) > 1 else {}
    taken = min(able, key=lambda engine: seconds.get(engine.name, 0.0))
    checked = CheckedEngine(taken, agreements[taken.name], seconds, "; ".join(notes))
    if file is not None:
        with contextlib.suppress(StorageError):  # a full disk costs time, not the result
            write_json(file, checked.to_json())
    return checked


def _ladders(wanted: str, notes: list[str]) -> Iterator[tuple[str, ...]]:
    """Engines to try; of each group the first that agrees is enough."""
    program, _, precision = wanted.partition("-")
    if program != "auto":
        yield (wanted,) if precision else _best_first(program)
        return
    if best_device().type == "cpu":
        for other, package in (("openvino", "openvino"), ("onnxruntime", "onnxruntime")):
            if _version(package):
                yield _best_first(other)
                break
        else:
            notes.append("neither OpenVINO nor ONNX Runtime is installed (voxloop[infer])")
    yield _best_first("torch")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _best_first(program: str) -> tuple[str, ...]:
    if not has_fast_bfloat16(best_device()):  # emulated, it would be slower and less exact
        return (f"{program}-fp32",)
    return tuple(f"{program}-{precision}" for precision in _PRECISIONS[program])


def _make(checkpoint: Checkpoint, name: str, cache: Path | None) -> Engine:
    """An engine by program and precision, whatever device its name ends with."""
    program, precision, *_ = name.split("-")
    if program == "openvino":
        return OpenVinoEngine(checkpoint, precision, cache)
    if program == "onnxruntime":
        return OnnxEngine(checkpoint)
    return TorchEngine(checkpoint, precision)


def _timed(engines: list[Engine], tile: Float32Array) -> dict[str, float]:
    """The least time of each for a tile; in turn, so that a busy moment meets all of them."""
    seconds = {engine.name: float("inf") for engine in engines}
    for _ in range(_ROUNDS):
        for engine in engines:
            start = time.perf_counter()
            engine.logits(tile)
            seconds[engine.name] = min(seconds[engine.name], time.perf_counter() - start)
    return seconds


def _as_recorded(
    checkpoint: Checkpoint, file: Path | None, cache: Path | None
) -> CheckedEngine | None:
    """What was found before; None if nothing was, or it cannot be made again."""
    if file is None:
        return None
    try:
        found = json.loads(file.read_text())
        agreement = Agreement(**found["agreement"])
        seconds, note = dict(found["seconds_per_tile"]), str(found["note"])
        if not agreement.holds:
            return None
        engine = _make(checkpoint, found["engine"], cache)
    except (OSError, ValueError, TypeError, KeyError, MissingExtraError):
        return None
    return CheckedEngine(engine, agreement, seconds, note)


def _record_key(checkpoint: Checkpoint, wanted: str) -> str:
    decisive = [_VERSION, wanted, model_identity(checkpoint), _computer()]
    decisive.append([_version(package) for package in _PACKAGES])
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:32]


def _computer() -> list[Any]:
    """What decides how fast engines are here."""
    device = best_device()
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    processor = [line for line in _processor_lines() if line.startswith(("model name", "flags"))]
    return [platform.system(), platform.machine(), processor[:2], gpu, torch.get_num_threads()]


def _processor_lines() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return [f"model name {platform.processor()}"]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
