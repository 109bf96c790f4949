from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from voxloop.errors import UsageError
from voxloop.volume.boxes import Box
from voxloop.workspace.actions.skip import skip
from voxloop.workspace.actions.suggest import pool_of
from voxloop.workspace.rounds import (
    Round,
    RoundStage,
    advance_round,
    begin_round,
    read_round,
)
from workspace_samples import GEOMETRY, ask, content, make_workspace

ALLOWED = {
    ("planned", "training"), ("planned", "querying"), ("training", "scored"),
    ("scored", "querying"), ("scored", "complete"), ("querying", "annotating"),
    ("annotating", "complete"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new"), [*itertools.product(RoundStage, RoundStage)])
def test_stages_follow_each_other_as_the_design_says(old: RoundStage, new: RoundStage) -> None:
    record = Round(3, old, 1, "random", ("abc",), ((old, "2025-01-01T00:00:00+00:00"),))
    if (old, new) in ALLOWED:
        after = record.advanced(new)
        assert after.stage is new
        assert [stage for stage, _ in after.entered] == [old, new]
        assert Round.from_json(after.to_json()) == after
    else:
        pattern = f'round 3 is at stage "{old}" and cannot go to "{new}"; .*`voxloop'
        with pytest.raises(UsageError, match=pattern):
            record.advanced(new)


def test_a_round_begins_only_when_the_one_before_is_complete(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    first = begin_round(workspace.layout, seed=7, strategy="random", annotations=("a1",))
    before = content(workspace)
    with pytest.raises(UsageError, match='round 0 is at stage "planned", not complete'):
        begin_round(workspace.layout, seed=7, strategy="random", annotations=())
    assert content(workspace) == before
    for stage in (RoundStage.TRAINING, RoundStage.SCORED, RoundStage.COMPLETE):
        advance_round(workspace.layout, first.number, stage)
    second = begin_round(workspace.layout, seed=8, strategy="random", annotations=("a1", "a2"))
    assert workspace.rounds() == (read_round(workspace.layout, 0), second)
    assert read_round(workspace.layout, 0).annotations == ("a1",)


def test_what_a_round_learns_from_is_pinned_when_training_starts(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    begin_round(workspace.layout, seed=7, strategy="random", annotations=())
    pinned = advance_round(workspace.layout, 0, RoundStage.TRAINING, annotations=["x", "y"])
    assert pinned.annotations == ("x", "y")
    with pytest.raises(UsageError, match="pinned on the way to"):
        advance_round(workspace.layout, 0, RoundStage.SCORED, annotations=["z"])
    with pytest.raises(UsageError, match="there is no round 4; rounds so far: 0"):
        advance_round(workspace.layout, 4, RoundStage.SCORED)


def test_skipping_the_last_open_query_completes_the_round(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    ask(workspace, *(("a", Box.slice_at(GEOMETRY.shape, 2, index)) for index in (1, 4)))
    assert not skip(workspace, [2]).round_complete
    with pytest.raises(UsageError, match=r"open queries are \[1\]; found \[2\]"):
        skip(workspace, [2])
    assert skip(workspace, [1]).round_complete
    assert read_round(workspace.layout, 0).stage is RoundStage.COMPLETE
    with pytest.raises(UsageError, match=r"no round is waiting.*voxloop train"):
        skip(workspace, [1])


def test_what_was_skipped_is_not_asked_for_again_in_later_rounds(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    region = Box.slice_at(GEOMETRY.shape, 2, 4)
    before = pool_of(workspace)
    assert region in [before.region(candidate) for candidate in before.candidates]
    ask(workspace, ("a", region))
    skip(workspace, [1], reason="poor_image")
    assert workspace.open_queries() == ()
    begin_round(workspace.layout, seed=2, strategy="strided", annotations=())
    after = pool_of(workspace)
    assert region not in [after.region(candidate) for candidate in after.candidates]
    assert len(after.candidates) == len(before.candidates) - 1
    assert after.annotated_count == 0
