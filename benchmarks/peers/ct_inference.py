"""A full-size CT from file to label map file: Voxloop, nnU-Net and MONAI in one run, on the CPU.

    PYTHONPATH=src .cache/peers/bin/python benchmarks/peers/ct_inference.py \
      --voxloop .venv/bin/python

The scan is that of benchmarks/inference/full_ct.py, made where it does not exist yet. nnU-Net gets
the configuration that its default planner gives CTs of the body at 1.5 mm (128 x 128 x 128 patches,
six levels of 32 to 320 features), untrained, since time and memory do not depend on the weights;
MONAI's sliding window gets the same network, spacing and patch. Voxloop gets the network of its own
plan, also of random weights, at default quality: it works on a coarser grid and brings detail back
from the scan, so these are ratios of what the programs do by default, not of the same arithmetic
(`--spacing-mm` gives the peers another grid). Mirroring, which nnU-Net does by default and which
takes eight times as long, is off unless `--mirror` is given; Voxloop then runs at best quality.
Each runs in a process of its own, with the same number of threads. The result goes to
benchmarks/results/ct_inference.json after each program; a run that was stopped continues.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

LABELS = 5
CONVENTION = (
    "wall seconds from file to label map file without imports, one run each; Voxloop's second run "
    "in its process, the engine being compiled and compared before; peak resident memory of the "
    "whole process, imports included"
)
SPACING_MM = [1.5, 1.5, 1.5]
PATCH = [128, 128, 128]
FEATURES = [32, 64, 128, 256, 320, 320]
MEAN_HU, SD_HU, LOW_HU, HIGH_HU = 50.0, 100.0, -200.0, 300.0
INFERENCE = Path(__file__).resolve().parent.parent / "inference" / "full_ct.py"


def main() -> int:
    """Run each program and print one JSON document."""
    arguments = _arguments()
    if arguments.run:
        PATCH[:], SPACING_MM[:] = arguments.patch, [arguments.spacing_mm] * 3
        found = RUNS[arguments.run](arguments.scan, mirror=arguments.mirror)
        found["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        sys.stdout.write("\n" + json.dumps(found) + "\n")
        return 0
    sys.path.insert(0, str(INFERENCE.parent))
    import ledger

    scan = arguments.scan or ledger.CACHE / "ct-512x512x200" / "scan.nii.gz"
    if not scan.exists():
        if arguments.scan:
            raise SystemExit(f"{scan} does not exist")
        subprocess.run([arguments.voxloop, str(INFERENCE), "--scan-only"], check=True)
    settings = {"labels": LABELS, "mirror": arguments.mirror, "patch": arguments.patch}
    settings |= {"spacing_mm": arguments.spacing_mm, "scan": scan.parent.name, "seed": 0}
    script = "benchmarks/peers/ct_inference.py"
    book = ledger.Ledger(arguments.out, script, settings, CONVENTION)
    found = {
        name: book.row({"program": name}, partial(_in_a_process, name, scan, arguments))
        for name in arguments.programs
    }
    ours = found.get("voxloop")
    ratios = {
        name: {
            "times_voxloop_seconds": round(row["seconds"] / ours["seconds"], 1),
            "times_voxloop_memory": round(row["peak_gib"] / ours["peak_gib"], 1),
        }
        for name, row in found.items()
        if ours and name != "voxloop"
    }
    book.write(ratios=ratios)
    for name, row in found.items():
        sys.stdout.write(f"{name:8s} {row['seconds']:7.1f} s, {row['peak_gib']:.2f} GiB\n")
    return 0


def run_voxloop(scan: Path, *, mirror: bool) -> dict[str, Any]:
    """Default quality, fastest engine, the plan that such a scan gets."""
    sys.path.insert(0, str(INFERENCE.parent))
    import full_ct as own
    from ct_networks import ct_model

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "scan.nii.gz").symlink_to(scan.resolve())
        copy = work / "scan.nii.gz"
        model = ct_model(work, LABELS, copy, "random")
        cell: dict[str, Any] = {
            "scan": str(copy),
            "model": str(model),
            "labels": LABELS,
            "engine": "auto",
            "cache": str(work / "engines"),
        }
        cell |= {"quality": "best" if mirror else "default", "uncertainty": False}
        own.run_cell(**cell)  # the engine is compiled and compared once for each model
        found = own.run_cell(**cell)
    seconds = found["seconds"]
    return {
        "seconds": seconds["all"],
        "stages": seconds,
        "engine": found["engine"],
        "spacing_mm": found["spacing_mm"],
        "patch": found["patch"],
    }


def run_nnunet(scan: Path, *, mirror: bool) -> dict[str, Any]:
    """nnU-Net's predictor, sequentially: read, preprocess, predict, resample, write."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    index = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, **{f"label {n}": n for n in range(1, LABELS + 1)}},
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }
    plans = PlansManager(nnunet_plans())
    network = nnunet_network()
    predictor = nnUNetPredictor(
        device=torch.device("cpu"), use_mirroring=mirror, allow_tqdm=False, verbose=False
    )
    predictor.manual_initialization(
        network,
        plans,
        plans.get_configuration("3d_fullres"),
        [network.state_dict()],
        index,
        "nnUNetTrainer",
        (0, 1, 2),
    )
    network.eval()
    spent = {"network": 0.0}
    logits = predictor.predict_logits_from_preprocessed_data

    def timed(data: Any) -> Any:
        start = time.monotonic()
        found = logits(data)
        spent["network"] += time.monotonic() - start
        return found

    predictor.predict_logits_from_preprocessed_data = timed
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        predictor.predict_from_files_sequential([[str(scan)]], folder)
        seconds = time.monotonic() - start
    return {"seconds": round(seconds, 2), "network_seconds": round(spent["network"], 2)}


