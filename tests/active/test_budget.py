"""Limits that hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pools import pool_of

from voxloop.active.cost.budget import Budget, slices_for_share
from voxloop.active.query import Query
from voxloop.errors import LimitError, UsageError
from voxloop.volume.boxes import Box

SLICE = Box((0, 0, 3), (10, 10, 4))
QUERY = Query("a", SLICE, 1.0, "test", "a reason", 100.0, "voxels")


def test_a_budget_pays_for_the_first_queries_and_no_more() -> None:
    budget = Budget(250, "voxels").charge([QUERY])
    dear = replace(QUERY, cost=151.0)
    assert budget.remaining == 150
    assert budget.affordable([QUERY, dear, QUERY]) == (QUERY,)
    with pytest.raises(LimitError, match="cost 151 voxels, but 150 of 250 voxels remain"):
        budget.charge([dear])


def test_rounding_does_not_forbid_spending_all() -> None:
    tenth = replace(QUERY, cost=0.1)
    budget = Budget(0.3, "voxels")  # 0.1 + 0.1 + 0.1 > 0.3 in floating point
    assert len(budget.affordable([tenth] * 4)) == 3
    assert budget.charge([tenth] * 3).remaining == 0


def test_seconds_and_voxels_do_not_mix() -> None:
    with pytest.raises(UsageError, match="budget is in seconds, the query for a in voxels"):
        Budget(10, "seconds").affordable([QUERY])


@pytest.mark.parametrize(
    ("share", "slices"), [(0.025, 5), (0.0299, 5), (1e-6, 1), (1.0, 200), (0.29, 58)]
)
def test_a_share_of_the_slices_is_never_exceeded_but_for_the_first(
    share: float, slices: int
) -> None:
    assert slices_for_share(pool_of(*[20] * 10, taken=(1,)), share) == slices


def test_numbers_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match="limit above zero"):
        Budget(10, "voxels", spent=11)
    with pytest.raises(UsageError, match="share of the slices"):
        slices_for_share(pool_of(4), 0)
