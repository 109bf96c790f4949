"""What a program needs to know to use an exported network, as one JSON document."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from voxloop.model.checkpoint import Checkpoint
from voxloop.model.portable import INPUT_NAME, OUTPUT_NAME
from voxloop.plan.plan import POSITION_SCALE_MM, Normalisation, Plan

__all__ = ["class_names", "describe_model", "input_channel_names"]

_FORMAT = "voxloop-model-1"
_PACKAGES = ("voxloop", "torch", "onnx", "openvino", "numpy")


def describe_model(checkpoint: Checkpoint, files: Mapping[str, str]) -> dict[str, Any]:
    """The document beside an exported network.

    Args:
        checkpoint: the model. Of its provenance nothing leaves but the labels that were not
            learned: it names the cases it was trained on.
        files: name to SHA-256 of the files it describes.
    """
    plan = checkpoint.plan
    patch = list(plan.patch_shape)
    return {
        "format": _FORMAT,
        "checkpoint_sha256": checkpoint.sha256,
        "files": dict(files),
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
        "input": {
            "name": INPUT_NAME,
            "dtype": "float32",
            "shape": [1, plan.input_channels, *patch],
            "channels": input_channel_names(plan),
        },
        "output": {
            "name": OUTPUT_NAME,
            "dtype": "float32",
            "shape": [1, len(plan.labels) + 1, *patch],
            "meaning": "logits; softmax over axis 1 gives probabilities",
            "classes": [
                {"index": index, "name": name, "value": value}
                for index, (name, value) in enumerate(_classes(plan))
            ],
            "never_predicted": sorted(checkpoint.provenance.get("unlearned", ())),
        },
        "preparation": _preparation(plan),
        "position": _position(plan),
        "tiling": (
            "tiles of the input shape, overlapping by half, probabilities blended by a Gaussian "
            "of an eighth of the tile; smaller scans are continued at their border"
        ),
        "plan": plan.to_json(),
    }


def input_channel_names(plan: Plan) -> list[str]:
    """The network's input channels in order, position channels included."""
    position = ["position R", "position A", "position S"] if plan.use_position else []
    return [*plan.channel_names, *position]


def class_names(plan: Plan) -> list[str]:
    """The network's classes in order, background first."""
    return [name for name, _ in _classes(plan)]


def _classes(plan: Plan) -> list[tuple[str, int]]:
    return [("background", 0), *((name, value) for value, name in plan.table.names.items())]


def _preparation(plan: Plan) -> list[str]:
    steps = [
        f"{name}: {_normalisation(how)}"
        for name, how in zip(plan.channel_names, plan.normalisation, strict=True)
    ]
    spacing = " x ".join(f"{s:g}" for s in plan.spacing_mm)
    return [
        "one volume per channel, all on one grid",
        *steps,
        "axes in the order right, anterior, superior, each running in the direction it names (RAS)",
        f"linear resampling to {spacing} mm; a scan within 3 % of that keeps its grid",
    ]


def _normalisation(how: Normalisation) -> str:
    if how.method == "fixed" and how.clip is not None:
        low, high = how.clip
        return f"(clip(x, {low:g}, {high:g}) - {how.mean:g}) / {how.sd:g}"
    return (
        "(clip(x, p, q) - mean) / sd, with p and q the 0.5 and 99.5 percentiles of the volume and "
        "mean and sd of the clipped volume; if more than 10 % of the voxels hold exactly the "
        "lowest value, they stay unclipped and all four are taken from the others"
    )


def _position(plan: Plan) -> dict[str, Any] | None:
    if not plan.use_position:
        return None
    return {
        "formula": "(index - (length - 1) / 2) * spacing_mm / scale_mm",
        "scale_mm": POSITION_SCALE_MM,
        "meaning": (
            "along each axis in turn: where a voxel lies from the middle of the whole resampled "
            "scan (not of the tile); index and length are the scan's"
        ),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
