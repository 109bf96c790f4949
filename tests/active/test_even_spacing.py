"""Strided selection and the seed set cover cases and depths evenly."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pools import context_of, pool_of

from voxloop.active.pool import CasePool, Pool
from voxloop.active.query import Query
from voxloop.active.strategies.seed import SeedSet
from voxloop.active.strategies.strided import StridedSlices
from voxloop.volume.geometry import Geometry


def positions(queries: tuple[Query, ...]) -> list[tuple[str, int]]:
    return [(q.case_id, q.region.start[2]) for q in queries]


def largest_hole(depths: list[float]) -> float:
    return float(np.diff([0.0, *sorted(depths), 1.0]).max())


@pytest.mark.parametrize("query_size", [5, 13, 40, 97])
def test_strided_slices_cover_the_cases_evenly(query_size: int) -> None:
    chosen = positions(StridedSlices().query(context_of(pool_of(*[20] * 40), query_size)))
    per_case = Counter(case for case, _ in chosen)
    numbers = sorted(per_case.get(f"c{i:02d}", 0) for i in range(40))
    assert numbers[-1] - numbers[0] <= 1
    if query_size < 40:
        places = [int(case[1:]) / 40 for case in per_case]
        assert largest_hole(places) < 2.7 / query_size  # a stride of 1 / n would be perfect


@pytest.mark.parametrize("query_size", [5, 13, 40])
def test_the_first_strided_slices_of_the_cases_cover_the_depths_evenly(query_size: int) -> None:
    chosen = positions(StridedSlices().query(context_of(pool_of(*[100] * 40), query_size)))
    assert largest_hole([index / 100 for _, index in chosen]) < 2.7 / query_size


def test_strided_slices_of_one_case_halve_its_widest_gap() -> None:
    pool = pool_of(32, taken=(15,))
    chosen = [index for _, index in positions(StridedSlices().query(context_of(pool, 3)))]
    assert chosen[0] in {25, 26}
    assert chosen[1] in {5, 6}
    assert largest_hole([(i + 0.5) / 32 for i in (15, *chosen)]) < 0.4


def test_strided_rounds_continue_one_another() -> None:
    pool, rounds = pool_of(*[30] * 6), []
    for _ in range(4):
        queries = StridedSlices().query(context_of(pool, 3))
        rounds += positions(queries)
        pool = pool.with_annotated(queries)
    assert set(Counter(case for case, _ in rounds).values()) == {2}


@pytest.mark.parametrize(("query_size", "cases"), [(7, 12), (12, 12), (18, 6), (20, 6)])
def test_the_seed_set_meets_many_cases_at_evenly_spread_depths(query_size: int, cases: int) -> None:
    chosen = positions(SeedSet().query(context_of(pool_of(*[400] * cases), query_size, seed=3)))
    per_case = Counter(case for case, _ in chosen)
    assert len(per_case) == min(cases, query_size)
    assert max(per_case.values()) - min(per_case.values()) <= 1
    expected = 0.25 + 0.5 * (np.arange(query_size) + 0.5) / query_size
    depths = np.sort([(index + 0.5) / 400 for _, index in chosen])
    np.testing.assert_allclose(depths, expected, atol=0.5 / 400 + 1e-9)
    for case in per_case:
        own = np.sort([index for c, index in chosen if c == case])
        assert (np.diff(own) >= 400 * 0.5 * cases / query_size - 2).all()


def test_the_seed_set_draws_other_cases_for_another_seed() -> None:
    pool = pool_of(*[20] * 30)
    drawn = {
        frozenset(case for case, _ in positions(SeedSet().query(context_of(pool, 5, seed))))
        for seed in range(5)
    }
    assert len(drawn) == 5


def test_a_taken_slice_is_replaced_by_its_open_neighbour() -> None:
    pool = pool_of(20, taken=(10,))
    narrow = SeedSet(depths=(0.5, 0.55))  # its middle lies in slice 10
    assert positions(narrow.query(context_of(pool, 1))) in ([("c00", 9)], [("c00", 11)])
    whole = replace(narrow, depths=(0, 1))
    assert len(whole.query(context_of(pool, 50))) == 19


@pytest.mark.parametrize("depths", [(0.7, 0.3), (-0.1, 0.5), (0.5, 1.1)])
def test_depths_outside_the_volume_are_refused(depths: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="two ascending shares"):
        SeedSet(depths=depths)


def test_the_seed_set_of_real_crops_shows_the_structure(shared_data: Path) -> None:
    files = sorted((shared_data / "hippocampus" / "labelsTr").glob("*.nii.gz"))[:60]
    references = {file.name.split(".")[0]: nib.nifti1.load(file) for file in files}
    pool = Pool(
        tuple(
            CasePool.on(name, Geometry.from_affine(image.shape, image.affine))
            for name, image in references.items()
        )
    )
    hits = [
        bool(np.asarray(references[q.case_id].dataobj)[q.region.slices].any())
        for seed in range(3)
        for q in SeedSet().query(context_of(pool, 20, seed))
    ]
    shown = [
        bool(np.asarray(references[c.case_id].dataobj)[pool.region(c).slices].any())
        for c in pool.candidates[:: len(pool.candidates) // 200]
    ]
    assert np.mean(hits) > 0.97
    assert np.mean(shown) == pytest.approx(0.7, abs=0.1)  # what chance would give
