"""The documents of a MONAI Bundle: what a model is, and how MONAI runs it on scans."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np
import torch

from voxloop.model.sidecar import class_names, input_channel_names
from voxloop.plan.plan import POSITION_SCALE_MM, Normalisation, Plan

__all__ = ["bundle_documents"]

_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)
_TESTED_WITH_MONAI = "1.6.1"
_IMAGE = "image"
_PREDICTION = "pred"


def bundle_documents(
    plan: Plan, described: Mapping[str, Any], name: str
) -> tuple[dict[str, str], dict[str, Any]]:
    """All of a bundle but the network itself.

    Args:
        plan: of the model.
        described: what `describe_model` says of it, kept as `configs/voxloop.json`.
        name: of the model, for people.

    Returns:
        Texts and JSON documents, each by path within the bundle; `configs/metadata.json` last.
    """
    documents = {
        "configs/voxloop.json": described,
        "configs/inference.json": _inference(plan),
        "configs/metadata.json": _metadata(plan, described, name),
    }
    return {"LICENSE": _licence(), "docs/README.md": _readme(plan, name)}, documents


def _metadata(plan: Plan, described: Mapping[str, Any], name: str) -> dict[str, Any]:
    modality = plan.channel_names[0].upper()
    is_ct = modality == "CT"
    shape = list(plan.patch_shape)
    common = {"type": "image", "spatial_shape": shape, "dtype": "float32", "is_patch_data": True}
    found = class_names(plan)
    return {
        "schema": _SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": "exported by Voxloop"},
        "monai_version": _TESTED_WITH_MONAI,
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {"nibabel": "5.3.0", "pytorch-ignite": "0.5.0"},
        "supported_apps": {},
        "name": name,
        "task": f"Segmentation of {', '.join(plan.labels)}",
        "description": f"A 3D network that finds {', '.join(plan.labels)}, trained with Voxloop",
        "authors": "the people who trained the model with Voxloop",
        "copyright": "the people who trained the model",
        "intended_use": "Research; not a medical device. Check every result before use.",
        "network_data_format": {
            "inputs": {
                _IMAGE: {
                    **common,
                    "format": "hounsfield" if is_ct else "magnitude",
                    "modality": modality if modality in {"CT", "MR"} else "n/a",
                    "num_channels": plan.input_channels,
                    "value_range": [],
                    "channel_def": _numbered(input_channel_names(plan)),
                }
            },
            "outputs": {
                _PREDICTION: {
                    **common,
                    "format": "segmentation",
                    "num_channels": len(found),
                    "value_range": [],
                    "channel_def": _numbered(found),
                }
            },
        },
        "checkpoint_sha256": described["checkpoint_sha256"],
    }


def _inference(plan: Plan) -> dict[str, Any]:
    return {
        "imports": ["$import glob", "$import numpy", "$import torch"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/scans'",
        "output_dir": "$@bundle_root + '/predictions'",
        "datalist": _datalist(plan),
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": "$torch.jit.load(@bundle_root + '/models/model.ts', map_location=@device)",
        "network": "$@network_def.to(@device).eval()",
        "preprocessing": {"_target_": "Compose", "transforms": _preprocessing(plan)},
        "dataset": {
            "_target_": "Dataset",
            "data": f"$[{{'{_IMAGE}': i}} for i in @datalist]",
            "transform": "@preprocessing",
        },
        "dataloader": {
            "_target_": "DataLoader",
            "dataset": "@dataset",
            "batch_size": 1,
            "shuffle": False,
            "num_workers": 0,
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": list(plan.patch_shape),
            "sw_batch_size": 1,
            "overlap": 0.5,
            "mode": "gaussian",
            "sigma_scale": 0.125,
        },
        "postprocessing": {"_target_": "Compose", "transforms": _postprocessing(plan)},
        "handlers": [{"_target_": "StatsHandler", "iteration_log": False}],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "run": ["$@evaluator.run()"],
    }


def _datalist(plan: Plan) -> str:
    if len(plan.channel_names) == 1:
        return "$sorted(glob.glob(@dataset_dir + '/*.nii.gz'))"
    end = "_0000.nii.gz"
    files = f"[f[:-{len(end)}] + '_%04d.nii.gz' % c for c in range({len(plan.channel_names)})]"
    return f"$[{files} for f in sorted(glob.glob(@dataset_dir + '/*{end}'))]"


def _preprocessing(plan: Plan) -> list[dict[str, Any]]:
    channels = ", ".join(
        f"{_normalisation(how)}(x[{c} : {c + 1}])" for c, how in enumerate(plan.normalisation)
    )
    steps: list[dict[str, Any]] = [
        {"_target_": "LoadImaged"},
        {"_target_": "EnsureChannelFirstd"},
        {"_target_": "EnsureTyped", "dtype": "$torch.float32"},
        {"_target_": "Lambdad", "func": f"$lambda x: torch.cat([{channels}])"},
        {"_target_": "Orientationd", "axcodes": "RAS"},
        {
            "_target_": "Spacingd",
            "pixdim": list(plan.spacing_mm),
            "mode": "bilinear",
            "scale_extent": True,  # the outer faces stay where they are, as in `Geometry.resampled`
        },
        {"_target_": "SpatialPadd", "spatial_size": list(plan.patch_shape), "mode": "edge"},
    ]
    if plan.use_position:
        scale = [spacing / POSITION_SCALE_MM for spacing in plan.spacing_mm]
        axes = f"[(torch.arange(n) - (n - 1) / 2) * s for n, s in zip(x.shape[1:], {scale})]"
        place = f"torch.stack(torch.meshgrid(*{axes}, indexing='ij'))"
        steps.append({"_target_": "Lambdad", "func": f"$lambda x: torch.cat([x, {place}])"})
    return [{**step, "keys": _IMAGE} for step in steps]


def _normalisation(how: Normalisation) -> str:
    """As `voxloop.plan.preprocess` does it, in one expression."""
    if how.method == "fixed" and how.clip is not None:
        low, high = how.clip
        return f"(lambda v: (v.clip({low!r}, {high!r}) - {how.mean!r}) / {how.sd!r})"
    steps = (
        "empty := float(v.min())",
        "masked := 0.1 < float((v == empty).float().mean()) < 1",
        "body := v.numpy()[v.numpy() != empty] if masked else v.numpy()",
        "span := [float(p) for p in numpy.percentile(body, [0.5, 99.5])]",
        "body := body.clip(*span)",
        "clipped := torch.where(v == empty, v, v.clip(*span)) if masked else v.clip(*span)",
        "(clipped - float(body.mean())) / max(float(body.std()), 1e-6)",
    )
    return f"(lambda v: ({', '.join(steps)})[-1])"


def _postprocessing(plan: Plan) -> list[dict[str, Any]]:
    values = [0, *plan.table.values]
    steps: list[dict[str, Any]] = [
        {"_target_": "Activationsd", "softmax": True},
        {
            "_target_": "Invertd",
            "transform": "@preprocessing",
            "orig_keys": _IMAGE,
            "nearest_interp": False,
            "to_tensor": True,
        },
        {"_target_": "AsDiscreted", "argmax": True},
    ]
    if values != list(range(len(values))):
        table = f"sum((x == c) * float(v) for c, v in enumerate({values}))"
        steps.append({"_target_": "Lambdad", "func": f"$lambda x: {table}"})
    steps.append(
        {
            "_target_": "SaveImaged",
            "output_dir": "@output_dir",
            "output_ext": ".nii.gz",
            "output_dtype": "$numpy.uint8",
            "output_postfix": "seg",
            "separate_folder": False,
            "resample": False,
        }
    )
    return [{**step, "keys": _PREDICTION} for step in steps]


def _numbered(names: list[str]) -> dict[str, str]:
    return {str(index): name for index, name in enumerate(names)}


def _licence() -> str:
    """The licence under which Voxloop, and so the configuration it writes, may be used."""
    try:
        text = metadata.distribution("voxloop").read_text("licenses/LICENSE")
    except metadata.PackageNotFoundError:
        text = None
    return text or "Apache License 2.0: https://www.apache.org/licenses/LICENSE-2.0\n"


def _readme(plan: Plan, name: str) -> str:
    spacing = " x ".join(f"{s:g}" for s in plan.spacing_mm)
    several = len(plan.channel_names) > 1
    files = "`CASE_0000.nii.gz`, `CASE_0001.nii.gz`, ..." if several else "`CASE.nii.gz`"
    labels = "\n".join(f"- {value}: {label}" for label, value in plan.labels.items())
    return f"""# {name}

A 3D segmentation model trained with Voxloop, as a MONAI Bundle.

Input: {", ".join(plan.channel_names)}; the network works at {spacing} mm. Labels:

{labels}

Put scans ({files}) into `scans/` and run, in this folder:

    python -m monai.bundle run --config_file configs/inference.json

The label maps appear in `predictions/`. Voxloop blends the probabilities of overlapping tiles,
MONAI their logits, and Voxloop keeps the grid of a scan within 3 % of the network's spacing;
otherwise the steps are the same. `configs/voxloop.json` describes the network for other programs.

`models/model.ts` is TorchScript, which is a program: load it only if you trust its source.
`LICENSE` covers the configuration; the rights in the weights are those of whoever trained them.

For research. Not a medical device: check every result before use.
"""
