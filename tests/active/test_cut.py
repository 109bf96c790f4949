"""What can be asked for: slices, planes, rectangles, boxes, volumes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pools import context_of, made_up_prediction

from voxloop.active.cut import Cut
from voxloop.active.pool import CasePool, Pool
from voxloop.active.query import Query
from voxloop.active.strategies.registry import STRATEGIES
from voxloop.errors import UsageError
from voxloop.volume.boxes import Box

SHAPE, SPACING_MM = (12, 9, 6), (1.4, 1.6, 2.5)
KINDS = ("slices", "planes", "slice_boxes", "boxes", "volumes")


def case_of(kind: str, case_id: str = "c", **taken: frozenset[int]) -> CasePool:
    return CasePool(case_id, SHAPE, SPACING_MM, 2, cut=Cut(kind, 10.0), **taken)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "count", "first"),
    [
        ("slices", 6, (12, 9, 1)),
        ("planes", 6 + 12 + 9, (12, 9, 1)),
        ("slice_boxes", 2 * 2 * 6, (6, 4, 1)),
        ("boxes", 2 * 2 * 2, (6, 4, 3)),
        ("volumes", 1, SHAPE),
    ],
)
def test_a_kind_gives_its_regions(kind: str, count: int, first: tuple[int, int, int]) -> None:
    case = case_of(kind)
    assert case.region_count == count
    assert case.region(0).shape == first
    tilings = len(case.lattices)
    assert sum(case.voxel_counts) == tilings * np.prod(SHAPE)


@pytest.mark.parametrize("kind", KINDS)
def test_sums_centres_and_coverage_agree_with_the_boxes(kind: str) -> None:
    case, values = case_of(kind), np.random.default_rng(0).random(SHAPE)
    boxes = [case.region(i) for i in range(case.region_count)]
    np.testing.assert_allclose(case.sums(values), [values[b.slices].sum() for b in boxes])
    middles = [(np.array(b.start) + np.array(b.stop) - 1) / 2 * SPACING_MM for b in boxes]
    np.testing.assert_allclose(case.centres_mm, middles)
    for i, box in enumerate(boxes):
        assert i in case.regions_in(box)
    assert case.regions_in(Box.whole(SHAPE)) == set(range(case.region_count))


def test_a_plane_leaves_those_that_cross_it_open() -> None:
    pool = Pool((case_of("planes"),))
    axial, sagittal = Box.slice_at(SHAPE, 2, 3), Box.slice_at(SHAPE, 0, 7)
    queries = [Query("c", box, 1.0, "mine", "why", 1.0, "voxels") for box in (axial, sagittal)]
    after = pool.with_annotated(queries)
    assert after.by_id["c"].annotated == {3, 6 + 7}
    assert after.share_annotated == pytest.approx(2 / 9)  # of 27 planes, a third is one tiling


def test_half_of_the_voxels_make_a_region_annotated() -> None:
    from phantoms import oblique_geometry

    geometry = oblique_geometry(SHAPE, SPACING_MM, (10, 20, 30))
    looked = np.zeros(SHAPE, dtype=bool)
    looked[:6, :, 2] = True
    looked[:5, :, 4] = True
    assert CasePool.on("c", geometry, looked, 2).annotated == {2}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", ["seed", "strided", "random_slices", "foreground_random", "hybrid"])
@given(seed=st.integers(0, 50), size=st.integers(1, 5))
def test_every_kind_can_be_chosen_from(kind: str, key: str, seed: int, size: int) -> None:
    pool = Pool(tuple(case_of(kind, f"c{n}") for n in range(3)))
    context = context_of(pool, size, seed, made_up_prediction(pool))
    queries = STRATEGIES[key].query(context)
    chosen = {(q.case_id, q.region) for q in queries}
    every = {(c.case_id, c.region(i)) for c in pool.cases for i in range(c.region_count)}
    assert len(chosen) == len(queries) == min(size, len(every))
    assert chosen <= every


def test_the_first_planes_take_turns_among_the_axes() -> None:
    pool = Pool(tuple(case_of("planes", f"c{n}") for n in range(3)))
    for key in ("seed", "strided"):
        queries = STRATEGIES[key].query(context_of(pool, 9))
        assert {q.region.slice_axis for q in queries} == {0, 1, 2}


def test_thick_slices_are_read_across_their_own_axis_only() -> None:
    thick = CasePool("c", SHAPE, (0.8, 0.8, 5.0), 2, cut=Cut("planes"))
    assert len(thick.lattices) == 1
    assert thick.region_count == 6
    long = CasePool("c", SHAPE, (0.8, 2.0, 2.5), 2, cut=Cut("planes"))
    assert [lattice.counts for lattice in long.lattices] == [(1, 1, 6), (12, 1, 1)]
    single = CasePool("c", (12, 9, 1), (1.0, 1.0, 1.0), 2, cut=Cut("planes"))
    assert single.region_count == 1


def test_an_unknown_kind_or_a_side_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown kind of region 'slabs'"):
        Cut("slabs")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="above zero"):
        Cut("boxes", 0.0)
