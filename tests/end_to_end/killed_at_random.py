"""Kill a round of training, asking and collecting at random moments until it gets through.

Usage: killed_at_random.py FOLDER KILLS SEED. FOLDER holds `project`, a workspace that is ready to
train, and `references`. An undisturbed round is run first. Then, as long as fewer than KILLS
processes were killed, a round is started on a fresh copy and restarted after each kill until it
is finished; it must end where the undisturbed one did. Prints what the kills met as JSON.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
from bodies import small_network

from voxloop.errors import DataError
from voxloop.io.formats import read_label_map
from voxloop.model.checkpoint import load_checkpoint, read_tensors
from voxloop.train.config import TrainConfig
from voxloop.workspace.actions.answer import answer
from voxloop.workspace.actions.suggest import Wish, suggest
from voxloop.workspace.actions.train import train
from voxloop.workspace.learning import newest_model
from voxloop.workspace.rounds import RoundStage
from voxloop.workspace.workspace import Workspace

CONFIG = TrainConfig(steps=40, seed=5, save_seconds=0.2)


def play_round(folder: Path) -> None:
    """Do what is left of the second round."""
    workspace = Workspace.open(folder / "project")
    if _stage(workspace) in {None, RoundStage.PLANNED, RoundStage.TRAINING}:
        with small_network():
            train(workspace, CONFIG)
    if _stage(workspace) in {RoundStage.SCORED, RoundStage.QUERYING}:
        suggest(workspace, Wish(query_size=6))
    if _stage(workspace) is RoundStage.ANNOTATING:
        references = folder / "references"
        labels = workspace.labels
        answer(workspace, lambda case: read_label_map(references / f"{case}.nii.gz", labels))


def _stage(workspace: Workspace) -> RoundStage | None:
    """Of the second round, None before it."""
    record = workspace.current_round()
    return record.stage if record is not None and record.number == 1 else None


def outcome(folder: Path) -> dict[str, Any]:
    """Everything about a finished round that must not depend on how it came about."""
    workspace = Workspace.open(folder / "project")
    layout = workspace.layout
    model = newest_model(workspace)
    assert _stage(workspace) is RoundStage.COMPLETE
    assert [path.name for path in model.parent.iterdir()] == [model.name], "left half done"
    assert not any(layout.staging.iterdir()), "left half done"
    return {
        "weights": load_checkpoint(model).sha256,
        "queries": layout.queries_file(1).read_text(),
        "plan": layout.plan_file.read_text(),
        "metrics": layout.metrics_file(1).read_text(),
        "revisions": workspace.verify(),
        "annotations": {
            record.id: [
                hashlib.sha256(workspace.load(revision).label_map.array.tobytes()).hexdigest()
                for revision in workspace.annotations_of(record.id)
            ]
            for record in workspace.cases()
        },
    }


def run(folder: Path, kill_after_seconds: float | None = None) -> bool:
    """Play the round in a process of its own; True if it got through."""
    child = os.fork()
    if child == 0:
        try:
            play_round(folder)
        except Exception:  # noqa: BLE001 - whatever it is, this process must end here
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if kill_after_seconds is not None:
        time.sleep(kill_after_seconds)
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in {0, -signal.SIGKILL}, "the round failed, see above"
    return status == 0


def met(folder: Path) -> str:
    """What a kill has just interrupted."""
    workspace = Workspace.open(folder / "project")
    stage = _stage(workspace)
    if stage is not RoundStage.TRAINING:
        return "before training" if stage is None else str(stage)
    steps = [0]
    for slot in workspace.layout.member_folder(1, 0).glob("resume-*.safetensors"):
        with contextlib.suppress(DataError):
            steps.append(int(read_tensors(slot)[1]["step"]))
    return "training, resumable" if max(steps) > 0 else "training, before its first state"


def main(folder: Path, kills: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pristine = folder / "pristine"
    shutil.copytree(folder / "project", pristine)
    started = time.monotonic()
    assert run(folder)
    seconds = time.monotonic() - started
    expected = outcome(folder)
    moments: list[str] = []
    finished = 0
    while len(moments) < kills:
        shutil.rmtree(folder / "project")
        shutil.copytree(pristine, folder / "project")
        while not run(folder, float(rng.uniform(0, seconds)) if len(moments) < kills else None):
            moments.append(met(folder))
        found = outcome(folder)
        assert found == expected, [key for key in found if found[key] != expected[key]]
        finished += 1
    sys.stdout.write(json.dumps({"moments": moments, "finished": finished, "seconds": seconds}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
