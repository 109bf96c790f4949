"""The plan as a file: read back the same, and strict about what it does not know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plans import small_plan
from voxloop.errors import DataError
from voxloop.plan.plan import Normalisation, Plan, load_plan, save_plan


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    fixed = Normalisation("fixed", (-20.5, 180.25), 95.1, 30.3)
    plan = small_plan(channel_names=("CT", "MR"), normalisation=(fixed, Normalisation("volume")))
    save_plan(tmp_path / "plan.json", plan)
    assert load_plan(tmp_path / "plan.json") == plan
    assert json.loads((tmp_path / "plan.json").read_text())["spacing_mm"] == [1.0, 1.0, 2.0]


def test_all_wrong_keys_are_named_with_what_may_have_been_meant() -> None:
    document = small_plan().to_json()
    document["patch_shap"] = document.pop("patch_shape")
    document["favourite_colour"] = "blue"
    with pytest.raises(DataError, match="did you mean 'patch_shape'") as caught:
        Plan.from_json(document, "plan.json")
    assert "the key 'patch_shape'" in str(caught.value)
    assert "'favourite_colour'; remove it" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"schema_version": 99}, "schema_version 1, found 99"),
        ({"patch_shape": [8, 7, 4]}, "no multiple of"),
        ({"widths": [4]}, "1 widths need 0 strides"),
        ({"normalisation": [{"method": "fixed"}]}, "needs clip limits"),
        ({"normalisation": [{"methods": "volume"}]}, "methods"),
        ({"labels": 3}, "a valid plan"),
        ({"patch_shape": 8}, "a valid plan"),
        ({"deformation": -1.0}, "from 0 to 3"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(change: dict[str, Any], match: str) -> None:
    with pytest.raises(DataError, match=match):
        Plan.from_json({**small_plan().to_json(), **change})


def test_a_plan_from_before_strengths_were_planned_has_the_usual_one() -> None:
    document = small_plan().to_json()
    del document["deformation"]
    assert Plan.from_json(document).deformation == 1


@pytest.mark.parametrize("content", [None, "{", "[]", "3"])
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=r"plan\.json: expected"):
        load_plan(path)


def test_weights_pass_only_between_plans_of_the_same_network() -> None:
    plan = small_plan()
    assert plan.has_network_of(small_plan(patch_shape=(16, 8, 4), spacing_mm=(1.05, 1.0, 1.95)))
    for other in (
        {"labels": {"core": 1, "body": 4}},
        {"channel_names": ("CT",)},
        {"widths": (4, 16)},
        {"strides": ((2, 2, 2),)},
        {"spacing_mm": (1.3, 1.0, 2.0)},
    ):
        assert not plan.has_network_of(small_plan(**other))
