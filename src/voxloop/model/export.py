"""A model as files that other programs run: ONNX, OpenVINO, MONAI Bundle."""

from __future__ import annotations

import hashlib
import io
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from voxloop.compute.atomic import write_bytes, write_json
from voxloop.model.bundle import bundle_documents
from voxloop.model.checkpoint import Checkpoint
from voxloop.model.portable import as_onnx, as_openvino, as_torchscript, import_openvino
from voxloop.model.sidecar import describe_model

__all__ = ["MODEL_FORMATS", "ModelFormat", "write_model"]

ModelFormat = Literal["onnx", "openvino", "monai-bundle"]
"""An ONNX file; OpenVINO's intermediate representation; a folder that MONAI runs."""

MODEL_FORMATS: tuple[ModelFormat, ...] = get_args(ModelFormat)


def write_model(
    checkpoint: Checkpoint, folder: Path, form: ModelFormat, *, name: str = "model"
) -> tuple[Path, ...]:
    """Write a model for another program, with all that is needed to use it.

    ONNX and OpenVINO: the network and `model.json`, which says how to prepare its input and what
    its output means. MONAI Bundle: `configs/`, `models/model.ts`, `docs/README.md`, `LICENSE`.
    The document that describes the rest is written last: a folder without it is an export that
    did not finish.

    Args:
        checkpoint: the model.
        folder: where to write; created if need be.
        form: for which program.
        name: of the model, for people.

    Returns:
        The files, the describing document last.

    Raises:
        MissingExtraError: if the package that writes the format is not installed.
        StorageError: if the disk refuses.
    """
    contents = _WRITERS[form](checkpoint)
    hashes = {path: hashlib.sha256(content).hexdigest() for path, content in contents.items()}
    described = describe_model(checkpoint, hashes)
    last: Mapping[str, Any] = {"model.json": described}
    if form == "monai-bundle":
        texts, last = bundle_documents(checkpoint.plan, described, name)
        contents |= {path: text.encode() for path, text in texts.items()}
    for path, content in contents.items():
        write_bytes(folder / path, content)
    for path, document in last.items():
        write_json(folder / path, document)
    return tuple(folder / path for path in (*contents, *last))


def _onnx(checkpoint: Checkpoint) -> dict[str, bytes]:
    plan = checkpoint.plan
    network = checkpoint.network(torch.device("cpu"))
    return {"model.onnx": as_onnx(network, plan.input_channels, plan.patch_shape)}


def _openvino(checkpoint: Checkpoint) -> dict[str, bytes]:
    plan = checkpoint.plan
    network = checkpoint.network(torch.device("cpu"))
    model = as_openvino(network, plan.input_channels, plan.patch_shape)
    with tempfile.TemporaryDirectory() as scratch:
        files = {name: Path(scratch) / name for name in ("model.bin", "model.xml")}
        import_openvino().serialize(model, files["model.xml"], files["model.bin"])
        return {name: path.read_bytes() for name, path in files.items()}


def _torchscript(checkpoint: Checkpoint) -> dict[str, bytes]:
    plan = checkpoint.plan
    network = checkpoint.network(torch.device("cpu"))
    script = as_torchscript(network, plan.input_channels, plan.patch_shape)
    return {"models/model.ts": _without_origins(script.save_to_buffer())}


def _without_origins(script: bytes) -> bytes:
    """TorchScript without its notes of which source files, on whose computer, it came from."""
    kept = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(script)) as source,
        zipfile.ZipFile(kept, "w", zipfile.ZIP_STORED) as target,
    ):
        for entry in source.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                target.writestr(entry, source.read(entry))
    return kept.getvalue()


_WRITERS: Mapping[ModelFormat, Callable[[Checkpoint], dict[str, bytes]]] = {
    "onnx": _onnx,
    "openvino": _openvino,
    "monai-bundle": _torchscript,
}
