"""Folds are a partition, the same for the same seed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxloop.dataset.folds import k_folds, leave_one_out
from voxloop.errors import UsageError

ids = st.lists(st.text("abc019", min_size=1), min_size=2, max_size=30, unique=True)


@given(ids=ids, k=st.integers(2, 6), seed=st.integers(0, 99))
def test_each_case_validates_once_and_never_where_it_trains(
    ids: list[str], k: int, seed: int
) -> None:
    k = min(k, len(ids))
    folds = k_folds(ids, k, seed)
    validated = [one for fold in folds for one in fold.validation]
    assert sorted(validated) == sorted(ids)
    assert all(set(fold.train) == set(ids) - set(fold.validation) for fold in folds)
    sizes = [len(fold.validation) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    assert k_folds(reversed(ids), k, seed) == folds


def test_another_seed_divides_differently() -> None:
    names = [f"case_{number}" for number in range(20)]
    assert k_folds(names, 5, seed=0) != k_folds(names, 5, seed=1)


def test_leaving_one_out_validates_on_each_in_turn() -> None:
    folds = leave_one_out(["b", "a", "c"])
    assert [fold.validation for fold in folds] == [("a",), ("b",), ("c",)]
    assert folds[1].train == ("a", "c")


def test_impossible_divisions_are_refused() -> None:
    with pytest.raises(UsageError, match="3 cases cannot be divided into 4 folds"):
        k_folds(["a", "b", "c"], 4, seed=0)
    with pytest.raises(UsageError, match="3 cases cannot be divided into 1 folds"):
        k_folds(["a", "b", "c"], 1, seed=0)
    with pytest.raises(UsageError, match="at least two cases"):
        leave_one_out(["a"])
