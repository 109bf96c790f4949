"""Classes are left out only where they cannot be the most probable one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from voxloop.predict.rivals import least_to_win


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
