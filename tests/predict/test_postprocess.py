"""Crumbs and holes: what goes, what stays, and what takes its place."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from voxloop.errors import DataError
from voxloop.predict.postprocess import LabelRule, PostProcessing, apply, apply_rule

SPACING_MM = (1.0, 2.0, 2.5)  # 5 mm^3 a voxel
Labels = npt.NDArray[np.uint8]


def _map() -> Labels:
    """Label 1: a block with a hole and a crumb far off; another crumb within label 3."""
    found = np.zeros((14, 10, 8), np.uint8)
    found[1:6, 1:6, 1:6] = 1
    found[3, 3, 3] = 0
    found[7:13, 1:9, 1:7] = 3
    found[9, 4, 3:5] = 1
    found[1, 9, 7] = 1
    return found


def test_the_largest_piece_stays_and_crumbs_become_what_surrounds_them() -> None:
    before = _map()
    kept = before.copy()
    after = apply_rule(before, LabelRule(1, largest_only=True), SPACING_MM)
    expected = kept.copy()
    expected[9, 4, 3:5] = 3
    expected[1, 9, 7] = 0
    np.testing.assert_array_equal(after, expected)
    np.testing.assert_array_equal(before, kept)


@pytest.mark.parametrize(
    ("least_ml", "crumbs_left"), [(0.004, 2), (0.0051, 1), (0.0099, 1), (0.0101, 0)]
)
def test_the_least_volume_is_in_millilitres(least_ml: float, crumbs_left: int) -> None:
    after = apply_rule(_map(), LabelRule(1, least_ml=least_ml), SPACING_MM)
    assert [after[9, 4, 3], after[1, 9, 7]].count(1) == crumbs_left
    assert after[2, 2, 2] == 1


def test_enclosed_background_is_filled_and_other_labels_are_not() -> None:
    before = _map()
    before[3, 3, 4] = 3
    after = apply_rule(before, LabelRule(1, fill_holes=True), SPACING_MM)
    assert after[3, 3, 3] == 1
    assert after[3, 3, 4] == 3
    assert (after != before).sum() == 1


def test_rules_are_applied_in_order_and_none_changes_nothing() -> None:
    before = _map()
    assert apply(before, PostProcessing((LabelRule(1), LabelRule(9, 1.0))), SPACING_MM) is before
    rules = PostProcessing((LabelRule(1, largest_only=True), LabelRule(3, least_ml=100.0)))
    after = apply(before, rules, SPACING_MM)
    assert set(np.unique(after)) == {0, 1}


@settings(max_examples=30, deadline=None)
@given(
    arrays(np.uint8, (6, 5, 4), elements=st.sampled_from([0, 1, 3])),
    st.booleans(),
    st.sampled_from([0.0, 0.011, 0.05]),
)
def test_a_second_time_removes_no_more_and_nothing_new_appears(
    before: Labels,
    largest_only: bool,  # noqa: FBT001 - drawn by hypothesis
    least_ml: float,
) -> None:
    rule = LabelRule(1, least_ml, largest_only)
    after = apply_rule(before, rule, SPACING_MM)
    assert not ((after == 1) & (before != 1)).any()
    np.testing.assert_array_equal(after[before != 1], before[before != 1])
    np.testing.assert_array_equal(apply_rule(after, rule, SPACING_MM), after)


def test_rules_come_back_from_json_and_nonsense_is_refused() -> None:
    rules = PostProcessing((LabelRule(1, 0.5, largest_only=False, fill_holes=True, reason="x"),))
    assert PostProcessing.from_json(json.loads(json.dumps(rules.to_json()))) == rules
    with pytest.raises(DataError, match=r"a voxloop-postprocessing-1 document.*format 'other'"):
        PostProcessing.from_json({"format": "other", "rules": []})
    with pytest.raises(DataError, match="0 ml or more"):
        PostProcessing.from_json(
            {"format": "voxloop-postprocessing-1", "rules": [{"value": 1, "least_ml": -1}]}
        )
