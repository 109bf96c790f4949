"""The frame of the commands: every way to end has its code, its message and its document."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from voxloop import __version__
from voxloop.cli import main
from voxloop.errors import DataError, InterruptedJobError, LimitError, Problem, UsageError

TWO_PROBLEMS = DataError(
    [Problem("case a", "one grid", "two", "re-export"), Problem("case b", "labels", "none", "add")]
)


def _fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the program have one command, `fail`, which ends in `error`."""
    app = typer.Typer()

    @app.callback()
    def frame(*, debug: bool = False) -> None:
        del debug

    @app.command()
    def fail(*, json: bool = False) -> None:
        del json
        raise error

    monkeypatch.setattr(main, "app", app)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UsageError("no round yet"), 2, "error: no round yet"),
        (TWO_PROBLEMS, 3, "1. case a: expected one grid, found two; re-export"),
        (LimitError("too large"), 4, "error: too large"),
        (MemoryError(), 4, "memory ran out"),
        (OSError(errno.ENOSPC, "No space left on device", "mask.nii"), 4, "mask.nii: No space"),
        (InterruptedJobError("after step 3"), 5, "error: after step 3"),
        (KeyboardInterrupt(), 5, "run the same command again"),
        (ZeroDivisionError("oh"), 1, "a bug of ours: ZeroDivisionError: oh"),
        (FileNotFoundError("gone"), 1, "a bug of ours: FileNotFoundError: gone"),
    ],
)
def test_each_error_ends_in_its_code_and_says_why_on_standard_error(
    error: BaseException,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    _fail_with(error, monkeypatch)
    assert main.execute(["fail"]) == code
    out, err = capfd.readouterr()
    assert message in err
    assert "Traceback" not in err
    assert out == ""


def test_with_json_an_error_is_one_document_with_every_problem(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _fail_with(TWO_PROBLEMS, monkeypatch)
    assert main.execute(["fail", "--json"]) == 3
    error = json.loads(capfd.readouterr().out)["error"]
    assert (error["kind"], error["exit_code"]) == ("DataError", 3)
    assert [problem["where"] for problem in error["problems"]] == ["case a", "case b"]


def test_with_json_a_bug_is_a_document_too(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _fail_with(ZeroDivisionError("oh"), monkeypatch)
    assert main.execute(["fail", "--json"]) == 1
    assert json.loads(capfd.readouterr().out) == {
        "error": {"kind": "bug", "message": "ZeroDivisionError: oh", "exit_code": 1}
    }


def test_debug_shows_where_a_bug_arose(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _fail_with(ZeroDivisionError("oh"), monkeypatch)
    assert main.execute(["--debug", "fail"]) == 1
    assert "raise error\nZeroDivisionError: oh" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dokter"], "No such command 'dokter'. Did you mean 'doctor'? See `voxloop --help`."),
        (["doctor", "--jason"], "See `voxloop doctor --help`."),
    ],
)
def test_wrong_usage_ends_in_2_and_points_to_the_help(
    arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main.execute(arguments) == 2
    assert message in capfd.readouterr().err.replace("\n", " ")


def test_nothing_asked_for_shows_the_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert main.execute([]) == 0
    assert "Usage: voxloop" in capfd.readouterr().out


def test_the_version_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    assert main.execute(["--version"]) == 0
    assert capfd.readouterr().out == f"voxloop {__version__}\n"


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m voxloop doctor --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_request_to_end_is_an_interruption(tmp_path: Path) -> None:
    code = f"""
import os, signal, time, typer
from voxloop.cli import main
app = typer.Typer()
app.callback()(lambda: None)
@app.command()
def wait():
    os.kill(os.getpid(), {signal.SIGTERM.value})
    time.sleep(10)
main.app = app
main.sys.argv = ["voxloop", "wait"]
main.run()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 5
    assert "run the same command again" in done.stderr