def run_monai(scan: Path, *, mirror: bool) -> dict[str, Any]:
    """MONAI's transforms and sliding window, written as its bundles do; it does not mirror."""
    import monai.transforms as mt
    import torch
    from monai.data import MetaTensor
    from monai.inferers import SlidingWindowInferer

    del mirror
    network = nnunet_network().eval()
    start = time.monotonic()
    keys = ["image"]
    before = mt.Compose(
        [
            mt.LoadImaged(keys, ensure_channel_first=True),
            mt.Orientationd(keys, axcodes="RAS", labels=None),
            mt.Spacingd(keys, pixdim=SPACING_MM, mode="bilinear"),
            mt.ScaleIntensityRanged(keys, LOW_HU, HIGH_HU, 0.0, 1.0, clip=True),
        ]
    )
    prepared = before({"image": str(scan)})
    inferer = SlidingWindowInferer(PATCH, sw_batch_size=1, overlap=0.5, mode="gaussian")
    ready = time.monotonic()
    with torch.no_grad():
        found = inferer(prepared["image"][None], network)[0]
    looked = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        after = mt.Compose(
            [
                mt.Invertd("pred", before, "image", nearest_interp=False, to_tensor=True),
                mt.AsDiscreted("pred", argmax=True),
                mt.SaveImaged("pred", output_dir=folder, output_dtype="uint8", print_log=False),
            ]
        )
        after({"image": prepared["image"], "pred": MetaTensor(found, meta=prepared["image"].meta)})
    end = time.monotonic()
    return {"seconds": round(end - start, 2), "network_seconds": round(looked - ready, 2)}


RUNS = {"voxloop": run_voxloop, "nnunet": run_nnunet, "monai": run_monai}


def nnunet_network() -> Any:
    """nnU-Net's default network for such scans, with random weights."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    architecture = nnunet_plans()["configurations"]["3d_fullres"]["architecture"]
    return get_network_from_plans(
        architecture["network_class_name"],
        architecture["arch_kwargs"],
        architecture["_kw_requires_import"],
        1,
        LABELS + 1,
        deep_supervision=False,
    )


def nnunet_plans() -> dict[str, Any]:
    """Plans as nnU-Net's default planner writes them for CTs of 1.5 mm."""
    levels = len(FEATURES)
    resampling = "resample_data_or_seg_to_shape"
    linear = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    units = {"mean": MEAN_HU, "median": MEAN_HU, "std": SD_HU, "min": LOW_HU, "max": HIGH_HU}
    limits = {"percentile_00_5": LOW_HU, "percentile_99_5": HIGH_HU}
    full = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": PATCH,
        "median_image_size_in_voxels": [200.0, 273.0, 273.0],
        "spacing": SPACING_MM,
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": resampling,
        "resampling_fn_seg": resampling,
        "resampling_fn_data_kwargs": {**linear, "order": 3},
        "resampling_fn_seg_kwargs": {**linear, "is_seg": True},
        "resampling_fn_probabilities": resampling,
        "resampling_fn_probabilities_kwargs": linear,
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": {
                "n_stages": levels,
                "features_per_stage": FEATURES,
                "conv_op": "torch.nn.modules.conv.Conv3d",
                "kernel_sizes": [[3, 3, 3]] * levels,
                "strides": [[1, 1, 1]] + [[2, 2, 2]] * (levels - 1),
                "n_conv_per_stage": [2] * levels,
                "n_conv_per_stage_decoder": [2] * (levels - 1),
                "conv_bias": True,
                "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                "norm_op_kwargs": {"eps": 1e-5, "affine": True},
                "dropout_op": None,
                "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
            },
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": True,
    }
    return {
        "dataset_name": "Dataset902_CT",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": SPACING_MM,
        "original_median_shape_after_transp": [200, 273, 273],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": full},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {**units, **limits}},
    }


def _in_a_process(name: str, scan: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    python = arguments.voxloop if name == "voxloop" else sys.executable
    words = [python, __file__, "--scan", str(scan), "--run", name]
    words += ["--patch", *map(str, arguments.patch), "--spacing-mm", str(arguments.spacing_mm)]
    words += ["--mirror"] if arguments.mirror else []
    told = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(told.stdout.strip().splitlines()[-1])
    return {**found, "peak_gib": round(found["peak_gib"], 2)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scan", type=Path, help="another one than that of full_ct.py")
    parser.add_argument("--voxloop", default=sys.executable, help="Python that has Voxloop")
    parser.add_argument("--programs", nargs="+", choices=list(RUNS), default=list(RUNS))
    parser.add_argument("--mirror", action="store_true")
    parser.add_argument("--patch", type=int, nargs=3, default=list(PATCH), help="of the peers")
    parser.add_argument("--spacing-mm", type=float, default=SPACING_MM[0], help="of the peers")
    results = Path(__file__).resolve().parent.parent / "results"
    parser.add_argument("--out", type=Path, default=results / "ct_inference.json")
    parser.add_argument("--run", choices=list(RUNS), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
