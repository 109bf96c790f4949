"""Dice on held-out hippocampus cases after minutes of training with nnU-Net v2 on the CPU.

The same split as `benchmarks/training`: of a fixed shuffle the last 40 cases are held out and the
first 160 are learned from. Fingerprint, plan, preprocessing, network, loss, augmentation, batches,
optimiser step and prediction (tiles, Gaussian weights, mirroring) are nnU-Net's own, with its
defaults: 3d_fullres, nnUNetTrainer, nnUNetPlans, fold `all`. Two things differ, both in its favour
where time is short:

- its polynomial learning rate runs through its 1000 epochs within --schedule-minutes of training,
  following the clock instead of a number of epochs that nobody knows beforehand;
- its validation pass and its own checkpoints are left out: they would only cost time.

The clock of --at counts waiting for batches and training steps from the first step on. It leaves
out fingerprint, preprocessing, start-up, saving and prediction. Weights at each point of --at are
the first after it has passed. Run again after an interruption: it continues from the last saved
state (which costs at most two minutes of work), and writes the JSON anew after each point.

    python benchmarks/peers/nnunet_hippocampus.py DATA --work FOLDER --out nnunet.json

A point before the end of the schedule is scored while the learning rate is still high. To give
nnU-Net a whole schedule for a budget of, say, 15 minutes, run it with the same --work and
`--minutes 15 --at 15` as well.

Needs the environment of `benchmarks/peers/README.md`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

SPLIT_SEED = 12
TEST_CASES = 40
TRAIN_CASES = 160
DATASET_ID = 901
DATASET = f"Dataset{DATASET_ID}_Hippocampus"
CONFIGURATION = "3d_fullres"
SAVE_SECONDS = 120.0


@dataclass
class Clock:
    """What training has cost so far.

    Attributes:
        seconds: of waiting for batches and of training steps together.
        last: seconds of that in the last step; a point within them is still this state's.
        waiting: seconds of that spent waiting for a batch.
        cpu_seconds: processor time of this process meanwhile, of all its threads; far below
            `seconds` times threads, others were using the machine.
        iterations: training steps done.
    """

    seconds: float = 0.0
    last: float = 0.0
    waiting: float = 0.0
    cpu_seconds: float = 0.0
    iterations: int = 0


def main() -> int:
    """Train, score at each point, and write the JSON after each of them."""
    arguments = _arguments()
    _set_environment(arguments.work, arguments.threads)
    train_ids, test_ids = _split(arguments.data)
    setup_seconds = _prepare(arguments.data, arguments.work, train_ids, arguments.threads)
    run = _run_folder(arguments)
    trainer = _trainer(arguments.work, arguments.seed, arguments.threads)
    document = _document(arguments, trainer, train_ids, setup_seconds)
    for minutes in _trained_points(trainer, arguments, run):
        point = _scored(trainer, run, minutes, arguments.data, test_ids[: arguments.test_cases])
        document["points"].append(point)
        _write_json(arguments.out, document)
        print(f"{minutes:g} minutes: Dice {point['dice']['mean']:.4f}", file=sys.stderr)
    return 0


def _set_environment(work: Path, threads: int) -> None:
    """What nnU-Net and the maths libraries read when they are imported."""
    wanted = {
        "OMP_NUM_THREADS": str(threads),
        "nnUNet_def_n_proc": str(threads),
        "nnUNet_n_proc_DA": str(threads),
    }
    for name in ("raw", "preprocessed", "results"):
        (work / name).mkdir(parents=True, exist_ok=True)
        wanted[f"nnUNet_{name}"] = str(work / name)
    os.environ.update(wanted)


def _split(data: Path) -> tuple[list[str], list[str]]:
    """Ids to learn from and ids held out, as `benchmarks/training` has them."""
    ids = sorted(p.name.removesuffix("_0000.nii.gz") for p in (data / "imagesTr").glob("*.nii.gz"))
    order = [ids[i] for i in np.random.default_rng(SPLIT_SEED).permutation(len(ids))]
    return order[:-TEST_CASES][:TRAIN_CASES], order[-TEST_CASES:]


def _prepare(data: Path, work: Path, train_ids: list[str], threads: int) -> float:
    """Let nnU-Net measure, plan and preprocess the training cases once; gives the seconds."""
    done = work / "prepared.json"
    if done.exists():
        return float(json.loads(done.read_text())["seconds"])
    raw = work / "raw" / DATASET
    shutil.rmtree(raw, ignore_errors=True)
    shutil.rmtree(work / "preprocessed" / DATASET, ignore_errors=True)
    for folder, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
        (raw / folder).mkdir(parents=True)
        for case_id in train_ids:
            name = case_id + ending
            (raw / folder / name).symlink_to((data / folder / name).resolve())
    index = json.loads((data / "dataset.json").read_text())
    _write_json(raw / "dataset.json", {**index, "numTraining": len(train_ids)})
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    started = time.monotonic()
    api.extract_fingerprints([DATASET_ID], num_processes=threads, check_dataset_integrity=True)
    api.plan_experiments([DATASET_ID])
    api.preprocess([DATASET_ID], configurations=(CONFIGURATION,), num_processes=(threads,))
    seconds = time.monotonic() - started
    _write_json(done, {"seconds": seconds})
    return seconds


def _trainer(work: Path, seed: int, threads: int) -> Any:
    """nnU-Net's default trainer on all cases, with weights drawn from the seed."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    folder = work / "preprocessed" / DATASET
    plans = json.loads((folder / "nnUNetPlans.json").read_text())
    plans["continue_training"] = False
    index = json.loads((folder / "dataset.json").read_text())
    trainer = nnUNetTrainer(plans, CONFIGURATION, "all", index, torch.device("cpu"))
    trainer.initialize()
    return trainer


