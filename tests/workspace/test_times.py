"""What deliveries took, as the cost model learns from it."""

from __future__ import annotations

import numpy as np
import pytest

from phantoms import ellipsoid_mask
from study import GEOMETRY, LABELS, Study, voxloop
from voxloop.active.cost.model import CostModel
from voxloop.io.formats import write_label_map
from voxloop.volume.labels import IGNORE
from voxloop.volume.volume import LabelMap
from voxloop.workspace.times import logged_times
from voxloop.workspace.workspace import Workspace

Place = tuple[int | slice, ...]


def deliver(study: Study, seconds: float, **slices: tuple[int | Place, ...]) -> None:
    """Label slices of some cases, along the last axis or wherever, and collect them in one go."""
    reference = ellipsoid_mask(GEOMETRY).astype(np.uint8)
    folder = study.delivery / f"{seconds:g}"
    folder.mkdir()
    for case_id, indices in slices.items():
        labels = np.full(GEOMETRY.shape, IGNORE, dtype=np.uint8)
        for index in indices:
            place = np.s_[:, :, index] if isinstance(index, int) else index
            labels[place] = reference[place]
        write_label_map(folder / f"{case_id}.nii.gz", LabelMap(labels, GEOMETRY, LABELS))
    where = ("-w", study.workspace)
    assert (
        voxloop("collect", folder, "--looked-at", "marked", "--seconds", str(seconds), *where) == 0
    )


def test_the_time_of_a_delivery_belongs_to_all_of_its_cases_together(study: Study) -> None:
    deliver(study, 90, two=(1, 4, 5))
    for name in ("three", "four"):
        where = ("-w", study.workspace)
        assert voxloop("add", study.scan(name), "--copy", *where) == 0
    deliver(study, 120, three=(2, 6), four=(4,))
    workspace = Workspace.open(study.workspace)
    times = logged_times(workspace)
    pixels = GEOMETRY.shape[0] * GEOMETRY.shape[1]
    assert [time.seconds for time in times] == pytest.approx([90, 120])
    assert [time.voxel_count for time in times] == [3 * pixels, 3 * pixels]
    assert [time.regions for time in times] == [2, 3]  # slices 4 and 5 are one place
    efforts = [time.effort for time in times]
    assert [effort.slices for effort in efforts if effort] == [3, 3]
    assert min(effort.contour_mm for effort in efforts if effort) > 0
    model = CostModel.from_times(times)
    assert (model.unit, model.calibrated) == ("seconds", 2)


def test_slices_along_several_axes_are_as_many_as_were_drawn(study: Study) -> None:
    deliver(study, 90, two=(np.s_[8, :, :], np.s_[:, 9, :], 5))
    (time,) = logged_times(Workspace.open(study.workspace))
    assert time.effort is not None
    assert (time.effort.slices, time.regions) == (3, 3)


def test_only_what_is_new_was_paid_for(study: Study) -> None:
    deliver(study, 40, two=(3,))
    deliver(study, 50, two=(3, 7))
    first, second = logged_times(Workspace.open(study.workspace))
    assert (first.seconds, second.seconds) == (40, 50)
    assert first.voxel_count == second.voxel_count
    assert second.effort is not None
    assert second.effort.slices == 1


def test_what_has_no_time_is_not_counted(study: Study) -> None:
    assert logged_times(Workspace.open(study.workspace)) == []
