"""From what is known per voxel and label to one label map, for formats that know no more."""

from __future__ import annotations

import numpy as np

from voxloop.dataset.annotation import Target
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import IGNORE
from voxloop.volume.volume import LabelMap

__all__ = ["dense_label_map"]


def dense_label_map(target: Target, geometry: Geometry) -> LabelMap:
    """Keep what is known for all labels; every voxel where some were not asked for is ignored.

    There a 0 would wrongly say "none of all labels"; and to keep only the labels found there
    would teach a network that they are everywhere.

    Args:
        target: the sum of a case's annotations.
        geometry: the case's grid.
    """
    everything = frozenset(target.labels.values)
    complete = np.array([asked >= everything for asked in target.asked_sets])
    array = np.where(complete[target.asked], target.values, np.uint8(IGNORE))
    return LabelMap(array, geometry, target.labels)
