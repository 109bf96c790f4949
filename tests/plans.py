"""Small plans, so that networks of a few thousand weights suffice."""

from __future__ import annotations

import dataclasses
from typing import Any

from voxloop.plan.plan import Normalisation, Plan

__all__ = ["small_plan"]


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
