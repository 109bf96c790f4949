"""Classes are left out only where they cannot be the most probable one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from voxloop.predict.rivals import least_to_win, places_to_win


def test_a_class_that_leads_nowhere_may_win_between_two_cells() -> None:
    cells = np.array([[0.5, 0.1], [0.1, 0.5], [0.4, 0.4]], dtype=np.float32)
    middle = cells.mean(axis=1)
    assert middle.argmax() == 2
    assert least_to_win(cells.max(axis=1), 1.0) <= 0.4


def test_one_class_is_left_where_the_others_are_small_together() -> None:
    highest = np.array([0.9, 0.1, 0.05], dtype=np.float32)
    assert least_to_win(highest, 1.0) > 0.8
    assert least_to_win(highest, 0.95) > 0.75


@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 10**6), st.floats(0.1, 6.0))
def test_no_winner_is_left_out(classes: int, cells: int, seed: int, contrast: float) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 1 / contrast), cells).T.astype(np.float32)
    least = least_to_win(probabilities.max(axis=1), probabilities.sum(axis=0).min())
    weights = rng.dirichlet(np.full(cells, 0.5), 200).astype(np.float32)
    between = probabilities @ weights.T
    assert (between.max(axis=0) >= least).all()
    assert (probabilities.max(axis=1)[between.argmax(axis=0)] >= least).all()


@given(
    st.integers(1, 9),
    st.tuples(*[st.integers(1, 3)] * 3),
    st.integers(0, 10**6),
    st.floats(0.1, 6.0),
    st.floats(0.05, 1.0),
)
def test_a_class_is_left_out_only_where_it_loses(
    classes: int, reach: tuple[int, int, int], seed: int, contrast: float, floor: float
) -> None:
    rng = np.random.default_rng(seed)
    shape = (3, 4, 3)
    values = rng.dirichlet(np.full(classes, 1 / contrast), shape).astype(np.float32)
    values = np.moveaxis(values, -1, 0)
    places = places_to_win(values, reach, floor)
    assert places.shape[1:] == tuple(n - r + 1 for n, r in zip(shape, reach, strict=True))
    for place in np.ndindex(*places.shape[1:]):
        part = tuple(slice(a, a + r) for a, r in zip(place, reach, strict=True))
        cells = values[(slice(None), *part)].reshape(classes, -1)
        weights = rng.dirichlet(np.full(cells.shape[1], 0.3), 20).astype(np.float32)
        between = cells @ weights.T
        may_win = places[(slice(None), *place)]
        assert may_win[between.argmax(axis=0)].all()
        assert may_win[(between >= floor).any(axis=1)].all()


def test_a_class_far_from_its_cells_is_left_out() -> None:
    values = np.zeros((2, 6, 1, 1), dtype=np.float32)
    values[0, :3], values[1, 3:] = 1, 1
    places = places_to_win(values, (2, 1, 1), 0.1)[:, :, 0, 0]
    np.testing.assert_array_equal(places, [[1, 1, 1, 0, 0], [0, 0, 1, 1, 1]])
