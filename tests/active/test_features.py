"""Regions as points: alike where they look alike, whatever the file's axes or units."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.active.cut import Cut, CutKind
from voxloop.active.pool import CasePool, Pool
from voxloop.active.spread.features import network_features, scan_features
from voxloop.errors import DataError
from voxloop.volume.geometry import Geometry
from voxloop.volume.volume import Volume

SHAPE = (20, 24, 14)
KINDS: tuple[CutKind, ...] = ("slices", "planes", "slice_boxes", "boxes", "volumes")


def head(
    offset_mm: float = 0.0, factor: float = 1.0, shape: tuple[int, int, int] = SHAPE
) -> Volume:
    """A bright ellipsoid off the middle of an oblique grid."""
    geometry = oblique_geometry(shape)
    mask = ellipsoid_mask(geometry, offset_mm=(3.0, offset_mm, 4.0))
    rng = np.random.default_rng(int(abs(offset_mm)))
    return Volume(factor * (100.0 * mask + rng.normal(0, 2.0, shape)), geometry)


def turned(volume: Volume, order: tuple[int, int, int], flips: tuple[int, ...]) -> Volume:
    """The same scan as another file would hold it."""
    matrix = volume.geometry.matrix.copy()
    for axis in flips:
        matrix[:3, 3] += matrix[:3, axis] * (volume.geometry.shape[axis] - 1)
        matrix[:3, axis] *= -1
    array = np.flip(volume.array, flips).transpose(order)
    columns = matrix[:, [*order, 3]]
    return Volume(array, Geometry.from_affine(array.shape, columns))


def pool_of_scans(cut: Cut, *axes: int, **scans: Volume) -> Pool:
    cases = [
        CasePool.on(name, scan.geometry, axis=axis, cut=cut)
        for (name, scan), axis in zip(scans.items(), axes, strict=True)
    ]
    return Pool(tuple(cases))


def given(**scans: Volume) -> Callable[[str], tuple[Volume, ...]]:
    return lambda case_id: (scans[case_id],)


def distances(rows: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(rows[:, None] - rows, axis=-1))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_scan_with_other_axes_and_units_has_the_same_features(kind: CutKind) -> None:
    even = (24, 24, 16)  # cuts into boxes and parts at the same voxels from either end
    scan, third = head(shape=even), head(5.0, shape=even)
    other = turned(Volume(3 * scan.array - 500, scan.geometry), (2, 0, 1), (1, 2))
    pool = pool_of_scans(Cut(kind, 9.0), 2, 0, 2, a=scan, b=other, c=third)
    rows = scan_features(pool, given(a=scan, b=other, c=third)).rows
    count = len(rows) // 3
    nearest = distances(rows)[:count, count : 2 * count]
    assert nearest.min(axis=1).max() < 1e-4
    assert sorted(nearest.argmin(axis=1).tolist()) == list(range(count))


def test_slices_of_like_scans_are_near_their_counterparts_and_far_from_others() -> None:
    a, b = head(0.0), head(1.0, factor=7.0)
    pool = pool_of_scans(Cut(), 2, 2, a=a, b=b)
    rows = scan_features(pool, given(a=a, b=b)).rows
    apart = distances(rows)[:14, 14:]
    off = np.abs(apart.argmin(axis=1) - np.arange(14))
    assert np.median(off) <= 1
    assert np.diag(apart).mean() < 0.5 * apart.mean()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 6, 5), (2, 1, 3), (1, 1, 1), (9, 9, 1)])
def test_thin_and_constant_scans_give_finite_features(
    kind: CutKind, shape: tuple[int, int, int]
) -> None:
    constant = Volume(np.zeros(shape, dtype=np.int16), oblique_geometry(shape))
    noisy = head()
    pool = pool_of_scans(Cut(kind, 4.0), 1, 2, thin=constant, whole=noisy)
    found = scan_features(pool, given(thin=constant, whole=noisy))
    assert found.rows.shape[0] == pool.region_count == len(found.is_open)
    assert np.isfinite(found.rows).all()
    assert found.rows.shape[1] <= 32


def test_an_artefact_does_not_outweigh_the_anatomy() -> None:
    scans = {f"c{i}": head(float(i)) for i in range(6)}
    broken = scans["c3"].array.copy()
    broken[:, :, 5] = np.random.default_rng(0).choice([-3000, 30000], SHAPE[:2])
    scans["c3"] = Volume(broken, scans["c3"].geometry)
    pool = pool_of_scans(Cut(), *[2] * 6, **scans)
    lengths = np.linalg.norm(scan_features(pool, given(**scans)).rows, axis=1)
    assert lengths.max() < 5 * np.median(lengths)


def test_open_and_taken_rows_follow_the_pool() -> None:
    scan = head()
    case = CasePool("a", SHAPE, scan.geometry.spacing_mm, 2, frozenset({3}), frozenset({5}))
    found = scan_features(Pool((case,)), given(a=scan))
    assert found.taken_rows.tolist() == [3, 5]
    assert found.open_rows.tolist() == [c.index for c in Pool((case,)).candidates]


def test_network_features_are_means_over_regions_of_what_lies_between_cells() -> None:
    case = CasePool("a", (8, 6, 12), (1, 1, 1), 2)
    ramp = np.broadcast_to(np.arange(3.0, dtype=np.float32), (1, 2, 2, 3))
    rows = network_features(Pool((case,)), lambda _: ramp).rows[:, 0]
    expected = np.clip((np.arange(12) + 0.5) / 4 - 0.5, 0, 2)
    expected -= expected.mean()
    scale = np.abs(rows).max() / np.abs(expected).max()
    assert np.allclose(rows, scale * expected, atol=1e-5) or np.allclose(
        rows, -scale * expected, atol=1e-5
    )


def test_distances_between_network_features_keep_their_proportions() -> None:
    rng = np.random.default_rng(3)
    pool = Pool(tuple(CasePool(f"c{i:02d}", (4, 4, 1), (1, 1, 1), 2) for i in range(30)))
    maps = {c.case_id: rng.normal(size=(3, 1, 1, 1)).astype(np.float32) for c in pool.cases}
    rows = network_features(pool, maps.__getitem__).rows
    raw = np.stack([maps[c.case_id][:, 0, 0, 0] for c in pool.cases])
    inner = distances(raw - np.median(raw, axis=0)) > 0
    ratio = distances(rows)[inner] / distances(raw)[inner]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)


def test_what_does_not_fit_is_named() -> None:
    scan = head()
    pool = pool_of_scans(Cut(), 2, 2, a=scan, b=scan)
    small = Volume(scan.array[:5], oblique_geometry((5, 24, 14)))
    with pytest.raises(DataError, match=r'scan of case "b": expected channels of shape'):
        scan_features(pool, given(a=scan, b=small))
    with pytest.raises(DataError, match=r'scan of case "a": expected channels'):
        scan_features(pool, lambda _: ())
    with pytest.raises(DataError, match=r'channels and kind of regions of case "b"'):
        scan_features(pool, lambda case_id: (scan, scan) if case_id == "b" else (scan,))
    with pytest.raises(DataError, match=r'features of case "a".*not finite'):
        network_features(pool, lambda _: np.full((2, 1, 1, 1), np.nan))
    with pytest.raises(DataError, match=r'number of features of case "b"'):
        network_features(pool, lambda case_id: np.ones((2 if case_id == "b" else 3, 1, 1, 1)))
