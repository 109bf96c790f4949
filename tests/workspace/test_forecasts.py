"""The forecast of a workspace: which rounds count, what their labels cost, and what is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voxloop.compute.atomic import write_json
from voxloop.errors import DataError, UsageError
from voxloop.workspace.actions.collect import CollectOptions, collect
from voxloop.workspace.actions.forecast import forecast
from voxloop.workspace.delivery import LookedAt
from voxloop.workspace.learning import annotation_hashes
from voxloop.workspace.rounds import RoundStage, advance_round, begin_round
from voxloop.workspace.workspace import Workspace
from workspace_samples import GEOMETRY, deliver, make_workspace, organ

CASES = ("a", "b", "c", "d", "e", "f")
SLICES = GEOMETRY.shape[2]


def _round(workspace: Workspace, dice: float | None, *, number_of_labels: int = 2) -> int:
    """A round that learned from all there is, with this mean Dice if it was validated."""
    hashes = annotation_hashes(workspace)
    record = begin_round(workspace.layout, seed=0, strategy="", annotations=hashes)
    for stage in (RoundStage.TRAINING, RoundStage.SCORED, RoundStage.COMPLETE):
        advance_round(workspace.layout, record.number, stage)
    write_json(workspace.layout.metrics_file(record.number), {"config": {}})
    if dice is not None:
        scores = [
            {"case_id": case_id, "dice": None if value == 3 else dice + 0.01 * (place % 2)}
            for place, case_id in enumerate(CASES)
            for value in range(1, number_of_labels + 2)
        ]
        document = {"round": record.number, "annotations": list(hashes), "scores": scores}
        write_json(workspace.layout.validation_file(record.number), document)
    return record.number


def _grown(folder: Path, *dice: float | None, seconds: float | None = None) -> Workspace:
    """A workspace that labelled one more case before every round."""
    workspace = make_workspace(folder, *CASES)
    for case_id, reached in zip(CASES, dice, strict=False):
        delivery = deliver(folder / f"labels_{case_id}", case_id, organ())
        collect(workspace, delivery, CollectOptions(LookedAt.ALL, seconds=seconds))
        _round(workspace, reached)
    return workspace


def test_three_validated_rounds_make_a_forecast_in_slices_and_minutes(tmp_path: Path) -> None:
    workspace = _grown(tmp_path, 0.60, 0.70, 0.74, 0.76, seconds=210.0)
    done = forecast(workspace, slices=SLICES)
    assert [point.measured.budget for point in done.points] == pytest.approx(
        [SLICES * n for n in (1, 2, 3, 4)]
    )
    assert [p.measured.score for p in done.points] == pytest.approx([0.605, 0.705, 0.745, 0.765])
    assert done.minutes == pytest.approx(3.5)
    assert done.forecast is not None
    assert done.forecast.budget == pytest.approx(5 * SLICES)
    assert 0.76 < done.forecast.value < 0.82
    assert done.sentence.startswith("7 more slices, about 4 minutes: +0.0")
    assert forecast(workspace, minutes=3.5).to_json()["forecast"] == pytest.approx(
        done.to_json()["forecast"]
    )
    assert forecast(workspace).slices == pytest.approx(SLICES), "as much as the last round brought"


def test_fewer_rounds_claim_nothing_and_unvalidated_ones_are_named(tmp_path: Path) -> None:
    workspace = _grown(tmp_path, 0.6, None, 0.7)
    done = forecast(workspace)
    assert done.forecast is None
    assert done.unvalidated == (1,)
    assert done.sentence == "n = 2 validated rounds is too small to claim a forecast"
    assert not done.advice.stop
    assert "voxloop validate" in done.next_step


def test_a_round_without_new_labels_replaces_the_one_before(tmp_path: Path) -> None:
    workspace = _grown(tmp_path, 0.5, 0.6, 0.65)
    again = _round(workspace, 0.7)
    done = forecast(workspace)
    assert [point.number for point in done.points] == [0, 1, again]
    assert done.points[-1].measured.score == pytest.approx(0.705)


def test_a_plateau_suggests_to_stop_and_never_forbids_to_go_on(tmp_path: Path) -> None:
    workspace = _grown(tmp_path, *[0.8] * 6)
    done = forecast(workspace, slices=1)
    assert done.advice.stop
    assert "voxloop segment" in done.next_step
    assert np.isfinite(done.to_json()["advice"]["probability"])


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    workspace = _grown(tmp_path, 0.5, 0.6, 0.65)
    with pytest.raises(UsageError, match="not for both"):
        forecast(workspace, slices=1, minutes=1)
    with pytest.raises(UsageError, match="are above 0"):
        forecast(workspace, slices=-1)
    with pytest.raises(UsageError, match="log it with `voxloop collect --seconds`"):
        forecast(workspace, minutes=10)
    write_json(workspace.layout.validation_file(2), {"round": 2})
    with pytest.raises(DataError, match=r"validation\.json"):
        forecast(workspace)
