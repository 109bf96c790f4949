"""The fingerprint: a property of the anatomy, not of how the files happen to store it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.dataset.annotation import Annotation, Target, merge
from voxloop.errors import DataError
from voxloop.plan.fingerprint import CaseFingerprint, Fingerprint, fingerprint_case, summarise_cases
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import IGNORE, LabelTable
from voxloop.volume.volume import LabelArray, LabelMap, Volume

LABELS = LabelTable({1: "body", 4: "core"})
RNG = np.random.default_rng


def _target(array: LabelArray, geometry: Geometry) -> Target:
    annotation = Annotation.of_whole(LabelMap(array, geometry, LABELS))
    return merge([annotation], geometry.shape, LABELS)


def _case(
    shape: tuple[int, int, int] = (12, 14, 9), spacing: tuple[float, float, float] = (0.9, 1.1, 2.5)
) -> CaseFingerprint:
    geometry = oblique_geometry(shape, spacing)
    image = RNG(3).normal(100, 20, shape).astype(np.float32)
    labels = ellipsoid_mask(geometry, (4, 4, 6)).astype(np.uint8)
    return fingerprint_case((Volume(image, geometry),), _target(labels, geometry), RNG(0))


@settings(max_examples=25)
@given(st.permutations([0, 1, 2]), st.tuples(*[st.booleans()] * 3))
def test_the_same_voxels_stored_in_another_order_have_the_same_fingerprint(
    order: list[int], flips: tuple[bool, bool, bool]
) -> None:
    geometry = oblique_geometry((12, 14, 9))
    image = RNG(3).normal(100, 20, geometry.shape).astype(np.float32)
    labels = ellipsoid_mask(geometry, (4, 4, 6)).astype(np.uint8)
    labels[:, :, 0] = IGNORE
    matrix = geometry.matrix.copy()
    for axis, flip in enumerate(flips):
        if flip:
            matrix[:3, 3] += matrix[:3, axis] * (geometry.shape[axis] - 1)
            matrix[:3, axis] *= -1
    matrix[:3, :3] = matrix[:3, order]
    stored = Geometry.from_affine([geometry.shape[a] for a in order], matrix)
    turn = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    found, expected = (
        summarise_cases([fingerprint_case((Volume(i, g),), _target(s, g), RNG(0))], ("MR",), LABELS)
        for i, s, g in (
            (image[turn].transpose(order), labels[turn].transpose(order), stored),
            (image, labels, geometry),
        )
    )
    assert (found.shape, found.largest_shape) == (expected.shape, expected.largest_shape)
    assert found.spacing_mm == pytest.approx(expected.spacing_mm)
    assert found.foreground_range == pytest.approx(np.array(expected.foreground_range))
    assert found.foreground_mean_sd == pytest.approx(np.array(expected.foreground_mean_sd))
    assert found.annotated_vox == expected.annotated_vox == 12 * 14 * 8
    assert found.label_cases == expected.label_cases == {1: 1, 4: 0}


def test_a_data_set_is_summed_up_by_its_medians_and_its_largest() -> None:
    found = summarise_cases(
        [_case((10, 10, 10), (1, 1, 1)), _case((20, 12, 8), (2, 1, 3)), _case((12, 30, 9))],
        ("ct ",),
        LABELS,
    )
    assert found.shape == (12, 12, 9)
    assert found.largest_shape == (20, 30, 10)
    assert found.spacing_mm == pytest.approx((1, 1, 2.5))
    assert (found.cases, found.is_ct) == (3, True)
    assert found.label_cases == {1: 3, 4: 0}
    document = found.to_json()
    document["label_cases"] = {int(value): n for value, n in document["label_cases"].items()}
    assert Fingerprint(**document) == found


def test_intensities_are_measured_under_labels_and_without_any_over_the_image() -> None:
    geometry = oblique_geometry((30, 30, 10), (1, 1, 1))
    labels = ellipsoid_mask(geometry, (6, 6, 4)).astype(np.uint8)
    image = np.where(labels == 1, RNG(0).uniform(40, 60, labels.shape), -1000).astype(np.float32)
    volume = (Volume(image, geometry),)
    labelled = fingerprint_case(volume, _target(labels, geometry), RNG(0))
    empty = fingerprint_case(volume, _target(np.zeros_like(labels), geometry), RNG(0))
    (low, high), (mean, sd) = (
        getattr(summarise_cases([labelled], ("CT",), LABELS), name)[0]
        for name in ("foreground_range", "foreground_mean_sd")
    )
    assert (low, high) == (pytest.approx(40, abs=0.5), pytest.approx(60, abs=0.5))
    assert (mean, sd) == (pytest.approx(50, abs=1), pytest.approx(20 / 12**0.5, rel=0.05))
    whole = summarise_cases([empty], ("CT",), LABELS)
    assert whole.foreground_range[0][0] == -1000
    assert whole.foreground_range[0][1] > 40


def test_no_case_at_all_is_refused_with_what_to_do() -> None:
    with pytest.raises(DataError, match="annotate a slice and run `voxloop collect`"):
        summarise_cases([], ("CT",), LABELS)
