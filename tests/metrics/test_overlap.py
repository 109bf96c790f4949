from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.metrics.overlap import (
    dice,
    iou,
    measure_overlap,
    volume_difference_ml,
    volume_difference_percent,
)

masks = hnp.arrays(bool, (3, 4, 5))


def test_shifted_boxes_overlap_by_the_closed_form() -> None:
    reference = np.zeros((30, 12, 12), dtype=bool)
    reference[5:15, 2:8, 2:8] = True
    overlap = measure_overlap(reference, np.roll(reference, 3, axis=0))
    assert dice(overlap) == pytest.approx(7 / 10)
    assert iou(overlap) == pytest.approx(7 / 13)
    assert volume_difference_percent(overlap) == 0


def test_concentric_spheres_overlap_by_the_closed_form() -> None:
    geometry = oblique_geometry((60, 56, 40), (0.5, 0.6, 0.8))
    large, small = 12.0, 9.0
    reference = ellipsoid_mask(geometry, (large,) * 3)
    overlap = measure_overlap(reference, ellipsoid_mask(geometry, (small,) * 3))
    assert dice(overlap) == pytest.approx(2 * small**3 / (large**3 + small**3), rel=0.01)
    assert iou(overlap) == pytest.approx((small / large) ** 3, rel=0.015)
    lost_ml = 4 / 3 * np.pi * (small**3 - large**3) / 1000
    found_ml = volume_difference_ml(overlap, geometry.voxel_volume_mm3)
    assert found_ml == pytest.approx(lost_ml, rel=0.015)
    assert volume_difference_percent(overlap) == pytest.approx(-57.8, abs=0.6)


@given(masks, masks)
def test_overlap_agrees_with_simpleitk(
    reference: npt.NDArray[np.bool_],
    prediction: npt.NDArray[np.bool_],
) -> None:
    reference[0, 0, 0] = True  # without a reference SimpleITK has a convention of its own
    theirs = sitk.LabelOverlapMeasuresImageFilter()
    theirs.Execute(
        sitk.GetImageFromArray(prediction.astype(np.uint8)),
        sitk.GetImageFromArray(reference.astype(np.uint8)),
    )
    overlap = measure_overlap(reference, prediction)
    assert dice(overlap) == pytest.approx(theirs.GetDiceCoefficient(), abs=1e-12)
    assert iou(overlap) == pytest.approx(theirs.GetJaccardCoefficient(), abs=1e-12)


@given(masks, masks, st.sampled_from([0, 1, 2]))
def test_slices_are_measured_as_if_each_were_a_volume(
    reference: npt.NDArray[np.bool_],
    prediction: npt.NDArray[np.bool_],
    axis: int,
) -> None:
    by_slice = measure_overlap(reference, prediction, axis)
    singly = [
        measure_overlap(reference.take([i], axis), prediction.take([i], axis))
        for i in range(reference.shape[axis])
    ]
    np.testing.assert_equal(dice(by_slice), [dice(overlap) for overlap in singly])
    np.testing.assert_equal(iou(by_slice), [iou(overlap) for overlap in singly])


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"different shapes, \(2, 3, 4\) and \(1, 3, 4\)"):
        measure_overlap(np.ones((2, 3, 4), dtype=bool), np.ones((1, 3, 4), dtype=bool))
