"""Grids: world positions, differences in words, canonical order, resampled cover."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantoms import oblique_geometry
from voxloop.errors import DataError
from voxloop.volume.geometry import Geometry

angles = st.tuples(*[st.floats(-0.7, 0.7)] * 3)
flips = st.tuples(*[st.booleans()] * 3)


@given(angles, flips)
def test_voxel_to_world_and_back_is_the_identity(
    angle: tuple[float, float, float], flip: tuple[bool, bool, bool]
) -> None:
    geometry = oblique_geometry(angles=angle, flips=flip)
    points_vox = np.array([[0, 0, 0], [3.5, 2.25, 9], [19, 23, 13]])
    np.testing.assert_allclose(geometry.to_voxel(geometry.to_world(points_vox)), points_vox)
    assert geometry.spacing_mm == pytest.approx((0.9, 1.1, 2.5))
    assert geometry.voxel_volume_mm3 == pytest.approx(0.9 * 1.1 * 2.5)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flip", [(False, False, False), (True, False, True), (True, True, True)])
def test_canonical_grid_runs_to_ras_and_holds_the_same_points(
    order: tuple[int, int, int], flip: tuple[bool, bool, bool]
) -> None:
    base = oblique_geometry(angles=(0.2, -0.1, 0.3), flips=flip)
    matrix = base.matrix.copy()
    matrix[:3, :3] = base.matrix[:3, list(order)]
    turned = Geometry.from_affine([base.shape[a] for a in order], matrix)
    canonical = turned.canonical()
    assert canonical.orientation == "RAS"
    assert sorted(canonical.shape) == sorted(turned.shape)

    def corners(grid: Geometry) -> set[tuple[float, ...]]:
        ends = itertools.product(*((0, n - 1) for n in grid.shape))
        return {tuple(np.round(p, 6)) for p in grid.to_world(list(ends))}

    assert corners(canonical) == corners(turned)


def test_resampled_grid_keeps_the_outer_face_and_covers_the_same_space() -> None:
    geometry = oblique_geometry((20, 24, 14), (1.0, 1.0, 3.0))
    finer = geometry.resampled((0.5, 2.0, 1.5))
    assert finer.shape == (40, 12, 28)
    np.testing.assert_allclose(
        finer.to_world([[-0.5, -0.5, -0.5]]), geometry.to_world([[-0.5, -0.5, -0.5]])
    )
    np.testing.assert_allclose(
        finer.to_world([np.array(finer.shape) - 0.5]),
        geometry.to_world([np.array(geometry.shape) - 0.5]),
    )


def test_difference_names_shape_displacement_orientation_and_spacing() -> None:
    geometry = oblique_geometry()
    assert geometry.difference(oblique_geometry()) is None
    assert "shape (20, 24, 15)" in str(geometry.difference(oblique_geometry((20, 24, 15))))
    flipped = geometry.difference(oblique_geometry(flips=(True, False, False)))
    assert "orientation LAS instead of RAS" in str(flipped)
    stretched = geometry.difference(oblique_geometry(spacing_mm=(0.9, 1.1, 2.6)))
    assert "spacing 0.9 x 1.1 x 2.6 mm" in str(stretched)


@pytest.mark.parametrize(
    ("shape", "change", "message"),
    [
        ((4, 4), {}, "three positive axis lengths"),
        ((4, 0, 4), {}, "three positive axis lengths"),
        ((4, 4, 4), {(0, 0): 0.0}, "spacings above zero"),
        ((4, 4, 4), {(0, 0): np.nan}, "finite 4x4 affine"),
        ((4, 4, 4), {(0, 1): 1.0, (1, 1): 0.0}, "singular affine"),
        ((4, 4, 4), {(3, 0): 1.0}, "last row"),
    ],
)
def test_impossible_grids_are_refused_at_birth(
    shape: tuple[int, ...], change: dict[tuple[int, int], float], message: str
) -> None:
    matrix = np.eye(4)
    for place, value in change.items():
        matrix[place] = value
    with pytest.raises(DataError, match=message):
        Geometry.from_affine(shape, matrix)
