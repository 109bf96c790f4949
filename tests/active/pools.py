"""Small pools and made-up predictions for the tests of selection."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from voxloop.active.acquisition import ProbArray
from voxloop.active.budget import CostModel
from voxloop.active.pool import CasePool, Pool
from voxloop.active.strategies.context import SelectionContext
from voxloop.volume.labels import LabelTable

__all__ = ["LABELS", "context_of", "made_up_prediction", "pool_of"]

LABELS = LabelTable.from_names("anterior", "posterior")


def pool_of(
    *slice_counts: int, axis: int = 2, step_mm: float = 2.5, taken: Sequence[int] = ()
) -> Pool:
    """Cases c00, c01, ... of 4 x 5 voxels in plane, with `taken` slices annotated in each."""
    spacing = [0.9, 1.1]
    spacing.insert(axis, step_mm)
    cases = []
    for number, count in enumerate(slice_counts):
        shape = [4, 5]
        shape.insert(axis, count)
        done = frozenset(i for i in taken if i < count)
        grid = (shape[0], shape[1], shape[2]), (spacing[0], spacing[1], spacing[2])
        cases.append(CasePool(f"c{number:02d}", *grid, axis, done))
    return Pool(tuple(cases))


def made_up_prediction(pool: Pool, channels: int = 3) -> Callable[[str], ProbArray]:
    """Probabilities that depend on the case's id alone."""

    def predict(case_id: str) -> ProbArray:
        rng = np.random.default_rng(zlib.crc32(case_id.encode()))
        raw = rng.gamma(0.4, size=(channels, *pool.by_id[case_id].shape)) + 1e-6
        return np.asarray(raw / raw.sum(axis=0), dtype=np.float32)

    return predict


def context_of(
    pool: Pool,
    query_size: int,
    seed: int = 0,
    predict: Callable[[str], ProbArray] | None = None,
) -> SelectionContext:
    """A context with a fresh generator, costs in voxels and the labels of `LABELS`."""
    rng = np.random.default_rng(seed)
    return SelectionContext(pool, query_size, rng, CostModel(), LABELS, predict)
