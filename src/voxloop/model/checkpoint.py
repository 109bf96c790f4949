"""A trained model as one file: weights as safetensors, with plan and provenance in its header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from voxloop.compute.atomic import write_bytes
from voxloop.errors import DataError, Problem
from voxloop.model.unet import UNet, build_network
from voxloop.plan.plan import Plan

__all__ = ["Checkpoint", "load_checkpoint", "read_tensors", "save_checkpoint", "write_tensors"]

_FORMAT = "voxloop-checkpoint-1"
_HEADER = "voxloop"
_MAX_TENSORS = 10_000


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model that can be used, and where it comes from.

    Attributes:
        plan: how its input is prepared and what the network looks like.
        weights: name to tensor.
        provenance: training configuration, hashes of the annotations learned from, versions.
    """

    plan: Plan
    weights: Mapping[str, Tensor]
    provenance: Mapping[str, Any]

    def network(self, device: torch.device) -> UNet:
        """The network with these weights, on a device, ready for inference.

        Labels that no training voxel carried are never predicted.
        """
        network = build_network(self.plan)
        network.load_state_dict(dict(self.weights))
        unlearned = self.provenance.get("unlearned", ())
        network.silence([self.plan.table.values.index(value) + 1 for value in unlearned])
        return network.to(device).eval().requires_grad_(requires_grad=False)

    @property
    def sha256(self) -> str:
        """Hash of all weights, the same wherever and whenever they are saved."""
        digest = hashlib.sha256()
        for name in sorted(self.weights):
            digest.update(name.encode())
            digest.update(self.weights[name].contiguous().numpy().tobytes())
        return digest.hexdigest()


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a model atomically; plan and provenance travel in the same file."""
    header = {
        "format": _FORMAT,
        "plan": json.dumps(checkpoint.plan.to_json()),
        "provenance": json.dumps(dict(checkpoint.provenance)),
    }
    write_tensors(path, checkpoint.weights, header)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a model; nothing in the file is executed.

    Raises:
        DataError: if the file is missing, damaged, no Voxloop model, or its weights do not fit
            its own plan.
    """
    tensors, header = read_tensors(path)
    if header.get("format") != _FORMAT:
        raise _bad(path, "a Voxloop model", f"format {header.get('format')!r}")
    try:
        document, provenance = (json.loads(header[key]) for key in ("plan", "provenance"))
    except (KeyError, ValueError) as error:
        raise _bad(path, "plan and provenance in the header", str(error)) from error
    plan = Plan.from_json(document, str(path))
    expected = {name: value.shape for name, value in build_network(plan).state_dict().items()}
    found = {name: value.shape for name, value in tensors.items()}
    if expected != found:
        odd = sorted(n for n in expected | found if expected.get(n) != found.get(n))
        raise _bad(path, "weights that fit the plan", f"others for {', '.join(odd[:3])}")
    return Checkpoint(plan, tensors, provenance)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Write named tensors with a header of strings as safetensors, atomically."""
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # one entry only: the library writes several in random order, and equal models differed
    write_bytes(path, save(plain, {_HEADER: json.dumps(dict(header), sort_keys=True)}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `write_tensors` wrote.

    Raises:
        DataError: if the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if len(names) > _MAX_TENSORS:
                raise _bad(path, f"at most {_MAX_TENSORS} tensors", f"{len(names)}")
            header = json.loads((file.metadata() or {}).get(_HEADER, "{}"))
            if not isinstance(header, dict):
                raise _bad(path, "a header of names and values", type(header).__name__)
            return {name: file.get_tensor(name) for name in names}, header
    except (OSError, ValueError, SafetensorError) as error:
        raise _bad(path, "a readable model file (safetensors)", str(error)) from error


def _bad(path: Path, expected: str, found: str) -> DataError:
    return DataError(Problem(str(path), expected, found, "train again or give another file"))
