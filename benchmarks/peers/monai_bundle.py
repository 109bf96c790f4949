"""Run an exported MONAI Bundle with MONAI itself and compare with Voxloop's own label maps.

A small network learns a made-up anatomy (two nested ellipsoids in noise, told apart by intensity
and place) on oblique, anisotropic scans, once in each normalisation and with and without position
channels; it is exported, MONAI reads the bundle's configuration and runs it on new scans, and the
label maps are compared voxel by voxel. Prints one JSON document.

Where one tile holds the scan, a Dice below 0.98 fails. With several tiles the two programs place
them differently, and normalisation within a tile makes that matter: there the yardstick is how
Voxloop differs from itself with another overlap.

    PYTHONPATH=src python benchmarks/peers/monai_bundle.py > monai_bundle.json

Needs the environment of `benchmarks/peers/README.md`.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from voxloop.io.formats import write_volume
from voxloop.model.checkpoint import Checkpoint
from voxloop.model.export import write_model
from voxloop.model.unet import build_network
from voxloop.plan.plan import Normalisation, Plan
from voxloop.plan.preprocess import prepare_image
from voxloop.predict.predictor import Predictor
from voxloop.volume.geometry import Geometry
from voxloop.volume.resample import resample_labels
from voxloop.volume.volume import Volume

LEAST_DICE = 0.98
VALUES = (0, 1, 4)
WORSE = 0.06
"""By how much less MONAI may resemble Voxloop than Voxloop itself with other tiles does."""

STEPS = 120
VARIANTS: dict[str, dict[str, Any]] = {
    "volume": {"normalisation": (Normalisation("volume"),)},
    "volume, masked scan": {"normalisation": (Normalisation("volume"),)},
    "fixed, position": {
        "normalisation": (Normalisation("fixed", (-1000.0, 400.0), -300.0, 350.0),),
        "channel_names": ("CT",),
        "use_position": True,
    },
    "two channels": {
        "normalisation": (Normalisation("volume"), Normalisation("fixed", (0.0, 400.0), 50, 90)),
        "channel_names": ("T1", "T2"),
    },
    "several tiles": {"normalisation": (Normalisation("volume"),), "patch_shape": (24, 24, 12)},
}


def main() -> None:
    """Compare every variant and print the figures."""
    torch.set_num_threads(1)
    found = {name: compare(name) for name in VARIANTS}
    document = {
        "benchmark": "an exported MONAI Bundle, run by MONAI, against Voxloop",
        "least_dice": LEAST_DICE,
        "variants": found,
        **{name: version(name) for name in ("monai", "torch", "numpy")},
    }
    print(json.dumps(document, indent=2))
    for name, variant in found.items():
        for dice, own in zip(variant["dice"], variant["voxloop_other_tiles"], strict=True):
            if dice < min(LEAST_DICE, own - WORSE):
                sys.exit(f"{name}: a label map differs")


def compare(variant: str) -> dict[str, Any]:
    """Train, export, run both; Dice of each label in each scan."""
    plan = plan_of(**VARIANTS[variant])
    masked = "masked" in variant
    checkpoint = trained(plan, masked=masked)
    dices: list[float] = []
    others: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_model(checkpoint, folder, "monai-bundle", name="made-up anatomy")
        for seed in (11, 12):
            channels, _ = scan(plan, seed, masked=masked)
            for number, channel in enumerate(channels):
                end = f"_{number:04d}" if len(channels) > 1 else ""
                write_volume(folder / "scans" / f"case{seed}{end}.nii.gz", channel)
        theirs = run_bundle(folder)
        for seed, other in zip((11, 12), theirs, strict=True):
            channels, _ = scan(plan, seed, masked=masked)
            own, shifted = (
                Predictor(checkpoint, overlap=overlap, engine="torch-fp32", skip_empty=False)
                .segment(channels)
                .label_map.array
                for overlap in (0.5, 0.6)
            )
            dices.extend(dice(own == value, other == value) for value in VALUES)
            others.extend(dice(own == value, shifted == value) for value in VALUES)
    return {
        "dice": [round(value, 4) for value in dices],
        "voxloop_other_tiles": [round(value, 4) for value in others],
    }


def plan_of(**changes: Any) -> Plan:
    """A plan for small patches."""
    settings: dict[str, Any] = {
        "labels": {"shell": 1, "core": 4},
        "channel_names": ("MR",),
        "spacing_mm": (1.0, 1.0, 2.0),
        "patch_shape": (40, 44, 24),
        "batch_size": 1,
        "stem": (1, 1, 1),
        "strides": ((2, 2, 1), (2, 2, 2)),
        "widths": (8, 12, 16),
        "use_position": False,
        "mirror_axes": (),
        "memory_bytes": 1 << 20,
        "reasons": {},
    }
    return Plan(**{**settings, **changes})


def scan(plan: Plan, seed: int, *, masked: bool) -> tuple[tuple[Volume, ...], Volume]:
    """Channels of a made-up scan, and its labels as class numbers."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(np.eye(3) + 0.15 * rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.diag(turn))
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-0.8, 0.9, 2.4])
    affine[:3, 3] = rng.normal(size=3) * 30
    shape = (48, 44, 18)
    geometry = Geometry.from_affine(shape, affine)
    indices = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    middle = geometry.to_world((np.array(shape) - 1) / 2) + rng.uniform(-3, 3, 3)
    place = geometry.to_world(indices.reshape(-1, 3)).reshape(*shape, 3) - middle
    shell = (place**2 / np.array([13, 12, 15]) ** 2).sum(-1) < 1
    core = ((place - 2) ** 2 / np.array([6, 6, 8]) ** 2).sum(-1) < 1
    classes = np.where(core & shell, 2, shell.astype(np.uint8)).astype(np.float32)
    channels = []
    for number in range(len(plan.channel_names)):
        levels = np.array([-100.0, 60.0, 220.0] if number == 0 else [20.0, 150.0, 90.0])
        values = levels[classes.astype(int)] + rng.normal(size=shape) * 12
        if masked:
            body = (place**2 / np.array([16, 15, 18]) ** 2).sum(-1) < 1
            values = np.where(body, values, -1024)
        channels.append(Volume(values.astype(np.float32), geometry))
    return tuple(channels), Volume(classes, geometry)


