"""Results for people and for programs, and progress where there is no terminal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from voxloop.cli.render import Screen
from voxloop.cli.result import Result, Table
from voxloop.compute.progress import Progress

RESULT = Result(
    summary="scored 2 cases",
    document={"dice": np.float32(0.5), "n": np.int64(2), "reference": Path("truth")},
    tables=(Table("scores", ("case", "Dice"), (("[a]", 0.12345), ("b", None))),),
    wrote=(Path("scores.json"),),
    warnings=("n is small",),
    next_step="voxloop mesh",
    exit_code=4,
)


def test_a_person_reads_tables_then_what_was_done_written_and_is_next(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert Screen().show(RESULT) == 4
    out, err = capfd.readouterr()
    assert err == "warning: n is small\n"
    assert "[a]" in out
    assert "0.123" in out
    assert out.endswith("scored 2 cases\nwrote scores.json\nnext: voxloop mesh\n")


def test_a_program_reads_exactly_one_document(capfd: pytest.CaptureFixture[str]) -> None:
    screen = Screen(json=True)
    with screen.progress() as progress:
        progress(Progress("scoring", 2, 2))
    assert screen.show(RESULT) == 4
    out, err = capfd.readouterr()
    assert json.loads(out) == {
        "summary": "scored 2 cases",
        "dice": 0.5,
        "n": 2,
        "reference": "truth",
        "wrote": ["scores.json"],
        "warnings": ["n is small"],
        "next": "voxloop mesh",
    }
    assert err == "scoring: 100%\n"


def test_not_a_number_never_reaches_a_program() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Screen(json=True).show(Result("scored", {"dice": float("nan")}))


def test_a_log_gets_few_lines(capfd: pytest.CaptureFixture[str]) -> None:
    with Screen().progress() as progress:
        for step in range(1001):
            progress(Progress("training", step, 1000, "loss 0.3"))
        for case in range(5):
            progress(Progress("cases", case, 5))
            progress(Progress("segmenting", 1, 1))
        progress(Progress("cases", 5, 5))
    assert capfd.readouterr().err.splitlines() == [
        "training: 0% loss 0.3",
        "training: 100% loss 0.3",
        "cases: 0%",
        "segmenting: 100%",
        "cases: 100%",
    ]


def test_a_table_with_a_ragged_row_is_refused() -> None:
    with pytest.raises(ValueError, match="every row of 'scores' needs 2 cells"):
        Table("scores", ("case", "Dice"), (("a",),))
