"""How much there is to do in a region: from what is known, and from what a model expects."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from voxloop.active.cost.effort import Effort, effort_of, expected_efforts, known_efforts
from voxloop.active.cost.walks import walks
from voxloop.active.cut import Cut
from voxloop.volume.labels import IGNORE
from voxloop.volume.lattice import Lattice

SHAPE = (90, 70, 6)
SPACING_MM = (0.8, 1.1, 3.0)
RADIUS_MM = 22.0
SLICES = Cut("slices").lattices(SHAPE, SPACING_MM, 2)
WHOLE = (Lattice.of_sides(SHAPE, SHAPE),)

Labels = npt.NDArray[np.uint8]


def disc(shift_mm: float = 0.0, stretch: float = 1.0) -> npt.NDArray[np.float64]:
    """How deep each voxel lies in a rod along the last axis, in mm, below zero outside."""
    i, j, _ = np.indices(SHAPE)
    x = (i - 44.3) * SPACING_MM[0] - shift_mm
    y = (j - 34.6) * SPACING_MM[1]
    return np.asarray(RADIUS_MM - np.hypot(x / stretch, y * stretch))


def rod(shift_mm: float = 0.0, stretch: float = 1.0) -> Labels:
    return (disc(shift_mm, stretch) > 0).astype(np.uint8)


def two_classes(probability: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    return np.stack([1 - probability, probability])[None].astype(np.float32)


def one_hot(labels: Labels, classes: int) -> npt.NDArray[np.float32]:
    return np.stack([labels == c for c in range(classes)])[None].astype(np.float32)


def patchwork(seed: int, shape: tuple[int, int, int] = (11, 9, 7)) -> Labels:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.0)
    return np.digitize(noise, np.quantile(noise, [0.5, 0.8])).astype(np.uint8)


def test_the_outline_of_a_circle_is_its_circumference_on_an_anisotropic_grid() -> None:
    rows = known_efforts(rod(), SPACING_MM, SLICES, 2)
    assert rows[:, 0] == pytest.approx(1)
    assert rows[:, 1] == pytest.approx(90 * 0.8 * 70 * 1.1)
    assert rows[:, 2] == pytest.approx(2 * math.pi * RADIUS_MM, rel=0.02)
    assert rows[:, 3] == pytest.approx(1)
    assert rows[:, 4] == pytest.approx(rows[:, 2])  # there was no proposal


@pytest.mark.parametrize("blur_mm", [0.3, 1.0, 2.5])
def test_a_border_of_uncertain_place_is_one_border(blur_mm: float) -> None:
    members = two_classes(1 / (1 + np.exp(-disc() / blur_mm)))
    rows = expected_efforts(members, SPACING_MM, SLICES, 2)
    assert rows[:, 2] == pytest.approx(2 * math.pi * RADIUS_MM, rel=0.03)
    assert rows[:, 3] == pytest.approx(1, abs=1e-3)


def test_the_less_sure_a_border_the_more_is_expected_to_be_corrected() -> None:
    missing = []
    for blur_mm in (0.1, 0.5, 1.0, 2.0):
        members = two_classes(1 / (1 + np.exp(-disc() / blur_mm)))
        missing.append(expected_efforts(members, SPACING_MM, WHOLE, 2)[0, 4])
    assert missing[0] < 0.01 * 6 * 2 * math.pi * RADIUS_MM
    assert missing == sorted(missing)
    assert missing[-1] > 0.4 * 6 * 2 * math.pi * RADIUS_MM


def test_what_may_be_there_counts_as_likely_as_it_is() -> None:
    rows = expected_efforts(two_classes(0.3 * rod()), SPACING_MM, SLICES, 2)
    assert rows[:, 2] == pytest.approx(0.3 * 2 * math.pi * RADIUS_MM, rel=0.02)
    assert rows[:, 3] == pytest.approx(0.3)
    assert rows[:, 4] == pytest.approx(rows[:, 2])  # it is not in the proposal


def test_members_that_differ_expect_the_mean_of_what_each_expects() -> None:
    both = np.concatenate([two_classes(1.0 * rod(-8.0)), two_classes(1.0 * rod(8.0, 1.3))])
    rows = [expected_efforts(m[None], SPACING_MM, SLICES, 2) for m in both]
    found = expected_efforts(both, SPACING_MM, SLICES, 2)
    assert found[:, :4] == pytest.approx((rows[0] + rows[1])[:, :4] / 2)
    assert found[:, 4].min() > 0.3 * found[:, 2].max()  # no proposal is right for both
    assert found == pytest.approx(expected_efforts(both[::-1], SPACING_MM, SLICES, 2), abs=1e-6)


@given(seed=st.integers(0, 10_000), axis=st.sampled_from([0, 1, 2]))
def test_a_sure_prediction_expects_what_the_same_label_map_needs(seed: int, axis: int) -> None:
    labels, started = patchwork(seed), patchwork(seed + 1)
    spacing_mm = (0.7, 1.3, 2.9)
    for kind in ("slices", "planes", "slice_boxes", "boxes", "volumes"):
        lattices = Cut(kind, 4.0).lattices(labels.shape, spacing_mm, axis)
        known = known_efforts(labels, spacing_mm, lattices, axis)
        expected = expected_efforts(one_hot(labels, 3), spacing_mm, lattices, axis)
        assert expected[:, :4] == pytest.approx(known[:, :4], rel=1e-5)
        assert expected[:, 4] == pytest.approx(0)  # the proposal is right
        added = known_efforts(labels, spacing_mm, lattices, axis, proposal=started)
        assert (added[:, 4] <= added[:, 2] + 1e-4).all()


@given(seed=st.integers(0, 10_000), axis=st.sampled_from([0, 1, 2]))
def test_the_regions_of_a_tiling_add_up_to_the_whole(seed: int, axis: int) -> None:
    rng = np.random.default_rng(seed)
    raw = rng.gamma(0.5, size=(2, 4, 9, 8, 7)) + 1e-6
    members = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
    spacing_mm = (0.7, 1.3, 2.9)
    shape = (9, 8, 7)
    whole = expected_efforts(members, spacing_mm, (Lattice.of_sides(shape, shape),), axis)[0]
    slices = expected_efforts(
        members, spacing_mm, Cut("slices").lattices(shape, spacing_mm, axis), axis
    )
    assert slices.sum(axis=0) == pytest.approx(whole, rel=1e-5)
    boxes = Cut("slice_boxes", 4.0).lattices(shape, spacing_mm, axis)
    parts = expected_efforts(members, spacing_mm, boxes, axis).sum(axis=0)
    assert parts[[1, 2, 4]] == pytest.approx(whole[[1, 2, 4]], rel=1e-5)
    assert (parts[[0, 3]] > whole[[0, 3]]).all()  # a slice in pieces is opened more often


def test_slices_across_another_axis_are_read_across_that_axis() -> None:
    planes = Cut("planes").lattices(SHAPE, (1.0, 1.0, 1.0), 2)
    rows = known_efforts(rod(), SPACING_MM, planes, 2)
    assert (rows[:, 0] == 1).all()
    sagittal = rows[len(SLICES[0]) + 44]  # through the middle of the rod: two lines along it
    assert sagittal[1] == pytest.approx(70 * 1.1 * 6 * 3.0)
    assert sagittal[2] == pytest.approx(math.pi / 4 * 2 * 6 * 3.0)


def test_a_delivery_took_the_effort_of_what_was_answered() -> None:
    whole = effort_of(rod()[:, :, 2:4], SPACING_MM, 2)
    part = np.full(SHAPE, IGNORE, dtype=np.uint8)
    part[:, :35, 2:4] = rod()[:, :35, 2:4]
    half = effort_of(part, SPACING_MM, 2)
    assert (half.slices, half.labels) == (2, 2)
    assert half.area_mm2 == pytest.approx(whole.area_mm2 / 2)
    assert half.contour_mm == pytest.approx(whole.contour_mm / 2, rel=0.05)
    sagittal = np.full(SHAPE, IGNORE, dtype=np.uint8)
    sagittal[44] = rod()[44]
    assert effort_of(sagittal, SPACING_MM, 2).slices == 1
    assert effort_of(np.full(SHAPE, IGNORE, dtype=np.uint8), SPACING_MM, 2) == Effort()


def test_slices_along_several_axes_take_what_each_of_them_takes() -> None:
    """Also where they cross one another, and an earlier one that nobody looked at anew."""
    places = (np.s_[44], np.s_[51], np.s_[:, 30], np.s_[:, :, 2])

    def drawn(*looked: tuple[int | slice, ...] | int) -> Labels:
        part = np.full(SHAPE, IGNORE, dtype=np.uint8)
        for place in looked:
            part[place] = rod()[place]
        return part

    each = [effort_of(drawn(place), SPACING_MM, 2) for place in places]
    together = effort_of(drawn(*places), SPACING_MM, 2)
    assert together.slices == 4
    assert together.labels == 4
    assert together.area_mm2 == pytest.approx(sum(one.area_mm2 for one in each))
    assert together.contour_mm == pytest.approx(sum(one.contour_mm for one in each), rel=1e-6)
    anew = drawn(*places)
    anew[20] = IGNORE
    assert effort_of(anew, SPACING_MM, 2).slices == 4
    assert effort_of(anew, SPACING_MM, 2).contour_mm < together.contour_mm


def test_a_slice_and_a_box_beside_it_are_both_counted() -> None:
    part = np.full(SHAPE, IGNORE, dtype=np.uint8)
    part[44] = 0
    part[60:80, 10:30, 3] = 0
    effort = effort_of(part, (1.0, 1.0, 1.0), 2)
    assert effort.slices == 2
    assert effort.area_mm2 == 70 * 6 + 20 * 20
    walked = walks(part != IGNORE, 2)
    assert [(walk.axis, walk.runs) for walk in walked] == [(0, 1), (2, 1)]
    whole = walks(np.ones(SHAPE, dtype=bool), 2)
    assert [(walk.axis, len(walk.slices), walk.runs) for walk in whole] == [(2, 6, 1)]


def test_only_what_the_proposal_has_not_got_is_corrected() -> None:
    reference, started = rod(), rod()
    started[:45] = 0  # half of it is missing
    effort = effort_of(reference, SPACING_MM, 2, proposal=started)
    assert effort.correction_mm == pytest.approx(effort.contour_mm / 2, rel=0.05)
    assert effort_of(reference, SPACING_MM, 2, proposal=reference).correction_mm == 0


def test_a_border_that_two_labels_share_is_drawn_once() -> None:
    halves = rod()
    halves[45:] *= 2
    added = effort_of(halves, SPACING_MM, 2).contour_mm - effort_of(rod(), SPACING_MM, 2).contour_mm
    assert added == pytest.approx(math.pi / 4 * 6 * 2 * RADIUS_MM, rel=0.05)


def test_efforts_add_up_and_a_skipped_query_was_only_read() -> None:
    one, two = effort_of(rod(), SPACING_MM, 2), effort_of(rod(5.0, 1.2), SPACING_MM, 2)
    assert (one + two).contour_mm == pytest.approx(one.contour_mm + two.contour_mm)
    assert Effort.of_row(one.row) == one
    assert one.reading == Effort(slices=6, area_mm2=one.area_mm2)
    with pytest.raises(ValueError, match="contour_mm is finite and not negative, found -1"):
        Effort(contour_mm=-1)