def trained(plan: Plan, *, masked: bool) -> Checkpoint:
    """A network that has learned the made-up anatomy from patches of three scans."""
    rng = np.random.default_rng(0)
    network = build_network(plan)
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    cases = []
    for seed in range(3):
        channels, classes = scan(plan, seed, masked=masked)
        prepared = prepare_image(channels, plan)
        target = resample_labels(classes.array.astype(np.uint8), prepared.source, prepared.grid)
        image = with_position(prepared.array, plan)
        lacking = [max(0, p - n) for n, p in zip(target.shape, plan.patch_shape, strict=True)]
        margin = [(n // 2, n - n // 2) for n in lacking]
        cases.append(
            (
                np.pad(image, [(0, 0), *margin], mode="edge"),
                np.pad(target.astype(np.int64), margin, mode="edge"),
            )
        )
    for _ in range(STEPS):
        image, truth = cases[rng.integers(len(cases))]
        start = [
            rng.integers(max(1, n - p + 1))
            for n, p in zip(truth.shape, plan.patch_shape, strict=True)
        ]
        box = tuple(slice(s, s + p) for s, p in zip(start, plan.patch_shape, strict=True))
        logits = network(torch.from_numpy(np.ascontiguousarray(image[(slice(None), *box)]))[None])
        loss = functional.cross_entropy(logits, torch.from_numpy(truth[box].copy())[None])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return Checkpoint(plan, network.state_dict(), {})


def with_position(image: np.ndarray[Any, Any], plan: Plan) -> np.ndarray[Any, Any]:
    """The image with the channels that the plan's network wants."""
    if not plan.use_position:
        return image
    axes = [
        (np.arange(n) - (n - 1) / 2) * s / 100
        for n, s in zip(image.shape[1:], plan.spacing_mm, strict=True)
    ]
    place = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    return np.concatenate([image, place])


def run_bundle(folder: Path) -> list[np.ndarray[Any, Any]]:
    """The label maps that MONAI makes of the bundle's scans, in the order of their names."""
    from monai.bundle import ConfigParser
    from monai.data import MetaTensor

    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)  # which goes where the figures go
    parser = ConfigParser()
    parser.read_config(str(folder / "configs" / "inference.json"))
    parser.read_meta(str(folder / "configs" / "metadata.json"))
    parser["bundle_root"] = str(folder)
    parts = {
        name: parser.get_parsed_content(name)
        for name in ("dataset", "network", "inferer", "postprocessing")
    }
    wanted = parser.get_parsed_content("_meta_")["network_data_format"]
    found = []
    for case in parts["dataset"]:
        if len(case["image"]) != wanted["inputs"]["image"]["num_channels"]:
            sys.exit("the bundle's metadata and its preparation disagree")
        with torch.no_grad():
            logits = parts["inferer"](case["image"][None].as_tensor(), parts["network"])[0]
        if len(logits) != wanted["outputs"]["pred"]["num_channels"]:
            sys.exit("the bundle's metadata and its network disagree")
        done = parts["postprocessing"]({**case, "pred": MetaTensor(logits)})
        found.append(np.asarray(done["pred"])[0].astype(np.uint8))
    if len(list((folder / "predictions").glob("*_seg.nii.gz"))) != len(found):
        sys.exit("not every label map was written")
    return found


def dice(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """Overlap of two masks; two empty ones agree."""
    total = float(one.sum() + other.sum())
    return float(2 * (one & other).sum()) / total if total else 1.0


if __name__ == "__main__":
    main()
