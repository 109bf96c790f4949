"""How much time is given for accuracy: one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from voxloop.predict.options import QualityWord

__all__ = ["EFFORTS", "Effort"]


@dataclass(frozen=True)
class Effort:
    """What a quality stands for.

    Attributes:
        overlap: least shared part of neighbouring tiles.
        mirror: whether each tile is also looked at in the mirror, where the plan allows it.
        exact: whether the network runs in single precision, unless its engine was named.
        refine: whether a scan finer than the network's grid is heard for its detail.
    """

    overlap: float
    mirror: bool = False
    exact: bool = False
    refine: bool = True


EFFORTS: Mapping[QualityWord, Effort] = MappingProxyType(
    {
        "fast": Effort(overlap=0.25, refine=False),
        "default": Effort(overlap=0.5),
        "best": Effort(overlap=0.625, mirror=True, exact=True),
    }
)
"""On four fetal brains after a short training, against half a tile's overlap: a quarter cost 0.003
of Dice and took less than half the time, five eighths gained 0.003 and took 1.7 times as long.
Single precision took three times as long as bfloat16, changed one label in ten thousand and no
score."""
