"""Patches: found where somebody looked, the same for the same step, every label early."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plans import small_plan
from voxloop.dataset.annotation import Annotation, Target, merge
from voxloop.errors import DataError
from voxloop.train.patches import PatchSource, TrainingCase
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import IGNORE, LabelTable
from voxloop.volume.volume import LabelArray, LabelMap

LABELS = LabelTable({1: "body", 4: "core"})
BODY, CORE = 1, 2  # the classes of the two labels
SPACING = (1.0, 1.0, 2.0)


def _target(array: LabelArray, asked: frozenset[int] = frozenset(LABELS.values)) -> Target:
    geometry = Geometry.from_affine(array.shape, np.diag([*SPACING, 1.0]))
    return merge([Annotation(LabelMap(array, geometry, LABELS), asked)], array.shape, LABELS)


def _case(array: LabelArray, case_id: str = "a", channels: int = 1) -> TrainingCase:
    image = np.random.default_rng(0).normal(size=(channels, *array.shape)).astype(np.float32)
    return TrainingCase(case_id, image, _target(array), SPACING)


def _one_slice(shape: tuple[int, int, int], index: int) -> LabelArray:
    array = np.full(shape, IGNORE, dtype=np.uint8)
    array[:, :, index] = 0
    array[10:20, 10:20, index] = 1
    array[12, 12, index] = 4
    return array


@pytest.mark.parametrize("index", [0, 17, 39])
def test_a_single_labelled_slice_is_found_in_a_big_volume(index: int) -> None:
    source = PatchSource((_case(_one_slice((40, 40, 40), index)),), small_plan(), 0)
    batches = [source.batch(step) for step in range(60)]
    looked = torch.cat([(b.classes != IGNORE).flatten(1).any(1) for b in batches])
    # zoom and rotation may turn a patch at the scan's border away from its outermost slice
    assert looked.all() if index == 17 else looked.float().mean() > 0.8
    found = torch.cat([b.classes for b in batches])
    assert (found == BODY).any(), "the label is there"
    assert (found == CORE).any(), "and the one that is a single voxel"


@pytest.mark.parametrize("index", [0, 4, 9])
def test_it_is_also_found_where_the_patch_is_larger_than_the_scan(index: int) -> None:
    plan = small_plan(patch_shape=(24, 24, 12))
    source = PatchSource((_case(_one_slice((20, 20, 10), index)),), plan, 0)
    batches = [source.batch(step) for step in range(30)]
    looked = torch.cat([(b.classes != IGNORE).flatten(1).any(1) for b in batches])
    assert looked.all() if index == 4 else looked.float().mean() > 0.8
    assert batches[0].classes.shape == (2, 24, 24, 12)


def test_every_label_is_seen_early_however_rare() -> None:
    cases = []
    for number in range(20):
        array = np.zeros((30, 30, 10), dtype=np.uint8)
        array[:25, :25] = 1
        if number == 13:
            array[27, 3, 8] = 4
        cases.append(_case(array, f"case{number}"))
    source = PatchSource(tuple(cases), small_plan(), 0)
    seen = torch.cat([source.batch(step).classes for step in range(20)]).flatten(1)
    assert (seen == CORE).any(1).sum() >= 5
    assert (seen == BODY).any(1).sum() >= 10


def test_a_batch_follows_from_seed_and_step_alone() -> None:
    cases = (_case(_one_slice((20, 20, 10), 3)), _case(_one_slice((24, 22, 8), 5), "b"))
    one, same, other = (PatchSource(cases, small_plan(), seed) for seed in (1, 1, 2))
    one.batch(0)
    for step in (7, 3):
        found, again = one.batch(step), same.batch(step)
        assert torch.equal(found.image, again.image)
        assert torch.equal(found.classes, again.classes)
        assert torch.equal(found.asked, again.asked)
    assert not torch.equal(one.batch(3).image, one.batch(4).image)
    assert not torch.equal(one.batch(3).image, other.batch(3).image)


def test_values_become_classes_and_asked_sets_rows_of_one_table() -> None:
    whole = np.full((8, 8, 4), 4, dtype=np.uint8)
    other = _case(np.where(whole == 4, 1, whole).astype(np.uint8), "b")
    part = TrainingCase("c", other.image, _target(other.target.values, frozenset({1})), SPACING)
    source = PatchSource((_case(whole), other, part), small_plan(batch_size=8), 0)
    assert source.merged.tolist() == [
        [True, True, True], [True, False, False], [True, False, True],
    ]  # fmt: skip
    batch = torch.stack([source.batch(s).classes for s in range(6)])
    asked = torch.stack([source.batch(s).asked for s in range(6)])
    looked = batch != IGNORE
    assert set(batch[looked].tolist()) == {BODY, CORE}
    assert set(asked[looked].tolist()) == {1, 2}
    assert set(asked[batch == CORE].tolist()) == {1}
    assert not asked[~looked].any()


def test_position_channels_say_where_in_the_scan_a_patch_lies() -> None:
    array = _one_slice((60, 20, 10), 4)
    array[:10], array[20:] = IGNORE, IGNORE
    source = PatchSource((_case(array),), small_plan(use_position=True, mirror_axes=()), 0)
    images = torch.cat([source.batch(step).image for step in range(10)])
    assert images.shape[1] == 4
    middle = images[:, 1:, 4, 4, 2].mean(0) * 100  # the units of the position channels, mm
    assert -22 < middle[0] < -10, "annotated between 10 and 20 of 60 voxels of 1 mm"
    assert middle[1] == pytest.approx(0, abs=3)


def test_nothing_to_learn_from_is_refused() -> None:
    nothing = np.full((8, 8, 4), IGNORE, dtype=np.uint8)
    empty = merge([], nothing.shape, LABELS)
    image = np.zeros((1, 8, 8, 4), dtype=np.float32)
    with pytest.raises(DataError, match=r"labelled body or core, found no annotated case"):
        PatchSource((TrainingCase("a", image, empty, SPACING),), small_plan(), 0)
    with pytest.raises(DataError, match=r"labelled body or core, found background only"):
        PatchSource((_case(np.zeros((8, 8, 4), dtype=np.uint8)),), small_plan(), 0)


def test_background_is_seen_both_where_there_is_something_and_where_there_is_nothing() -> None:
    array = np.zeros((60, 60, 60), dtype=np.uint8)
    array[28:32, 28:32, 28:32] = BODY
    image = np.full((1, *array.shape), -3.0, dtype=np.float32)
    image[0, 20:40, 20:40, 20:40] = np.random.default_rng(0).uniform(-2, 2, (20, 20, 20))
    case = TrainingCase("masked", image, _target(array), SPACING)
    source = PatchSource((case,), small_plan(batch_size=1), 0)
    spans = [float(torch.std(batch.image)) for batch in map(source.batch, range(150))]
    empty = np.mean(np.array(spans) < 0.3)
    assert 0.05 < empty < 0.25, "a network that never saw emptiness finds structures in it"
