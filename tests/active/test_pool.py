"""Which slices are annotated, asked for or open."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pools import context_of, pool_of

from phantoms import oblique_geometry
from voxloop.active.pool import Candidate, CasePool, Pool, slice_axis
from voxloop.active.query import Query
from voxloop.active.strategies.uniform import RandomSlices
from voxloop.errors import DataError
from voxloop.volume.boxes import Box
from voxloop.volume.geometry import Geometry


def query_of(case_id: str, region: Box) -> Query:
    return Query(case_id, region, 1.0, "test", "a reason", 1.0, "voxels")


def test_people_label_across_the_coarsest_axis() -> None:
    assert slice_axis(oblique_geometry(spacing_mm=(0.9, 3.0, 1.0))) == 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_scan_of_one_slice_is_read_as_that_slice(axis: int) -> None:
    shape = [9, 8, 7]
    shape[axis] = 1
    grid = oblique_geometry((shape[0], shape[1], shape[2]), spacing_mm=(0.9, 1.1, 2.5))
    assert slice_axis(grid) == axis


def test_a_scan_of_equal_spacings_is_read_from_head_to_foot_wherever_that_axis_is() -> None:
    lying = np.eye(4)[[1, 2, 0, 3]]  # array axis 0 runs along z
    assert slice_axis(Geometry.from_affine((9, 9, 9), lying)) == 0
    assert slice_axis(oblique_geometry(spacing_mm=(1.0, 1.0, 1.05))) == 2


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_is_annotated_once_most_of_it_was_looked_at(axis: int) -> None:
    geometry = oblique_geometry()
    looked_at = np.zeros(geometry.shape, dtype=bool)
    looked_at[Box.slice_at(geometry.shape, axis, 3).slices] = True
    hole = Box.slice_at(geometry.shape, axis, 3).start
    looked_at[hole] = False
    case = CasePool.on("a", geometry, looked_at, axis)
    assert case.annotated == {3}
    assert case.distances_mm(3, [4]) == pytest.approx(geometry.spacing_mm[axis])


def test_slices_across_another_axis_annotate_none_of_those_they_cross() -> None:
    geometry = oblique_geometry()
    looked_at = np.zeros(geometry.shape, dtype=bool)
    looked_at[Box.slice_at(geometry.shape, 0, 3).slices] = True
    assert CasePool.on("a", geometry, looked_at, 2).annotated == frozenset()


def test_shares_count_annotated_slices_over_all() -> None:
    pool = pool_of(10, 20, 10, taken=(4,))
    assert (pool.region_count, pool.annotated_count, len(pool.candidates)) == (40, 3, 37)
    assert pool.share_annotated == pytest.approx(3 / 40)


def test_what_is_asked_is_not_asked_again_and_becomes_annotated_when_answered() -> None:
    pool = pool_of(4, 3)
    queries = [query_of("c01", pool.region(Candidate("c01", i))) for i in (0, 2)]
    asked = pool.with_asked(queries)
    assert (asked.by_id["c01"].open_regions, asked.annotated_count) == ((1,), 0)
    answered = asked.with_annotated(queries)
    assert (answered.by_id["c01"].asked, answered.annotated_count) == (frozenset(), 2)
    assert answered.by_id["c00"] == pool.by_id["c00"]


def test_a_box_takes_the_slices_it_covers_for_the_most_part() -> None:
    case = pool_of(8).cases[0]  # 4 x 5 voxels in plane
    assert case.regions_in(Box((0, 0, 2), (4, 3, 5))) == {2, 3, 4}
    assert case.regions_in(Box((0, 0, 2), (4, 2, 5))) == frozenset()
    assert case.regions_in(Box.whole(case.shape)) == set(range(8))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_in_which_cases_are_given_does_not_matter(
    counts: list[int], random: Random
) -> None:
    pool = pool_of(*counts)
    shuffled = list(pool.cases)
    random.shuffle(shuffled)
    assert Pool(tuple(shuffled)) == pool
    assert list(pool.candidates) == sorted(pool.candidates)


def test_asking_until_nothing_is_left_meets_every_slice_once() -> None:
    pool, met = pool_of(5, 2, 4), []
    while pool.candidates:
        queries = RandomSlices().query(context_of(pool, 3))
        met += [(q.case_id, q.region) for q in queries]
        pool = pool.with_annotated(queries)
    assert len(met) == len(set(met)) == pool.region_count
    assert pool.share_annotated == 1


def test_impossible_pools_are_refused_with_the_case_named() -> None:
    case = pool_of(4).cases[0]
    with pytest.raises(DataError, match=r'case "c00".*region numbers below 4, found \[4\]'):
        replace(case, annotated=frozenset({1, 4}))
    with pytest.raises(DataError, match="slice axis of 0, 1 or 2, found 3"):
        replace(case, axis=3)
    with pytest.raises(DataError, match="every case once"):
        Pool((case, case))
    with pytest.raises(DataError, match="at least one case"):
        Pool(())
    with pytest.raises(DataError, match=r'case "zz".*unknown case'):
        Pool((case,)).with_asked([query_of("zz", Box.whole((1, 1, 1)))])
    with pytest.raises(DataError, match="looked-at mask of shape"):
        CasePool.on("a", oblique_geometry(), np.zeros((2, 2, 2), dtype=bool))
