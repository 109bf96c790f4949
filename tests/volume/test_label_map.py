"""Label maps under another table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantoms import oblique_geometry
from voxloop.errors import DataError
from voxloop.volume.labels import BACKGROUND, IGNORE, LabelTable
from voxloop.volume.volume import LabelMap, count_values

NAMES = ("liver", "spleen", "left kidney")
GRID = oblique_geometry((4, 5, 3))

tables = st.lists(st.integers(1, 254), min_size=3, max_size=5, unique=True).map(
    lambda values: LabelTable(dict(zip(values, (*NAMES, "colon", "aorta"), strict=False)))
)


@given(tables, tables, st.integers(0, 999))
def test_every_structure_stays_where_it_is(ours: LabelTable, theirs: LabelTable, seed: int) -> None:
    few = LabelTable({theirs.by_name[name]: name for name in NAMES})
    values = np.array([BACKGROUND, IGNORE, *few.values], dtype=np.uint8)
    found = LabelMap(np.random.default_rng(seed).choice(values, GRID.shape), GRID, few)
    translated = found.translated(ours)
    assert translated.labels == ours
    for name in NAMES:
        there, here = found.mask(few.by_name[name]), translated.mask(ours.by_name[name])
        assert np.array_equal(there, here)
    for value in (BACKGROUND, IGNORE):
        assert np.array_equal(found.mask(value), translated.mask(value))


def test_a_name_that_the_other_table_has_not_is_refused() -> None:
    found = LabelMap(np.zeros(GRID.shape, np.uint8), GRID, LabelTable.from_names("liver", "colon"))
    with pytest.raises(DataError, match=r"labels of liver, spleen, found \['colon'\]; rename"):
        found.translated(LabelTable.from_names("liver", "spleen"))


@given(
    st.lists(st.integers(0, 255), min_size=1, max_size=9, unique=True),
    st.integers(0, 999),
    st.sampled_from("CF"),
)
def test_every_voxel_is_counted_once(values: list[int], seed: int, order: str) -> None:
    """Also where a slab has a value that those before it had not."""
    chance = np.random.default_rng(seed)
    known = np.maximum.accumulate(chance.integers(0, len(values), 6))
    slabs = [chance.choice(values[: k + 1], (5, 4)) for k in known]
    array = np.stack(slabs).astype(np.uint8)
    array = array if order == "C" else array.T
    assert np.array_equal(count_values(array), np.bincount(array.ravel(), minlength=256))
