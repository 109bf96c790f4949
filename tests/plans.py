"""Small plans, so that networks of a few thousand weights suffice."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt

from voxloop.plan.plan import Normalisation, Plan
from voxloop.plan.preprocess import Prepared
from voxloop.train.prepare import plan_for
from voxloop.volume.resample import resample_linear
from voxloop.volume.volume import LabelArray

__all__ = ["argmax_on_grid", "narrow_networks", "small_plan"]


def small_plan(**changes: Any) -> Plan:
    """A plan for one channel, two labels, and patches of 8 x 8 x 4 voxels, with changes."""
    plan = Plan(
        labels={"body": 1, "core": 4},
        channel_names=("MR",),
        spacing_mm=(1.0, 1.0, 2.0),
        normalisation=(Normalisation("volume"),),
        patch_shape=(8, 8, 4),
        batch_size=2,
        stem=(1, 1, 1),
        strides=((2, 2, 1),),
        widths=(4, 8),
        use_position=False,
        mirror_axes=(0,),
        memory_bytes=1 << 20,
        reasons={"spacing_mm": "a test"},
    )
    return dataclasses.replace(plan, **changes)


@contextlib.contextmanager
def narrow_networks(*modules: str, width: int = 4) -> Iterator[None]:
    """Within the block, plans made in these modules ask for few weights and small batches."""

    def narrow(*args: Any, **options: Any) -> Plan:
        plan = plan_for(*args, **options)
        widths = tuple(width * 2**level for level in range(len(plan.widths)))
        return dataclasses.replace(plan, widths=widths, batch_size=2)

    with contextlib.ExitStack() as stack:
        for module in modules:
            stack.enter_context(mock.patch(f"{module}.plan_for", narrow))
        yield


def argmax_on_grid(
    probabilities: Iterable[npt.NDArray[np.float32]], values: tuple[int, ...], prepared: Prepared
) -> LabelArray:
    """The plain way to a label map: all classes, background first, on the scan's own grid."""
    everything = np.stack(
        [resample_linear(p, prepared.grid, prepared.source) for p in probabilities]
    )
    return np.asarray(np.array([0, *values], dtype=np.uint8)[everything.argmax(axis=0)])
