"""Labels block by block are those of all probabilities brought to the scan's grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantoms import oblique_geometry
from plans import argmax_on_grid, small_plan
from voxloop.plan.preprocess import Prepared, plan_grid
from voxloop.predict.labelling import Labeller
from voxloop.volume.geometry import Geometry
from voxloop.volume.resample import resample_linear

Floats = npt.NDArray[np.float32]
SPACINGS = [(1.0, 1.0, 2.0), (2.3, 1.9, 2.1), (0.6, 0.7, 0.9), (0.9, 4.0, 1.0)]
KINDS = st.sampled_from(["random", "smooth", "second everywhere"])
any_flips = st.tuples(*[st.booleans()] * 3)


def _case(flips: tuple[bool, ...], order: list[int], spacing: tuple[float, ...]) -> Prepared:
    base = oblique_geometry((37, 29, 31), (1.0, 1.0, 2.0), flips=(flips[0], flips[1], flips[2]))
    matrix = base.matrix.copy()
    matrix[:3, :3] = matrix[:3, order]
    source = Geometry.from_affine([base.shape[a] for a in order], matrix)
    grid = plan_grid(source, small_plan(spacing_mm=spacing))
    return Prepared(np.zeros((1, *grid.shape), np.float32), grid, source)


def _probabilities(shape: tuple[int, ...], classes: int, kind: str, seed: int) -> Floats:
    from scipy.ndimage import gaussian_filter

    logits = np.random.default_rng(seed).normal(size=(classes, *shape)).astype(np.float32)
    if kind == "smooth":
        logits = 300 * gaussian_filter(logits, (0, 4, 4, 4))
    if kind == "second everywhere":  # leaders change from cell to cell; between two a third wins
        leaders = np.indices(shape).sum(axis=0) % (classes - 1) + 1
        logits = np.where(leaders == np.arange(classes).reshape(-1, 1, 1, 1), 1.2, -3.0)
        logits[0] = 1.0
    raised = np.exp(logits - logits.max(axis=0))
    return np.asarray(raised / raised.sum(axis=0), dtype=np.float32)


def _labelled(
    prepared: Prepared, probabilities: Floats, axis: int, step: int, **options: Any
) -> Labeller:
    values = tuple(range(3, 3 * len(probabilities), 3))
    labeller = Labeller(prepared, values, axis, **options)
    length = prepared.grid.shape[axis]
    for start in range(0, length, step):
        first, stop = max(0, start - labeller.lead), min(start + step, length)
        planes = np.moveaxis(np.moveaxis(probabilities, axis + 1, 0)[first:stop], 0, axis + 1)
        shown = {n: p for n, p in enumerate(planes) if p.any()}
        labeller.add(shown, first, stop)
    return labeller


any_case = st.builds(_case, any_flips, st.permutations([0, 1, 2]), st.sampled_from(SPACINGS))


@settings(max_examples=40, deadline=None)
@given(any_case, KINDS, st.integers(0, 2), st.integers(1, 40))
def test_blocks_lose_nothing(prepared: Prepared, kind: str, axis: int, step: int) -> None:
    probabilities = _probabilities(prepared.grid.shape, 5, kind, seed=step)
    found = _labelled(prepared, probabilities, axis, step).labels
    everything = np.stack(
        [resample_linear(p, prepared.grid, prepared.source) for p in probabilities]
    )
    expected = argmax_on_grid(probabilities, (3, 6, 9, 12), prepared)
    differs = found != expected
    # summed in another order, equal numbers differ in their last digit
    chosen = np.take_along_axis(everything, (found[None] // 3).astype(int), axis=0)[0]
    assert (everything.max(axis=0) - chosen)[differs].max(initial=0) < 1e-6
    assert differs.mean() < 1e-4


@pytest.mark.parametrize("spacing", SPACINGS)
def test_of_equally_probable_classes_the_first_is_taken(spacing: tuple[float, ...]) -> None:
    prepared = _case((True, False, True), [2, 0, 1], spacing)
    smooth = _probabilities(prepared.grid.shape, 3, "smooth", 1)
    twice = np.repeat(smooth, 2, axis=0) / np.float32(2)
    found = _labelled(prepared, twice, 1, 9).labels
    assert set(np.unique(found)) == {0, 6, 12}, "never the second of two equal ones"
    np.testing.assert_array_equal(found, 2 * _labelled(prepared, smooth, 1, 9).labels)


@pytest.mark.parametrize("kind", ["random", "smooth"])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_the_entropy_is_that_of_the_probabilities_on_the_scan(
    kind: str, spacing: tuple[float, ...]
) -> None:
    prepared = _case((False, True, False), [1, 2, 0], spacing)
    probabilities = _probabilities(prepared.grid.shape, 4, kind, 2)
    labeller = _labelled(prepared, probabilities, 0, 7, uncertainty=True)
    p = np.stack([resample_linear(p, prepared.grid, prepared.source) for p in probabilities])
    expected = -(p * np.log(np.maximum(p, 1e-12))).sum(axis=0) / np.log(4) * 255
    assert labeller.entropy is not None
    np.testing.assert_allclose(labeller.entropy, expected, atol=1)
    plain = _labelled(prepared, probabilities, 0, 7)
    assert plain.entropy is None
    np.testing.assert_array_equal(labeller.labels, plain.labels)


def test_a_class_that_nowhere_occurs_need_not_be_shown() -> None:
    prepared = _case((False,) * 3, [0, 1, 2], SPACINGS[1])
    probabilities = np.zeros((4, *prepared.grid.shape), np.float32)
    probabilities[2, :5], probabilities[0, 5:] = 1, 1
    found = _labelled(prepared, probabilities, 0, 4).labels
    assert set(np.unique(found)) == {0, 6}
