"""Work in several processes: results in order, errors as they are, deaths named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from voxloop.compute.executor import Executor, InProcess, Processes
from voxloop.compute.progress import Progress, ProgressSink
from voxloop.errors import DataError, InterruptedJobError, Problem, UsageError

HERE = Path(__file__).parents[1]


def square(item: int, progress: ProgressSink) -> int:
    progress(Progress("squaring", 1, 1, str(item)))
    return item * item


def refuse(item: int, _progress: ProgressSink) -> int:
    raise DataError([Problem(f"item {item}", "an even number", "an odd one", "double it")] * 2)


def die_once(place: Path, progress: ProgressSink) -> str:
    """Be killed where `place` is new; succeed where one was killed before."""
    if not place.exists():
        place.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    progress(Progress("living", 1, 1))
    return place.name


def wait_for_ever(place: Path, _progress: ProgressSink) -> None:
    place.write_text(str(os.getpid()))
    time.sleep(600)


@pytest.mark.parametrize("executor", [InProcess(), Processes(2)])
def test_results_come_in_order_and_reports_come_through(executor: Executor) -> None:
    heard: list[tuple[int, str]] = []
    results = executor.map(square, [3, 1, 2], lambda item, said: heard.append((item, said.note)))
    assert results == (9, 1, 4)
    assert sorted(heard) == [(1, "1"), (2, "2"), (3, "3")]


@pytest.mark.parametrize("executor", [InProcess(), Processes(1)])
def test_an_error_arrives_as_it_was_raised(executor: Executor) -> None:
    with pytest.raises(DataError, match="2 problems found") as caught:
        executor.map(refuse, [7])
    assert caught.value.problems[0].where == "item 7"


def test_a_worker_that_dies_is_named_and_its_item_can_be_run_again(tmp_path: Path) -> None:
    places = [tmp_path / "a", tmp_path / "b"]
    places[1].touch()
    with pytest.raises(InterruptedJobError, match=r"/a \(ended by signal 9, SIGKILL\); what it"):
        Processes(2).map(die_once, places)
    assert Processes(2).map(die_once, places) == ("a", "b")


def test_no_worker_at_all_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one worker"):
        Processes(0)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_the_parent(ending: signal.Signals, tmp_path: Path) -> None:
    code = (  # a shell's background job ignores Ctrl-C, and so would whatever it starts
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from pathlib import Path; from test_executor import *;"
        f"Processes(1).map(wait_for_ever, [Path({str(tmp_path / 'pid')!r})])"
    )
    path = os.pathsep.join([str(Path(__file__).parent), str(HERE)])
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.DEVNULL,
    )
    _until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    worker = int((tmp_path / "pid").read_text())
    parent.send_signal(ending)
    parent.wait(30)
    _until(lambda: not _lives(worker))


def _lives(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # whoever inherits an orphan may be slow to bury it


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)
