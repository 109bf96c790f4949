"""Estimates of a workspace's models: of the right annotations, resumed, written and shown."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from plans import narrow_networks
from voxloop.compute.progress import Progress
from voxloop.errors import DataError, UsageError
from voxloop.io.formats import read_label_map
from voxloop.train.config import TrainConfig
from voxloop.workspace.actions import validate as action
from voxloop.workspace.actions.checked_delivery import CollectOptions
from voxloop.workspace.actions.collect import collect
from voxloop.workspace.actions.info import info
from voxloop.workspace.actions.train import train
from voxloop.workspace.actions.validate import validate
from voxloop.workspace.audit import read_entries
from voxloop.workspace.delivery import LookedAt
from voxloop.workspace.jobs import JobState, jobs_of
from voxloop.workspace.workspace import Workspace
from workspace_samples import GEOMETRY, LABELS, deliver, make_workspace, organ

SLICES = CollectOptions(looked_at=LookedAt.LABELLED_SLICES)


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture(scope="module", autouse=True)
def _small_network() -> Iterator[None]:
    with narrow_networks("voxloop.train.fold_model", "voxloop.workspace.actions.train"):
        yield


def _annotated(folder: Path, *case_ids: str) -> Workspace:
    workspace = make_workspace(folder, *case_ids)
    _deliver(workspace, folder, *case_ids)
    return workspace


def _deliver(workspace: Workspace, folder: Path, *case_ids: str) -> None:
    for case_id in case_ids:
        collect(workspace, deliver(folder / f"drawn-{case_id}", case_id, organ()), SLICES)


def test_what_the_newest_model_learned_from_is_validated_for_a_third_of_its_time(
    tmp_path: Path,
) -> None:
    workspace = make_workspace(tmp_path, "a", "b", "c", "d")
    _deliver(workspace, tmp_path, "a", "b", "c")
    trained = train(workspace, TrainConfig(steps=6))
    _deliver(workspace, tmp_path, "d")
    assert info(workspace).quality is None

    found = validate(workspace, actor="tester")
    assert (found.round_number, found.newer) == (trained.round_number, 1)
    assert found.validation.config == TrainConfig(steps=2, warm_start=False)
    written = json.loads(found.file.read_text())
    pinned = workspace.current_round()
    assert pinned is not None
    assert written["annotations"] == list(pinned.annotations)
    assert [fold["validation"] for fold in written["folds"]] == [["a"], ["b"], ["c"]]
    for case_id in ("a", "b", "c"):
        label_map = read_label_map(found.predictions / f"{case_id}.nii.gz", LABELS)
        assert GEOMETRY.difference(label_map.geometry) is None

    shown = info(workspace).quality
    assert shown == found.estimate
    assert [(row.name, row.cases + row.undefined) for row in shown.labels] == [
        ("liver", 3), ("spleen", 3), ("mean of labels", 3),
    ]  # fmt: skip
    assert shown.labels[0].note == "n = 3 is too small to claim an interval"
    last = read_entries(workspace.layout.audit_file)[-1]
    assert (last.action, last.actor, last.detail) == ("validate", "tester", {"round": 0})


def test_the_same_again_changes_nothing_and_an_interrupted_one_goes_on(tmp_path: Path) -> None:
    workspace = _annotated(tmp_path, "a", "b", "c")
    reports = itertools.count(1)

    def dies(_progress: Progress) -> None:
        if next(reports) == 14:
            raise KilledError

    with pytest.raises(KilledError):
        validate(workspace, steps=2, progress=dies)
    assert not workspace.layout.validation_file(0).exists()
    first = validate(workspace, steps=2)
    assert 0 < first.to_json()["steps"] < 6
    assert [job.state for job in jobs_of(workspace.layout)] == [JobState.FAILED, JobState.DONE]
    files = (first.file, workspace.layout.audit_file)
    before = [path.read_bytes() for path in files]
    assert validate(workspace, steps=2).to_json()["steps"] == 0
    assert [path.read_bytes() for path in files] == before


def test_an_estimate_is_out_of_date_once_another_model_is_there(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a", "b", "c")
    _deliver(workspace, tmp_path, "a", "b")
    assert validate(workspace, steps=1).validation.cases == 2
    assert info(workspace).quality == validate(workspace, steps=1).estimate
    _deliver(workspace, tmp_path, "c")
    train(workspace, TrainConfig(steps=1))
    outdated = info(workspace).quality
    assert outdated is not None
    assert not outdated.is_current
    assert validate(workspace, steps=1).validation.cases == 3
    assert info(workspace).to_json()["quality"]["is_current"] is True


def test_what_cannot_be_validated_is_refused_with_what_to_do(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a", "b")
    with pytest.raises(DataError, match="expected an annotated slice, found none"):
        validate(workspace)
    _deliver(workspace, tmp_path, "a")
    with pytest.raises(DataError, match="annotate a slice of a second case"):
        validate(workspace)
    with pytest.raises(UsageError, match="--folds must be at least 2, found 1"):
        validate(workspace, folds=1)
    with pytest.raises(UsageError, match="--minutes must be above 0"):
        validate(workspace, minutes=0)
    assert info(workspace).quality is None


@pytest.mark.parametrize(("model", "fold"), [(10.0, 10 / 3), (2.0, 1.0)])
def test_a_fold_takes_a_third_of_the_models_minutes_but_at_least_one(
    model: float, fold: float
) -> None:
    config = TrainConfig(minutes=model, learning_rate=0.01, seed=5)
    chosen = action._fold_config(config, None, None, 7)
    assert chosen.minutes == pytest.approx(fold)
    assert (chosen.seed, chosen.warm_start) == (7, False)
    same = dataclasses.replace(chosen, minutes=model, seed=5, warm_start=config.warm_start)
    assert same == config, "all else is the model's recipe"
