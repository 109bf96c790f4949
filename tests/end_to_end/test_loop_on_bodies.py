"""The whole loop on phantom bodies, through the actions a person's commands call."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import trimesh
from bodies import LABELS, small_network, write_bodies

from voxloop.errors import UsageError
from voxloop.io.formats import read_geometry, read_label_map
from voxloop.train.config import TrainConfig
from voxloop.volume.volume import LabelMap
from voxloop.workspace.actions.add import add
from voxloop.workspace.actions.answer import answer
from voxloop.workspace.actions.collect import CollectOptions, collect
from voxloop.workspace.actions.evaluate import EvaluateResult, evaluate
from voxloop.workspace.actions.init import init
from voxloop.workspace.actions.mesh import MeshResult, mesh
from voxloop.workspace.actions.segment import segment
from voxloop.workspace.actions.suggest import Wish, suggest
from voxloop.workspace.actions.train import TrainResult, train
from voxloop.workspace.delivery import LookedAt
from voxloop.workspace.rounds import RoundStage
from voxloop.workspace.workspace import Workspace

POOL, UNSEEN = range(5), range(5, 8)
"""Eight bodies, each stored in another direction."""


@dataclass(frozen=True)
class Loop:
    """What two rounds on the phantoms left behind."""

    folder: Path
    workspace: Workspace
    trained: tuple[TrainResult, ...]
    scores: tuple[EvaluateResult, ...]
    meshes: MeshResult

    @property
    def predictions(self) -> Path:
        return self.folder / "predictions1"


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Loop:
    folder = tmp_path_factory.mktemp("loop")
    references = write_bodies(folder / "pool", POOL)
    write_bodies(folder / "unseen", UNSEEN)
    workspace = init(folder / "project", LABELS).workspace
    add(workspace, folder / "pool" / "scans")
    trained, scores = [], []
    with small_network():
        for number, strategy in enumerate(("seed", "entropy")):
            asked = suggest(workspace, Wish(query_size=8, strategy=strategy))
            assert asked.strategy == strategy
            assert len(answer(workspace, references.__getitem__).answered) == len(asked.queries)
            trained.append(train(workspace, TrainConfig(steps=200, learning_rate=4e-3)))
            out = folder / f"predictions{number}"
            done = segment(trained[-1].model, folder / "unseen" / "scans", out)
            assert (len(done.written), done.failed) == (len(UNSEEN), ())
            scores.append(evaluate(folder / "unseen" / "references", out, labels=LABELS))
    meshes = mesh(folder / "predictions1", folder / "meshes", labels=LABELS)
    return Loop(folder, workspace, tuple(trained), tuple(scores), meshes)


def _pairs(loop: Loop) -> list[tuple[str, LabelMap, LabelMap]]:
    return [
        (
            path.name.removesuffix(".nii.gz"),
            read_label_map(loop.folder / "unseen" / "references" / path.name, LABELS),
            read_label_map(path, LABELS),
        )
        for path in sorted(loop.predictions.glob("*.nii.gz"))
    ]


def _centre_mm(label_map: LabelMap, value: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    points = label_map.geometry.to_world(np.argwhere(label_map.mask(value)))
    return np.asarray(points.mean(axis=0))


def test_two_rounds_of_a_few_slices_segment_bodies_never_seen(loop: Loop) -> None:
    first, second = (result.summary("dice", "mean of labels") for result in loop.scores)
    assert second.mean > 0.85
    assert second.mean > first.mean - 0.02
    rounds = loop.workspace.rounds()
    assert [record.stage for record in rounds][:1] == [RoundStage.COMPLETE]
    assert rounds[-1].stage is RoundStage.SCORED
    assert [result.training.steps for result in loop.trained] == [200, 200]
    assert loop.workspace.verify() > len(POOL)


def test_label_maps_lie_on_their_scans_own_grid(loop: Loop) -> None:
    for case_id, reference, prediction in _pairs(loop):
        scan = read_geometry(loop.folder / "unseen" / "scans" / f"{case_id}.nii.gz")
        assert prediction.geometry.difference(scan) is None
        assert prediction.geometry.shape == scan.shape
        for value in LABELS.values:
            apart = _centre_mm(prediction, value) - _centre_mm(reference, value)
            assert np.linalg.norm(apart) < 1.5


def test_left_stays_left(loop: Loop) -> None:
    for _, reference, prediction in _pairs(loop):
        for label_map in (reference, prediction):
            left, right = (_centre_mm(label_map, value)[0] for value in (1, 2))
            assert left < right - 8, "x grows towards the patient's right"
            assert label_map.volume_ml(1) > 1.4 * label_map.volume_ml(2)


def test_meshes_lie_where_their_labels_lie(loop: Loop) -> None:
    assert len(loop.meshes.certificates) == len(UNSEEN)
    for case_id, _, prediction in _pairs(loop):
        for value, name in LABELS.names.items():
            file = loop.folder / "meshes" / f"{case_id}_{name.replace(' ', '-')}.stl"
            surface = trimesh.load_mesh(file)
            assert surface.is_watertight
            centre_mm = surface.center_mass * (-1, -1, 1)  # printing programmes expect LPS
            apart = np.linalg.norm(centre_mm - _centre_mm(prediction, value))
            assert apart < min(prediction.geometry.spacing_mm) / 2


def test_segmenting_again_keeps_what_is_there(loop: Loop) -> None:
    again = segment(loop.trained[-1].model, loop.folder / "unseen" / "scans", loop.predictions)
    assert (again.written, len(again.kept)) == ((), len(UNSEEN))


def test_training_again_without_news_keeps_the_model(loop: Loop) -> None:
    with small_network():
        again = train(loop.workspace, TrainConfig(steps=200, learning_rate=4e-3))
    assert again.training.steps == 0
    assert again.round_number == loop.trained[-1].round_number


def test_asking_for_more_than_there_is_does_not_stand_in_the_way_of_training(
    tmp_path: Path,
) -> None:
    write_bodies(tmp_path, range(1))
    workspace = init(tmp_path / "project", LABELS).workspace
    with pytest.raises(UsageError, match="has no cases"):
        suggest(workspace)
    add(workspace, tmp_path / "scans")
    collect(workspace, tmp_path / "references", CollectOptions(looked_at=LookedAt.ALL))
    with pytest.raises(UsageError, match="nothing is left to ask for"):
        suggest(workspace)
    with small_network():
        assert train(workspace, TrainConfig(steps=1)).training.steps == 1
