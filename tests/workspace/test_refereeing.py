"""The referee's action: what the model of a round had wrong in the regions that it asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voxloop.active.advice.referee import Verdict
from voxloop.active.query import CONTROL, Query
from voxloop.model.checkpoint import load_checkpoint
from voxloop.predict.predictor import Predictor
from voxloop.train.config import TrainConfig
from voxloop.volume.boxes import Box
from voxloop.workspace.actions import referee as module
from voxloop.workspace.actions.collect import CollectOptions, collect
from voxloop.workspace.actions.referee import referee
from voxloop.workspace.actions.train import train
from voxloop.workspace.delivery import LookedAt
from voxloop.workspace.learning import read_scans
from voxloop.workspace.queries import StoredQuery, put_queries
from voxloop.workspace.rounds import RoundStage, advance_round
from voxloop.workspace.staging import open_staging
from voxloop.workspace.workspace import Workspace
from workspace_samples import GEOMETRY, deliver, make_workspace, organ

CHOSEN, CONTROLS = (2, 3, 4), (0, 6)


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One round with a model of case "a", whose queries for case "b" are answered."""
    folder = tmp_path_factory.mktemp("referee")
    workspace = make_workspace(folder, "a", "b")
    whole = CollectOptions(LookedAt.ALL)
    collect(workspace, deliver(folder / "first", "a", organ()), whole)
    number = train(workspace, TrainConfig(steps=1)).round_number
    advance_round(workspace.layout, number, RoundStage.QUERYING)
    places = [*((i, "entropy") for i in CHOSEN), *((i, CONTROL) for i in CONTROLS)]
    stored = [
        StoredQuery(
            n,
            Query("b", Box.slice_at(GEOMETRY.shape, 2, i), 0.5, key, "why not", 120.0, "voxels"),
        )
        for n, (i, key) in enumerate(places, start=1)
    ]
    with open_staging(workspace.layout) as staging, staging.commit("suggest", "") as commit:
        put_queries(commit, workspace.layout, number, stored)
    advance_round(workspace.layout, number, RoundStage.ANNOTATING)
    collect(workspace, deliver(folder / "second", "b", organ()), whole)
    return workspace


def test_errors_are_those_of_the_model_before_the_answers(answered: Workspace) -> None:
    done = referee(answered)
    model = Predictor(load_checkpoint(answered.layout.member_folder(0, 0) / "model.safetensors"))
    said = model.segment(read_scans(answered, answered.case("b"))).label_map.array
    wrong = (said != organ()).sum(axis=(0, 1)) * GEOMETRY.voxel_volume_mm3 / 1000
    found = [(a.strategy, a.error, a.cost) for a in done.answers]
    expected = [("entropy", wrong[i], 120.0) for i in CHOSEN]
    expected += [(CONTROL, wrong[i], 120.0) for i in CONTROLS]
    assert [f[0] for f in found] == [e[0] for e in expected]
    assert np.array([f[1:] for f in found]) == pytest.approx(np.array([e[1:] for e in expected]))


def test_with_two_controls_it_is_too_early_to_say(answered: Workspace) -> None:
    done = referee(answered)
    (judgement,) = done.judgements
    assert judgement.verdict is Verdict.TOO_EARLY
    assert (judgement.strategy, judgement.chosen, judgement.controls) == ("entropy", 3, 2)
    assert done.to_json()["judgements"][0]["low"] is None, "JSON has no infinity"


def test_known_errors_are_not_computed_again(
    answered: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = referee(answered)

    def refuse(*_: object) -> None:
        pytest.fail("predicted again")

    monkeypatch.setattr(module, "read_scans", refuse)
    assert referee(answered) == before


def test_a_workspace_that_asked_nothing_has_nothing_to_judge(tmp_path: Path) -> None:
    done = referee(make_workspace(tmp_path, "a"))
    assert done.judgements == ()
    assert "let a share of the queries be controls" in done.next_step
