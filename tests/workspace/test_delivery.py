from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxloop.dataset.annotation import Annotation, merge
from voxloop.errors import DataError
from voxloop.volume.boxes import Box
from voxloop.volume.labels import IGNORE
from voxloop.volume.volume import LabelArray, LabelMap
from voxloop.workspace.delivery import LookedAt, answer, changed_outside, is_known, looked_at
from workspace_samples import GEOMETRY, LABELS, organ

QUERY = Box((2, 3, 1), (6, 9, 5))


def marked() -> LabelArray:
    array = organ()
    array[:, :, :3] = IGNORE
    return array


def box_mask(*boxes: Box) -> np.ndarray:
    mask = np.zeros(GEOMETRY.shape, dtype=bool)
    for box in boxes:
        mask[box.slices] = True
    return mask


def slices_mask(array: LabelArray, axis: int) -> np.ndarray:
    """Slice by slice, as a person would look it up."""
    mask = np.zeros(array.shape, dtype=bool)
    for index in range(array.shape[axis]):
        if np.isin(np.take(array, index, axis), LABELS.values).any():
            mask[Box.slice_at(GEOMETRY.shape, axis, index).slices] = True
    return mask


@pytest.mark.parametrize(
    ("array", "policy", "regions", "expected"),
    [
        (organ(), LookedAt.ALL, [], np.ones(GEOMETRY.shape, bool)),
        (marked(), LookedAt.ALL, [], marked() != IGNORE),
        (marked(), LookedAt.MARKED, [QUERY], marked() != IGNORE),
        (marked(), LookedAt.AUTO, [QUERY], marked() != IGNORE),
        (organ(), LookedAt.AUTO, [QUERY], box_mask(QUERY)),
        (organ(), LookedAt.QUERIES, [QUERY, Box.slice_at(GEOMETRY.shape, 0, 9)],
         box_mask(QUERY, Box.slice_at(GEOMETRY.shape, 0, 9))),
        (marked(), LookedAt.QUERIES, [QUERY], box_mask(QUERY) & (marked() != IGNORE)),
        (organ(), LookedAt.LABELLED_SLICES, [QUERY], slices_mask(organ(), 2)),
        (marked(), LookedAt.LABELLED_SLICES, [], slices_mask(marked(), 2)),
    ],
)  # fmt: skip
def test_each_policy_tells_where_somebody_looked(
    array: LabelArray, policy: LookedAt, regions: list[Box], expected: np.ndarray
) -> None:
    assert np.array_equal(looked_at(array, policy, regions, 2, "file"), expected)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_labelled_slices_count_across_the_axis_asked_for(axis: int) -> None:
    found = looked_at(organ(), LookedAt.LABELLED_SLICES, [], axis, "file")
    assert np.array_equal(found, slices_mask(organ(), axis))
    assert not found.all()


@pytest.mark.parametrize(
    ("array", "policy", "finding"),
    [
        (organ(), LookedAt.AUTO, "found neither; .*'labelled-slices'.*'all'"),
        (organ(), LookedAt.MARKED, "ignore value 255, found none"),
        (organ(), LookedAt.QUERIES, "no open query for this case; .*'all'"),
        (organ() * 0, LookedAt.LABELLED_SLICES, "no label in any slice; .*'all'"),
    ],
)
def test_a_policy_that_does_not_apply_names_those_that_might(
    array: LabelArray, policy: LookedAt, finding: str
) -> None:
    with pytest.raises(DataError, match=finding):
        looked_at(array, policy, [], 2, "file")


def test_an_answer_holds_only_what_was_looked_at_and_asked_for() -> None:
    label_map = LabelMap(organ(), GEOMETRY, LABELS)
    mask = slices_mask(organ(), 2)
    annotation = answer(label_map, mask, [2], "file")
    assert annotation.asked == {2}
    expected = np.where(mask, np.where(organ() == 2, 2, 0), IGNORE)
    assert np.array_equal(annotation.label_map.array, expected)
    with pytest.raises(DataError, match="at least one voxel that was looked at, found none"):
        answer(label_map, mask & False, [2], "file")


def test_edits_are_told_from_what_the_annotator_was_given() -> None:
    given_map, mask = marked(), box_mask(QUERY)
    edited = np.where(given_map == IGNORE, 0, given_map).astype(np.uint8)
    assert not changed_outside(edited, mask, given_map).any()
    edited[QUERY.start] = 2
    edited[0, 0, 0] = 1
    assert np.argwhere(changed_outside(edited, mask, given_map)).tolist() == [[0, 0, 0]]


@given(seed=st.integers(0, 10_000), asked=st.sampled_from([{1}, {2}, {1, 2}]))
def test_a_delivery_is_known_exactly_if_adding_it_changes_nothing(
    seed: int, asked: set[int]
) -> None:
    rng = np.random.default_rng(seed)
    shape = (2, 2, 1)
    grid = GEOMETRY.from_affine(shape, GEOMETRY.affine)

    def annotation(labels: set[int]) -> Annotation:
        array = rng.choice([0, IGNORE, *labels], size=shape).astype(np.uint8)
        array[0, 0, 0] = 0
        return Annotation(LabelMap(array, grid, LABELS), frozenset(labels))

    known = [annotation({1, 2}), annotation({int(rng.integers(1, 3))})]
    new = annotation(asked)
    before, after = merge(known, shape, LABELS), merge([*known, new], shape, LABELS)
    per_voxel = [[target.asked_sets[i] for i in target.asked.ravel()] for target in (before, after)]
    unchanged = np.array_equal(before.values, after.values) and per_voxel[0] == per_voxel[1]
    assert is_known(before, new) == unchanged
