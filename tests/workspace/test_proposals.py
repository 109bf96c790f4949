"""What annotators start from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voxloop.train.loop import MODEL_FILE
from voxloop.volume.boxes import Box
from voxloop.volume.labels import IGNORE
from voxloop.volume.volume import LabelMap
from voxloop.workspace import proposals
from voxloop.workspace.actions.checked_delivery import CollectOptions
from voxloop.workspace.actions.collect import collect
from voxloop.workspace.delivery import LookedAt
from voxloop.workspace.detail import detail_folder
from voxloop.workspace.proposals import model_file, prediction_file, proposal_of, voxel_hash
from workspace_samples import GEOMETRY, LABELS, ask, deliver, make_workspace, organ

MARKED = CollectOptions(looked_at=LookedAt.MARKED, asked=("liver",))


def test_people_count_for_the_labels_that_they_looked_for_and_the_model_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(tmp_path, "a")
    said = np.full(GEOMETRY.shape, IGNORE, dtype=np.uint8)
    said[..., 3] = np.where(organ()[..., 3] == 1, 1, 0)
    collect(workspace, deliver(tmp_path / "drawn", "a", said), MARKED)
    model = np.roll(organ(), 2, axis=0)
    model[0, :4, :] = 2
    label_map = LabelMap(model, GEOMETRY, LABELS)
    monkeypatch.setattr(proposals, "predicted", lambda *_: label_map)
    found = proposal_of(workspace, workspace.case("a")).label_map.array
    expected = model.copy()
    liver = organ()[..., 3] == 1
    spleen = model[..., 3] == 2
    expected[..., 3] = np.where(liver, 1, np.where(spleen, 2, 0))
    assert np.array_equal(found, expected)


def test_a_proposal_stays_what_it_was_until_the_round_is_over(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    ask(workspace, ("a", Box.slice_at(GEOMETRY.shape, 2, 3)), ("a", Box.whole(GEOMETRY.shape)))
    first = proposal_of(workspace, workspace.case("a"))
    assert (first.source, first.label_map.array.max()) == ("empty", 0)
    marked = np.where(np.arange(7) == 3, organ(), np.uint8(IGNORE)).astype(np.uint8)
    collect(workspace, deliver(tmp_path / "drawn", "a", marked))
    again = proposal_of(workspace, workspace.case("a"))
    assert (again.sha256, again.source) == (first.sha256, "empty")
    collect(workspace, deliver(tmp_path / "drawn", "a", organ()), CollectOptions(LookedAt.ALL))
    later = proposal_of(workspace, workspace.case("a"))
    assert later.source == "earlier annotations"
    assert later.sha256 == voxel_hash(organ())


def test_another_model_says_something_else_elsewhere(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    record = workspace.case("a")
    assert prediction_file(workspace, record) is None
    ask(workspace, ("a", Box.whole(GEOMETRY.shape)))
    model = workspace.layout.member_folder(0, 0) / MODEL_FILE
    model.parent.mkdir(parents=True)
    places = set()
    for content in (b"one", b"another"):
        model.write_bytes(content)
        assert model_file(workspace) == model
        places.add(prediction_file(workspace, record))
    rules = workspace.layout.postprocessing_file(0)
    rules.write_text("{}")
    places.add(prediction_file(workspace, record))
    workspace.layout.calibration_file(0).write_text("{}")
    places.add(prediction_file(workspace, record))
    detail = detail_folder(model)
    detail.mkdir()
    (detail / "detail.json").write_text("{}")
    places.add(prediction_file(workspace, record))
    assert len(places) == 5
