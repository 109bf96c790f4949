"""The planner: what it decides for typical data sets, and that it says why."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxloop.compute.memory import GIB
from voxloop.errors import LimitError
from voxloop.plan.fingerprint import Fingerprint
from voxloop.plan.plan import Plan
from voxloop.plan.planner import make_plan
from voxloop.volume.labels import LabelTable

ORGANS = LabelTable.from_names("liver", "spleen")
SIDED = LabelTable.from_names("left kidney", "right kidney")

Triple = tuple[int, int, int]
Spacing = tuple[float, float, float]


def _fingerprint(shape: Triple, spacing: Spacing, *, is_ct: bool = False) -> Fingerprint:
    return Fingerprint(
        cases=3,
        shape=shape,
        largest_shape=shape,
        spacing_mm=spacing,
        is_ct=is_ct,
        foreground_range=((-20.0, 180.0), (0.0, 9.0)),
        foreground_mean_sd=((95.0, 30.0), (4.0, 2.0)),
        annotated_vox=1000,
        label_cases={1: 3, 2: 3},
    )


def _plan(
    shape: Triple,
    spacing: Spacing,
    labels: LabelTable = ORGANS,
    *,
    is_ct: bool = False,
    limit: int = 6 * GIB,
) -> Plan:
    names = ("CT" if is_ct else "MR", "other")
    return make_plan(_fingerprint(shape, spacing, is_ct=is_ct), labels, names, limit)


def test_a_small_scan_is_learned_whole_and_at_full_resolution() -> None:
    plan = _plan((36, 50, 36), (1, 1, 1))
    assert plan.spacing_mm == (1, 1, 1)
    assert plan.stem == (1, 1, 1)
    assert all(p >= n for p, n in zip(plan.patch_shape, (36, 50, 36), strict=True))
    assert [how.method for how in plan.normalisation] == ["volume", "volume"]
    assert (plan.use_position, plan.mirror_axes) == (False, ())


def test_a_large_ct_is_coarsened_folded_and_normalised_by_its_units() -> None:
    plan = _plan((512, 512, 200), (0.8, 0.8, 2.5), is_ct=True)
    extent_mm = (512 * 0.8, 512 * 0.8, 200 * 2.5)
    voxels = math.prod(e / s for e, s in zip(extent_mm, plan.spacing_mm, strict=True))
    assert 2_000_000 < voxels < 5_000_000
    assert plan.spacing_mm[0] == plan.spacing_mm[1] > 0.8
    assert max(plan.stem) == 2
    ct, other = plan.normalisation
    assert (ct.method, ct.clip, ct.mean, ct.sd) == ("fixed", (-20, 180), 95, 30)
    assert other.method == "volume"


def test_thick_slices_are_neither_folded_nor_pooled_before_the_rest_is_as_coarse() -> None:
    plan = _plan((320, 320, 24), (0.6, 0.6, 5.0))
    assert plan.stem == (2, 2, 1)
    spacing = [s * f for s, f in zip(plan.spacing_mm, plan.stem, strict=True)]
    for stride in plan.strides:
        if stride[2] == 2:
            assert spacing[2] < 2 * min(spacing)
        spacing = [s * t for s, t in zip(spacing, stride, strict=True)]
    assert plan.strides[0] == (2, 2, 1)


def test_sides_want_positions_unless_a_patch_sees_everything() -> None:
    whole = _plan((40, 40, 30), (1, 1, 1), SIDED)
    assert not whole.use_position
    part = _plan((512, 512, 200), (0.8, 0.8, 2.5), SIDED, is_ct=True)
    assert part.use_position
    assert part.input_channels == 5
    assert not _plan((512, 512, 200), (0.8, 0.8, 2.5), is_ct=True).use_position


def test_the_fewer_examples_the_more_they_are_deformed() -> None:
    found = _fingerprint((100, 100, 100), (1, 1, 1))

    def strength(cases: int, annotated_vox: int) -> float:
        what = dataclasses.replace(found, cases=cases, annotated_vox=annotated_vox)
        return make_plan(what, ORGANS, ("MR", "other")).deformation

    assert [strength(n, 1000) for n in (1, 4, 8, 16, 32, 500)] == [1.5, 1.5, 1.33, 1.17, 1.0, 1.0]
    assert strength(3, 32 * 64**3) == 1.0  # few cases, but whole ones of many patches


def test_less_memory_means_a_smaller_batch_and_in_the_end_a_refusal() -> None:
    roomy = _plan((40, 40, 40), (1, 1, 1), limit=100 * GIB)
    per_patch = (roomy.memory_bytes - GIB) // roomy.batch_size
    tight = _plan((40, 40, 40), (1, 1, 1), limit=GIB + 2 * per_patch - 1)
    assert tight.batch_size == 1 < roomy.batch_size
    assert tight.memory_bytes <= GIB + 2 * per_patch - 1
    assert dataclasses.replace(tight, batch_size=4, memory_bytes=0, reasons={}) == (
        dataclasses.replace(roomy, batch_size=4, memory_bytes=0, reasons={})
    )
    with pytest.raises(LimitError, match=r"needs .* GiB, 1.0 GiB is allowed; raise the memory"):
        _plan((40, 40, 40), (1, 1, 1), limit=GIB)


CHOICES = {field.name for field in dataclasses.fields(Plan)} - {
    "labels", "channel_names", "memory_bytes", "reasons", "schema_version",
    "strides",  # goes with the widths
}  # fmt: skip


@settings(max_examples=60)
@given(
    st.tuples(*[st.integers(1, 700)] * 3),
    st.tuples(*[st.floats(0.3, 8)] * 3),
    st.sampled_from([ORGANS, SIDED]),
)
def test_any_data_set_gets_a_valid_plan_with_a_reason_for_every_choice(
    shape: Triple, spacing: Spacing, labels: LabelTable
) -> None:
    plan = _plan(shape, spacing, labels, is_ct=True, limit=200 * GIB)
    assert plan == _plan(shape, spacing, labels, is_ct=True, limit=200 * GIB)
    assert all(new >= old * 0.999 for new, old in zip(plan.spacing_mm, spacing, strict=True))
    assert set(plan.reasons) == CHOICES
    assert all(len(reason) > 10 for reason in plan.reasons.values())
    assert Plan.from_json(plan.to_json()) == plan
