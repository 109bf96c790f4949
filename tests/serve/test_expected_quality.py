"""What the server says a proposal is worth."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from server_samples import propose, serving, slice_box, slice_patch, stand_in

from voxloop.report.outcome import CaseOutcome, LabelOutcome, Quality
from voxloop.workspace.proposals import prediction_file
from voxloop.workspace.workspace import Workspace
from workspace_samples import ask, make_workspace, organ

FLAG = "the liver is cut off: 30% of its surface is the scan's border"
ESTIMATE = Quality(0.91, 0.85, 0.95, 0.7, 0.4, 1.2, 12, (FLAG,), "intervals hold for 9 cases in 10")
OUTCOME = CaseOutcome(
    "a", "done", (LabelOutcome("liver", 1.25, ESTIMATE), LabelOutcome("spleen", 0.5))
)


def quality(workspace: Workspace) -> Any:
    with serving(workspace) as client:
        one = client.get("cases/a").json()["quality"]
        assert one == client.get("cases").json()["cases"][0]["quality"]
    return one


def test_a_proposal_comes_with_what_it_is_expected_to_be_worth_or_with_why_that_is_unknown(
    tmp_path: Path,
) -> None:
    workspace = make_workspace(tmp_path, "a")
    assert quality(workspace) is None
    ask(workspace, ("a", slice_box(0)))
    stand_in(workspace)
    assert quality(workspace) is None, "it has not seen the case"

    bare = tuple(replace(label, quality=None) for label in OUTCOME.per_label)
    propose(workspace, organ(), replace(OUTCOME, per_label=bare, flags=("nothing was found",)))
    found = quality(workspace)
    assert "voxloop validate" in found["why_unknown"]
    assert [(one["name"], one["volume_ml"], one["dice"]) for one in found["labels"]] == [
        ("liver", 1.25, None), ("spleen", 0.5, None),
    ]  # fmt: skip
    assert found["checks"] == ["nothing was found"]

    workspace.layout.calibration_file(0).write_text("{}")
    assert quality(workspace) is None, "what was said before the validation is not shown as of now"
    propose(workspace, organ(), replace(OUTCOME, per_label=bare, remark="memory did not suffice"))
    assert quality(workspace)["why_unknown"] == "memory did not suffice"
    propose(workspace, organ(), replace(OUTCOME, flags=("another scanner",)))
    found = quality(workspace)
    liver, spleen = found["labels"]
    assert (liver["dice"], liver["dice_low"], liver["dice_high"]) == (0.91, 0.85, 0.95)
    assert (liver["surface_mm"], liver["n_calibration"]) == (0.7, 12)
    assert (spleen["dice"], spleen["part_dice"]) == (None, None)
    assert found["checks"] == ["another scanner", FLAG]
    assert found["why_unknown"] == ""

    path = prediction_file(workspace, workspace.case("a"))
    assert path is not None
    path.with_name("a.json").write_text('{"labels": 1}')
    assert "cannot be read" in quality(workspace)["why_unknown"]


@pytest.mark.slow
def test_a_validated_model_says_what_its_proposals_are_worth(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a", "b", "c")
    with serving(workspace) as client:
        body = {"patches": [slice_patch(organ(), index) for index in range(7)]}
        for name in "ab":
            client.put(
                f"cases/{name}/annotation", params={"author": "eva"},
                headers={"If-Match": "none"}, json=body,
            ).raise_for_status()  # fmt: skip
        steps = ["train", "validate", "propose"]
        wanted = {"steps": steps, "optimiser_steps": 6, "folds": 2}
        job = client.post("jobs", params={"author": "eva"}, json=wanted).json()
        deadline = time.monotonic() + 600
        while (now := client.get(f"jobs/{job['id']}").json())["state"] == "running":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert now["state"] == "done", now
        found = client.get("cases/c").json()["quality"]
    assert found["why_unknown"] == ""
    assert [label["name"] for label in found["labels"]] == ["liver", "spleen"]
    assert all(label["note"] or label["dice"] is not None for label in found["labels"])