def _trained_points(trainer: Any, arguments: argparse.Namespace, run: Path) -> Iterator[float]:
    """Train from point to point; gives each one as soon as its weights are on disk."""
    clock: Clock | None = None
    losses: list[float] = []
    for minutes in arguments.at:
        if not _weights(run, minutes).exists():
            if clock is None:
                clock = _started(trainer, arguments.seed, run)
            if clock.seconds - clock.last >= minutes * 60:
                raise SystemExit(f"{run} is past {minutes:g} minutes: choose another --work")
            saved = time.monotonic()
            while clock.seconds < minutes * 60:
                if time.monotonic() - saved > SAVE_SECONDS:
                    _save(trainer, clock, losses, run / "resume.pt")
                    saved = time.monotonic()
                share = clock.seconds / (arguments.schedule_minutes * 60)
                trainer.lr_scheduler.step(trainer.num_epochs * share)
                losses.append(_step(trainer, clock))
            _save(trainer, clock, losses, _weights(run, minutes))
        yield minutes
    if clock is not None:
        trainer.dataloader_train._finish()  # noqa: SLF001 - as its own on_train_end does


def _started(trainer: Any, seed: int, run: Path) -> Clock:
    """Bring the trainer to the newest saved state, if there is one, and start its workers."""
    import torch

    clock = Clock()
    paths = (run / "resume.pt", *run.glob("weights_*.pt"))
    states = [torch.load(path) for path in paths if path.exists()]
    if states:
        newest = max(states, key=lambda state: float(state["clock"]["seconds"]))
        trainer.network.load_state_dict(newest["network"])
        trainer.optimizer.load_state_dict(newest["optimizer"])
        clock = Clock(**newest["clock"])
    torch.manual_seed(seed * 1_000_003 + clock.iterations)  # the workers inherit it
    trainer.on_train_start()
    trainer.dataloader_val._finish()  # noqa: SLF001 - never asked for a batch
    trainer.network.train()
    return clock


def _step(trainer: Any, clock: Clock) -> float:
    started, cpu_started = time.perf_counter(), time.process_time()
    batch = next(trainer.dataloader_train)
    clock.waiting += time.perf_counter() - started
    loss = float(trainer.train_step(batch)["loss"])
    clock.last = time.perf_counter() - started
    clock.seconds += clock.last
    clock.cpu_seconds += time.process_time() - cpu_started
    clock.iterations += 1
    return loss


def _save(trainer: Any, clock: Clock, losses: list[float], path: Path) -> None:
    import torch

    state = {
        "network": trainer.network.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "clock": asdict(clock),
        "learning_rate": trainer.optimizer.param_groups[0]["lr"],
        "loss": float(np.mean(losses[-20:])) if losses else math.nan,
    }
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def _scored(
    trainer: Any, run: Path, minutes: float, data: Path, test_ids: list[str]
) -> dict[str, Any]:
    """Predict the held-out cases with the weights of a point; remembered once done."""
    path = run / f"scores_{minutes:g}_of_{len(test_ids)}.json"
    if path.exists():
        point: dict[str, Any] = json.loads(path.read_text())
        return point
    import torch

    state = torch.load(_weights(run, minutes))
    folder = run / f"predicted_{minutes:g}"
    seconds = _predict(trainer, state["network"], data, test_ids, folder)
    values = [v for v in trainer.dataset_json["labels"].values() if v]
    cases = {
        case_id: _dice(
            _read(data / "labelsTr" / f"{case_id}.nii.gz"),
            _read(folder / f"{case_id}.nii.gz"),
            values,
        )
        for case_id in test_ids
    }
    point = {
        "minutes": minutes,
        "train_seconds": round(state["clock"]["seconds"], 1),
        "waiting_seconds": round(state["clock"]["waiting"], 1),
        "cpu_seconds": round(state["clock"]["cpu_seconds"], 1),
        "iterations": state["clock"]["iterations"],
        "learning_rate": state["learning_rate"],
        "loss": state["loss"],
        "seconds_per_case": round(seconds / len(test_ids), 3),
        "dice": {
            "mean": _mean([case["mean"] for case in cases.values()]),
            **{str(v): _mean([case[str(v)] for case in cases.values()]) for v in values},
        },
        "cases": cases,
    }
    _write_json(path, point)
    return point


