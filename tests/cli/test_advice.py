"""`forecast` and `referee` from the command line: early on they say so instead of guessing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from study import make_study, voxloop
from voxloop.compute.atomic import write_json
from voxloop.workspace.learning import annotation_hashes
from voxloop.workspace.rounds import RoundStage, advance_round, begin_round
from voxloop.workspace.workspace import Workspace


def _validated_rounds(folder: Path, *dice: float) -> None:
    """Rounds of which each has learned from one more delivery."""
    workspace = Workspace.open(folder)
    known = annotation_hashes(workspace)
    for count, value in enumerate(dice, start=1):
        record = begin_round(workspace.layout, seed=0, strategy="", annotations=known[:count])
        for stage in (RoundStage.TRAINING, RoundStage.SCORED, RoundStage.COMPLETE):
            advance_round(workspace.layout, record.number, stage)
        scores = [{"case_id": case_id, "dice": value} for case_id in ("one", "two")]
        document = {"round": record.number, "annotations": list(known[:count]), "scores": scores}
        write_json(workspace.layout.validation_file(record.number), document)


def test_both_speak_up_early_and_in_json(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path)
    capfd.readouterr()
    here = ("-w", study.workspace)
    for command, told in (
        ("forecast", "n = 0 validated rounds is too small to claim a forecast"),
        ("referee", "too early to say"),
    ):
        assert voxloop(command, *here, "--json") == 0
        assert told in json.loads(capfd.readouterr().out)["summary"]
        assert voxloop(command, *here) == 0
        assert told in capfd.readouterr().out


def test_the_forecast_is_a_sentence_and_a_table(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    study = make_study(tmp_path)
    here = ("-w", study.workspace)
    assert voxloop("add", study.scan("three"), "--copy", *here) == 0
    (study.delivery / "three.nii.gz").unlink()
    for name in ("two", "three"):
        study.label_map(name)
    words = ("--looked-at", "all", "--seconds", "1080")
    assert voxloop("collect", study.delivery, *words, *here) == 0
    _validated_rounds(study.workspace, 0.6, 0.7, 0.74)
    capfd.readouterr()

    assert voxloop("forecast", "--slices", "9", *here, "--json") == 0
    found = json.loads(capfd.readouterr().out)
    assert found["sentence"].startswith("9 more slices, about 9 minutes: +0.0")
    assert 0.72 < found["forecast"]["value"] < 0.85
    assert [one["budget"] for one in found["rounds"]] == [9, 18, 27]

    assert voxloop("forecast", "--minutes", "9", *here) == 0
    shown = capfd.readouterr().out
    assert "Going on is suggested: 9 more slices, about 9 minutes bring less than 0.005" in shown
    assert "slices labelled" in shown

    assert voxloop("forecast", "--slices", "4", "--minutes", "3", *here) == 2
    assert "not for both" in capfd.readouterr().err
    assert voxloop("forecast", "--gain", "2", *here) == 2
    assert "a gain between 0 and 1" in capfd.readouterr().err
