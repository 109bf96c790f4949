"""Queries are valid from birth and survive their file."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from voxloop.active.query import Query, ranked
from voxloop.errors import DataError
from voxloop.volume.boxes import Box

QUERY = Query("liver_012", Box((0, 0, 7), (4, 5, 8)), 0.21, "entropy", "why not", 20, "voxels")


def test_a_query_is_the_same_after_a_trip_through_json() -> None:
    assert Query.from_json(json.loads(json.dumps(QUERY.to_json()))) == QUERY


def test_everything_wrong_with_a_query_is_said_at_once() -> None:
    with pytest.raises(DataError, match="4 problems") as caught:
        replace(QUERY, score=float("nan"), cost=0, reason=" ", unit="euros")  # type: ignore[arg-type]
    assert [p.expected for p in caught.value.problems][2] == "a cost above zero"


@pytest.mark.parametrize(
    "change", [{"extra": 1}, {"score": None}, {"region": {"start": [0, 0, 0]}}, {"region": [1]}]
)
def test_a_document_that_is_no_query_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(DataError, match="expected the fields"):
        Query.from_json(QUERY.to_json() | change)
    with pytest.raises(DataError, match="expected the fields"):
        Query.from_json({"case_id": "a"})


def test_ranking_puts_the_highest_score_first_and_keeps_the_order_of_equals() -> None:
    a, b, c = QUERY, replace(QUERY, case_id="b"), replace(QUERY, score=0.9)
    assert ranked([b, a, c]) == (c, b, a)


def test_a_region_that_counts_as_one_has_no_cost_worth_telling() -> None:
    assert replace(QUERY, cost=1.0, unit="regions").cost_words == "not known yet"
    assert replace(QUERY, cost=41.7, unit="seconds").cost_words == "42 seconds"
