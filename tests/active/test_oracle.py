"""The oracle says what the reference has, where it was asked and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from pools import LABELS

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.active.oracle import Oracle
from voxloop.active.query import Query
from voxloop.errors import DataError
from voxloop.volume.boxes import Box
from voxloop.volume.labels import IGNORE
from voxloop.volume.volume import LabelMap

GEOMETRY = oblique_geometry()


def reference(case_id: str) -> LabelMap:
    array = ellipsoid_mask(GEOMETRY).astype(np.uint8)
    array[:, :12] *= 2 if case_id == "a" else 1
    return LabelMap(array, GEOMETRY, LABELS)


def query(case_id: str, region: Box) -> Query:
    return Query(case_id, region, 1.0, "test", "a reason", 1.0, "voxels")


def slice_query(case_id: str, axis: int, index: int) -> Query:
    return query(case_id, Box.slice_at(GEOMETRY.shape, axis, index))


def test_all_queries_of_a_case_come_back_in_one_annotation() -> None:
    queries = [slice_query("b", 2, 7), slice_query("a", 2, 6), slice_query("b", 0, 9)]
    answers = Oracle(reference).answer(queries)
    assert list(answers) == ["a", "b"]
    given = answers["b"].label_map.array
    looked = np.zeros(GEOMETRY.shape, dtype=bool)
    looked[:, :, 7] = looked[9] = True
    np.testing.assert_array_equal(given != IGNORE, looked)
    np.testing.assert_array_equal(given[looked], reference("b").array[looked])
    assert {0, 1} <= set(given[looked].tolist())


def test_a_label_that_is_not_asked_for_is_not_given_away() -> None:
    oracle = Oracle(reference, asked=frozenset({1}))
    answer = oracle.answer([slice_query("a", 2, 7)])["a"]
    expected = np.where(reference("a").array[:, :, 7] == 1, 1, 0)
    np.testing.assert_array_equal(answer.label_map.array[:, :, 7], expected)
    assert answer.asked == {1}


def test_each_reference_is_read_once() -> None:
    read: list[str] = []

    def load(case_id: str) -> LabelMap:
        read.append(case_id)
        return reference(case_id)

    Oracle(load).answer([slice_query("a", 2, i) for i in range(5)])
    assert read == ["a"]


def test_a_region_off_the_grid_is_refused_with_its_case() -> None:
    outside = Box((0, 0, 0), (1, 1, GEOMETRY.shape[2] + 1))
    with pytest.raises(DataError, match='case "a": expected regions inside'):
        Oracle(reference).answer([query("a", outside)])


def test_a_reference_that_knows_nothing_there_is_named() -> None:
    blank = LabelMap(np.full(GEOMETRY.shape, IGNORE, dtype=np.uint8), GEOMETRY, LABELS)
    with pytest.raises(DataError, match=r'case "a", reference.*at least one voxel'):
        Oracle(lambda _: blank).answer([slice_query("a", 2, 3)])
