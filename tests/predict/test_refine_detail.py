"""Labels at the scan's own resolution, from what was known on a coarser grid."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.dataset.layouts import read_dataset
from voxloop.dataset.load import read_case_label_map
from voxloop.io.formats import read_volume
from voxloop.metrics.surface import surface_distances
from voxloop.predict.refine import detail as detail_module
from voxloop.predict.refine import upsampler as upsampler_module
from voxloop.predict.refine.detail import (
    CoarseView,
    needs_refinement,
    refine_labels,
)
from voxloop.volume.geometry import Geometry
from voxloop.volume.resample import resample_linear

Array = npt.NDArray[np.float32]


def _coarsely(
    labels: npt.NDArray[np.uint8],
    image: Array,
    source: Geometry,
    spacing_mm: tuple[float, float, float],
    doubt: float = 0.3,
) -> CoarseView:
    """What a network on a coarser grid would see and say: shares of cells, blurred, with errors."""
    grid = source.canonical().resampled(spacing_mm)
    values = tuple(int(v) for v in np.unique(labels) if v)
    rng = np.random.default_rng(1)
    shares = [
        ndimage.gaussian_filter(
            resample_linear((labels == v).astype(np.float32), source, grid), 0.4
        )
        for v in (0, *values)
    ]
    odds = np.stack(shares) + 0.01
    odds *= np.exp(doubt * rng.normal(size=odds.shape))
    probabilities = (odds / odds.sum(axis=0)).astype(np.float32)
    return CoarseView(probabilities, resample_linear(image, source, grid), grid, source, values)


def _shells(geometry: Geometry, noise: float = 0.1) -> tuple[npt.NDArray[np.uint8], Array]:
    """A shell of 0.6 mm (label 1) about a tube of 1.2 mm (label 7), both bright, in grey."""
    axes = [
        (np.arange(n) - (n - 1) / 2) * s
        for n, s in zip(geometry.shape, geometry.spacing_mm, strict=True)
    ]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    inner = 0.8 * min(a[-1] for a in axes)
    shell = np.abs(np.sqrt(x**2 + y**2 + z**2) - inner) - 0.3
    tube = np.maximum(np.hypot(x, y) - 0.6, np.abs(z) - 0.6 * inner)
    labels = np.select([shell < 0, tube < 0], [1, 7], 0).astype(np.uint8)
    filled = np.clip(0.5 - np.minimum(shell, tube) / min(geometry.spacing_mm), 0, 1)
    image = ndimage.gaussian_filter(filled, 0.5) * 900 + 100
    image += np.random.default_rng(0).normal(size=geometry.shape) * 900 * noise
    return labels, image.astype(np.float32)


def _upsampled(view: CoarseView) -> npt.NDArray[np.uint8]:
    each = [resample_linear(p, view.grid, view.source) for p in view.probabilities]
    values = np.array([0, *view.values], dtype=np.uint8)
    return np.asarray(values[np.argmax(each, axis=0)])


def _error_mm(reference: npt.NDArray[np.bool_], found: npt.NDArray[np.bool_], g: Geometry) -> float:
    return surface_distances(reference, found, g).assd_mm()


@settings(max_examples=15)
@given(
    st.permutations([0, 1, 2]),
    st.tuples(*[st.booleans()] * 3),
    st.tuples(*[st.floats(0.7, 3.5)] * 3),
)
def test_where_the_scan_shows_nothing_the_labels_are_the_upsampled_ones(
    order: list[int], flips: tuple[bool, bool, bool], spacing_mm: tuple[float, float, float]
) -> None:
    base = oblique_geometry((52, 9, 14), (0.8, 1.0, 1.3), flips=flips)
    matrix = base.matrix.copy()
    matrix[:3, :3] = base.matrix[:3, order]
    source = Geometry.from_affine([base.shape[a] for a in order], matrix)
    grid = source.canonical().resampled(spacing_mm)
    probabilities = np.random.default_rng(0).dirichlet((1, 1, 1), grid.shape).transpose(3, 0, 1, 2)
    even = np.full(grid.shape, 1e6, np.float32)
    view = CoarseView(probabilities.astype(np.float32), even, grid, source, (2, 9))
    upsampled = np.stack([resample_linear(p, grid, source) for p in view.probabilities])
    best = np.sort(upsampled, axis=0)
    clear = best[-1] - best[-2] > 1e-4
    found = refine_labels(np.full(source.shape, 1e6, np.float32), view)
    np.testing.assert_array_equal(found[clear], _upsampled(view)[clear])
    assert clear.mean() > 0.99


@pytest.mark.parametrize("spacing_mm", [(0.3, 0.3, 0.3), (0.3, 0.3, 0.6)])
def test_thin_structures_keep_the_scans_resolution(spacing_mm: tuple[float, float, float]) -> None:
    shape = (64, 60, round(18 / spacing_mm[2]))
    source = oblique_geometry(shape, spacing_mm, flips=(True, False, True))
    labels, image = _shells(source)
    view = _coarsely(labels, image, source, (1.2, 1.2, 1.2))
    plain, refined = _upsampled(view), refine_labels(image, view)
    for value in (1, 7):
        reference = labels == value
        assert _error_mm(reference, refined == value, source) < 0.15
        missed = (plain[reference] != value).mean(), (refined[reference] != value).mean()
        assert missed[1] < missed[0] / 2


def test_what_has_nothing_to_do_with_the_labels_moves_no_surface() -> None:
    source = oblique_geometry((60, 50, 40), (0.5, 0.5, 0.5))
    body = ellipsoid_mask(source, (7, 8, 6)).astype(np.uint8)
    noise = np.random.default_rng(3).normal(size=source.shape).astype(np.float32)
    view = _coarsely(body, noise, source, (1.5, 1.5, 1.5), doubt=0.1)
    plain, refined = _upsampled(view) == 1, refine_labels(noise, view) == 1
    before, after = (_error_mm(body == 1, found, source) for found in (plain, refined))
    assert after < before + 0.05


@pytest.mark.parametrize(("gain", "offset"), [(1e-3, 0.0), (-250.0, 4e5)])
def test_the_scale_of_the_intensities_does_not_matter(gain: float, offset: float) -> None:
    source = oblique_geometry((40, 44, 36), (0.3, 0.3, 0.3))
    labels, image = _shells(source)
    view = _coarsely(labels, image, source, (1.2, 1.2, 1.2))
    other = CoarseView(
        view.probabilities, view.image * gain + offset, view.grid, source, view.values
    )
    expected = refine_labels(image, view)
    scaled = refine_labels(image, other, intensity=lambda block: block * gain + offset)
    assert (scaled != expected).mean() < 1e-3
    assert (_upsampled(view) != expected).mean() > 0.02


def test_blocks_leave_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    source = oblique_geometry((50, 44, 36), (0.3, 0.3, 0.5), flips=(True, True, False))
    labels, image = _shells(source)
    view = _coarsely(labels, image, source, (1.2, 0.9, 1.2))
    monkeypatch.setattr(upsampler_module, "_EDGE", 1000)
    whole = refine_labels(image, view)
    monkeypatch.setattr(upsampler_module, "_EDGE", 13)
    assert (refine_labels(image, view) != whole).sum() <= 2  # ties


def test_only_what_cannot_win_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    source = oblique_geometry((60, 52, 44), (0.4, 0.5, 0.6), flips=(False, True, False))
    grid = source.canonical().resampled((1.0, 1.3, 1.1))
    rng = np.random.default_rng(5)
    smooth = [ndimage.gaussian_filter(rng.normal(size=grid.shape), 1.5) for _ in range(9)]
    odds = np.exp(40 * np.array(smooth))
    probabilities = (odds / odds.sum(axis=0)).astype(np.float32)
    shown = resample_linear(smooth[0].astype(np.float32), grid, source)
    image = 0.1 * rng.normal(size=source.shape).astype(np.float32) + shown
    seen = resample_linear(image, source, grid)
    view = CoarseView(probabilities, seen, grid, source, tuple(range(1, 9)))
    found = refine_labels(image, view)

    def everywhere(values: npt.NDArray[np.float32], reach: Any, _: float) -> npt.NDArray[np.bool_]:
        shape = [n - r + 1 for n, r in zip(values.shape[1:], reach, strict=True)]
        return np.ones((len(values), *shape), dtype=np.bool_)

    monkeypatch.setattr(detail_module, "places_to_win", everywhere)
    np.testing.assert_array_equal(found, refine_labels(image, view))
    assert len(np.unique(found)) == 9


def test_no_class_is_ever_held_at_full_size(monkeypatch: pytest.MonkeyPatch) -> None:
    source = oblique_geometry((64, 60, 56), (0.5, 0.5, 0.5))
    labels = ellipsoid_mask(source, (13, 12, 11)).astype(np.uint8)
    for value in range(2, 6):
        labels[ellipsoid_mask(source, (3, 3, 3), (value * 3 - 14, 0, 4))] = value
    image = labels.astype(np.float32)
    view = _coarsely(labels, image, source, (2.0, 2.0, 2.0))
    monkeypatch.setattr(upsampler_module, "_EDGE", 24)
    tracemalloc.start()
    refine_labels(image, view)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < labels.nbytes + image.nbytes


def test_refined_hippocampi_are_nearer_to_the_reference(shared_data: Path) -> None:
    dataset = read_dataset(shared_data / "hippocampus")
    labels, errors = dataset.labels, []
    assert labels is not None
    for case in dataset.cases[:4]:
        reference = read_case_label_map(case, labels)
        image = read_volume(case.channels[0]).array.astype(np.float32)
        g = reference.geometry
        view = _coarsely(reference.array, image, g, (2.0, 2.0, 2.0), doubt=0.7)
        for value in (1, 2):
            mask = reference.mask(value)
            found = _upsampled(view) == value, refine_labels(image, view) == value
            errors.append([_error_mm(mask, each, g) for each in found])
    plain, refined = np.mean(errors, axis=0)
    assert refined < 0.97 * plain


def test_only_scans_clearly_finer_than_the_networks_grid_are_refined() -> None:
    assert needs_refinement((1.2, 1.2, 1.2), (0.3, 0.3, 0.3))
    assert needs_refinement((3.0, 1.0, 1.0), (1.0, 1.0, 1.0))
    assert not needs_refinement((1.2, 1.2, 1.2), (1.0, 1.0, 5.0))


def test_what_does_not_lie_on_its_grid_is_refused() -> None:
    source = oblique_geometry((20, 20, 10), (1.0, 1.0, 1.0))
    labels = ellipsoid_mask(source, (4, 4, 4)).astype(np.uint8)
    view = _coarsely(labels, labels.astype(np.float32), source, (2.0, 2.0, 2.0))
    with pytest.raises(ValueError, match="image of shape"):
        refine_labels(view.image, view)
    with pytest.raises(ValueError, match="with 2 labels"):
        CoarseView(view.probabilities, view.image, view.grid, source, (1, 2))
    turned = oblique_geometry((20, 20, 10), (1.0, 1.0, 1.0), angles=(0.5, 0, 0))
    askew = CoarseView(view.probabilities, view.image, view.grid, turned, (1,))
    with pytest.raises(ValueError, match="must be parallel"):
        refine_labels(labels, askew)