def _predict(
    trainer: Any, weights: dict[str, Any], data: Path, ids: list[str], folder: Path
) -> float:
    """Write nnU-Net's label maps of cases into a folder; gives the seconds taken."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    network = trainer.build_network_architecture(
        trainer.plans_manager,
        trainer.configuration_manager,
        trainer.num_input_channels,
        trainer.label_manager.num_segmentation_heads,
        enable_deep_supervision=False,
    )
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.manual_initialization(
        network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [weights],
        trainer.dataset_json,
        "nnUNetTrainer",
        (0, 1, 2),  # where its default training mirrors, and its default prediction with it
    )
    network.eval()
    images = [[str(data / "imagesTr" / f"{case_id}_0000.nii.gz")] for case_id in ids]
    folder.mkdir(exist_ok=True)
    started = time.monotonic()
    predictor.predict_from_files_sequential(images, str(folder))
    return time.monotonic() - started


def _read(path: Path) -> Any:
    import nibabel as nib

    return np.asarray(nib.Nifti1Image.from_filename(path).dataobj)


def _dice(reference: Any, prediction: Any, values: list[int]) -> dict[str, float | None]:
    """Dice of each label and their mean; None where both masks are empty, left out of means."""
    found: dict[str, float | None] = {}
    for value in values:
        one, other = reference == value, prediction == value
        total = int(one.sum() + other.sum())
        found[str(value)] = float(2 * (one & other).sum() / total) if total else None
    found["mean"] = _mean(list(found.values()))
    return found


def _mean(values: list[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _document(
    arguments: argparse.Namespace, trainer: Any, train_ids: list[str], setup_seconds: float
) -> dict[str, Any]:
    """Everything but the points."""
    configuration = trainer.configuration_manager
    architecture = configuration.network_arch_init_kwargs
    return {
        "what": f"nnU-Net v2, Hippocampus: {len(train_ids)} cases, all labels",
        "seed": arguments.seed,
        "schedule_minutes": arguments.schedule_minutes,
        "points": [],
        "settings": {
            "configuration": CONFIGURATION,
            "fold": "all",
            "patch": list(configuration.patch_size),
            "batch": configuration.batch_size,
            "features": list(architecture["features_per_stage"]),
            "strides": [list(s) for s in architecture["strides"]],
            "initial_learning_rate": trainer.initial_lr,
            "schedule": "polynomial, 0.9, over --schedule-minutes of training by the clock",
            "validation_pass": "switched off",
            "mirroring_at_prediction": True,
            "augmentation_workers": arguments.threads,
            "precision": "float32",
        },
        "fingerprint_plan_preprocess_seconds": round(setup_seconds, 1),
        "train_cases": sorted(train_ids),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": arguments.threads,
            "load_at_start": round(os.getloadavg()[0], 2),
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "nnunetv2", "numpy")},
        },
    }


def _run_folder(arguments: argparse.Namespace) -> Path:
    """One folder for each training; runs of other seeds and schedules may share the work folder."""
    name = f"seed{arguments.seed}_schedule{arguments.schedule_minutes:g}_t{arguments.threads}"
    run: Path = arguments.work / "runs" / name
    run.mkdir(parents=True, exist_ok=True)
    return run


def _weights(run: Path, minutes: float) -> Path:
    return run / f"weights_{minutes:g}.pt"


def _write_json(path: Path, document: dict[str, Any]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(document, indent=2) + "\n")
    temporary.replace(path)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    data = Path(os.environ.get("VOXLOOP_DATA", "../shared/data"))
    parser.add_argument("data", type=Path, nargs="?", default=data / "hippocampus")
    parser.add_argument("--minutes", type=float, default=60.0, help="of training")
    parser.add_argument("--at", type=float, nargs="+", help="minutes; default 5 15 30 and the end")
    parser.add_argument("--schedule-minutes", type=float, help="default: --minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--test-cases", type=int, default=TEST_CASES, help="score only the first")
    parser.add_argument("--work", type=Path, default=Path(".cache/nnunet"))
    parser.add_argument("--out", type=Path, default=Path("nnunet_hippocampus.json"))
    arguments = parser.parse_args()
    points = arguments.at or [m for m in (5.0, 15.0, 30.0) if m < arguments.minutes]
    arguments.at = sorted({*points, arguments.minutes})
    if arguments.at[-1] > arguments.minutes:
        parser.error(f"--at {arguments.at[-1]:g} lies after --minutes {arguments.minutes:g}")
    arguments.schedule_minutes = arguments.schedule_minutes or arguments.minutes
    if arguments.schedule_minutes < arguments.minutes:
        parser.error("--schedule-minutes must not be shorter than --minutes")
    arguments.data, arguments.work = arguments.data.resolve(), arguments.work.resolve()
    arguments.work.mkdir(parents=True, exist_ok=True)
    return arguments


if __name__ == "__main__":
    sys.exit(main())
