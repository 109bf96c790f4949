"""Small pools and made-up predictions for the tests of selection."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from voxloop.active.cost.model import CostModel
from voxloop.active.doubt.acquisition import Members
from voxloop.active.pool import CasePool, Pool
from voxloop.active.strategies.context import FeatureArray, SelectionContext
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import Volume

__all__ = [
    "LABELS",
    "context_of",
    "made_up_features",
    "made_up_prediction",
    "made_up_scans",
    "pool_of",
]

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


def made_up_prediction(pool: Pool, channels: int = 3, members: int = 1) -> Callable[[str], Members]:
    """Probabilities that depend on the case's id alone."""

    def predict(case_id: str) -> Members:
        rng = np.random.default_rng(zlib.crc32(case_id.encode()))
        raw = rng.gamma(0.4, size=(members, channels, *pool.by_id[case_id].shape)) + 1e-6
        return np.asarray(raw / raw.sum(axis=1, keepdims=True), dtype=np.float32)

    return predict


def made_up_scans(pool: Pool) -> Callable[[str], tuple[Volume, ...]]:
    """One channel of noise that depends on the case's id alone."""

    def scans(case_id: str) -> tuple[Volume, ...]:
        case = pool.by_id[case_id]
        rng = np.random.default_rng(zlib.crc32(case_id.encode()) + 1)
        geometry = Geometry.from_affine(case.shape, np.diag([*case.spacing_mm, 1.0]))
        return (Volume(rng.normal(100, 30, case.shape).astype(np.int16), geometry),)

    return scans


def made_up_features(count: int = 6) -> Callable[[str], FeatureArray]:
    """Features in 2 x 3 x 4 cells that depend on the case's id alone."""

    def embed(case_id: str) -> FeatureArray:
        rng = np.random.default_rng(zlib.crc32(case_id.encode()) + 2)
        return rng.standard_normal((count, 2, 3, 4), dtype=np.float32)

    return embed


def context_of(
    pool: Pool,
    query_size: int,
    seed: int = 0,
    predict: Callable[[str], Members] | None = None,
    *,
    scans: Callable[[str], tuple[Volume, ...]] | None = None,
    embed: Callable[[str], FeatureArray] | None = None,
) -> SelectionContext:
    """A context with a fresh generator, costs in voxels and the labels of `LABELS`.

    A prediction without an axis of members (C, I, J, K) is that of a single one. Scans, and
    features where there is a prediction, are made up unless given.
    """
    rng = np.random.default_rng(seed)

    def members(case_id: str) -> Members:
        found = predict(case_id) if predict else np.zeros(0)
        return found[None] if found.ndim == 4 else found

    predicted = members if predict else None
    features = embed or (made_up_features() if predict else None)
    looks = scans or made_up_scans(pool)
    return SelectionContext(pool, query_size, rng, CostModel(), LABELS, predicted, looks, features)
