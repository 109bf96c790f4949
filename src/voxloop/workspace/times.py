"""What people's deliveries to a workspace took, with the effort that was in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from voxloop.active.cost.effort import Effort, effort_of
from voxloop.active.cost.model import LoggedTime
from voxloop.active.cost.walks import walks
from voxloop.volume.boxes import bounding_box
from voxloop.volume.labels import IGNORE
from voxloop.workspace.annotations import load
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.workspace import Workspace

__all__ = ["logged_times"]

_Key = tuple[str, int | None, str]


def logged_times(workspace: Workspace) -> list[LoggedTime]:
    """The times that were logged, oldest first: one for each delivery, of what was new in it.

    A delivery of several cases has one time, which `collect` shares out by voxels; what each
    case took is unknown. So shares of one rate are added up again: the whole delivery is what
    was measured.

    Raises:
        DataError: if an annotation was changed since it was stored.
    """
    shares = [share for record in workspace.cases() for share in _of_case(workspace, record)]
    deliveries: dict[_Key, LoggedTime] = {}
    for _, key, time in sorted(shares, key=lambda share: share[0]):
        known = deliveries.get(key)
        deliveries[key] = time if known is None else _together(known, time)
    return list(deliveries.values())


def _of_case(workspace: Workspace, record: CaseRecord) -> Iterator[tuple[str, _Key, LoggedTime]]:
    """When, in which delivery and how long the case was worked on."""
    revisions = workspace.annotations_of(record.id)
    last = max((n for n, r in enumerate(revisions, start=1) if r.origin.seconds), default=0)
    seen = np.zeros(record.geometry.shape, dtype=bool)
    for revision in revisions[:last]:
        annotation = load(workspace.layout, revision, workspace.labels)
        looked, origin = annotation.looked_at, revision.origin
        fresh = looked & ~seen
        seen |= looked
        if not origin.seconds or not fresh.any():
            continue
        labels = np.where(fresh, annotation.label_map.array, np.uint8(IGNORE))
        effort = effort_of(labels, record.geometry.spacing_mm, record.slice_axis)
        key = origin.author, origin.round, f"{origin.seconds / looked.sum():.9g}"
        time = LoggedTime(
            int(fresh.sum()), origin.seconds, effort, _regions(fresh, record.slice_axis)
        )
        yield revision.created, key, time


def _regions(fresh: npt.NDArray[np.bool_], axis: int) -> int:
    """How many places had to be found."""
    box = bounding_box(fresh)
    return 0 if box is None else sum(walk.runs for walk in walks(fresh[box.slices], axis))


def _together(one: LoggedTime, other: LoggedTime) -> LoggedTime:
    return replace(
        one,
        voxel_count=one.voxel_count + other.voxel_count,
        seconds=one.seconds + other.seconds,
        effort=(one.effort or Effort()) + (other.effort or Effort()),
        regions=one.regions + other.regions,
    )
