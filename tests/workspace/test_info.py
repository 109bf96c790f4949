from __future__ import annotations

import json
from pathlib import Path

import pytest

from voxloop.volume.boxes import Box
from voxloop.workspace.actions.checked_delivery import CollectOptions
from voxloop.workspace.actions.collect import collect
from voxloop.workspace.actions.info import info
from voxloop.workspace.delivery import LookedAt
from workspace_samples import GEOMETRY, ask, deliver, make_workspace, organ


def test_the_next_step_is_said_at_every_turn(tmp_path: Path) -> None:
    assert "voxloop add" in info(make_workspace(tmp_path / "empty")).next_step
    workspace = make_workspace(tmp_path, "a", "b")
    assert "voxloop suggest" in info(workspace).next_step
    ask(workspace, ("a", Box.whole(GEOMETRY.shape)), ("b", Box.whole(GEOMETRY.shape)))
    drawn = deliver(tmp_path / "drawn", "a", organ())
    collect(workspace, drawn, CollectOptions(looked_at=LookedAt.QUERIES, seconds=61.0))
    now = info(workspace)
    assert now.next_step.endswith("`voxloop collect FOLDER` (1 of 2 queries are open)")
    assert (now.open_queries, now.rounds, now.seconds) == (1, ((0, "annotating"),), 61.0)


def test_shares_and_labels_are_those_of_the_voxels(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a", "b")
    drawn = deliver(tmp_path / "drawn", "a", organ())
    collect(workspace, drawn, CollectOptions(looked_at=LookedAt.LABELLED_SLICES))
    now = info(workspace)
    assert (now.voxel_share, now.slice_share) == pytest.approx((3 / 14, 3 / 14))
    assert (now.cases[0].voxel_share, now.cases[1].voxel_share) == pytest.approx((3 / 7, 0))
    assert now.labels == {"liver": int((organ() == 1).sum()), "spleen": 1}
    assert json.loads(json.dumps(now.to_json()))["cases"][0]["revisions"] == 1
    assert "voxloop train" in now.next_step
