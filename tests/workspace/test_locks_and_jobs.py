from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from disks import largest_file
from voxloop.errors import UsageError
from voxloop.workspace.jobs import JobState, jobs_of, running_job
from voxloop.workspace.layout import Layout
from voxloop.workspace.lock import exclusive

HOLD = """
import sys, time
from pathlib import Path
from voxloop.workspace.jobs import running_job
from voxloop.workspace.layout import Layout
with running_job(Layout(Path(sys.argv[1])), "train"):
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_second_job_is_told_who_holds_the_workspace_until_that_one_is_killed(
    tmp_path: Path,
) -> None:
    layout = Layout(tmp_path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert [job.state for job in jobs_of(layout)] == [JobState.RUNNING]
        expected = rf"segment cannot start: process {other.pid} \(train\)"
        with pytest.raises(UsageError, match=expected), running_job(layout, "segment"):
            pass
        other.send_signal(signal.SIGKILL)
    assert [job.state for job in jobs_of(layout)] == [JobState.INTERRUPTED]
    with running_job(layout, "segment"):
        pass
    assert [job.state for job in jobs_of(layout)] == [JobState.INTERRUPTED, JobState.DONE]


def test_a_job_that_fails_says_why_and_frees_the_workspace(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with pytest.raises(ZeroDivisionError, match="by zero"), running_job(layout, "train"):
        _ = 1 / 0
    with pytest.raises(KeyboardInterrupt, match="Ctrl-C"), running_job(layout, "train"):
        raise KeyboardInterrupt("Ctrl-C")
    failed, interrupted = jobs_of(layout)
    assert (failed.state, failed.message[:17]) == (JobState.FAILED, "ZeroDivisionError")
    assert interrupted.state is JobState.INTERRUPTED


def test_what_a_killed_process_left_half_written_goes_with_the_next_job(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    member, prepared = layout.member_folder(3, 0), layout.cache / "prepared"
    old = [
        folder / ".0badc0de.tmp.something.json"
        for folder in (layout.root, layout.jobs, member, prepared)
    ]
    young, not_ours = prepared / ".0badc0df.tmp.a.npy", prepared / ".hidden.npy"
    for path in (*old, young, not_ours):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    for path in (*old, not_ours):
        os.utime(path, (1e9, 1e9))
    with running_job(layout, "train"):
        assert [path for path in (*old, young, not_ours) if path.exists()] == [young, not_ours]


def test_a_job_that_fails_on_a_full_disk_keeps_its_reason(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with (
        pytest.raises(ZeroDivisionError, match="by zero"),
        largest_file(1 << 20),
        running_job(layout, "train"),
    ):
        _fail_on_a_full_disk()
    assert [job.state for job in jobs_of(layout)] == [JobState.INTERRUPTED]


def _fail_on_a_full_disk() -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    _ = 1 / 0


def test_of_many_threads_each_gets_the_lock_in_turn(tmp_path: Path) -> None:
    path, longest, over = tmp_path / "lock", dict.fromkeys(range(8), 0.0), threading.Event()

    def work(number: int) -> None:
        while not over.is_set():
            began = time.monotonic()
            with exclusive(path, f"thread {number}", wait_s=30):
                longest[number] = max(longest[number], time.monotonic() - began)
                time.sleep(0.005)

    threads = [threading.Thread(target=work, args=(number,)) for number in longest]
    for thread in threads:
        thread.start()
    time.sleep(1.5)
    over.set()
    for thread in threads:
        thread.join(10)
    assert min(longest.values()) > 0, "somebody never came to it"
    assert max(longest.values()) < 1.2, longest


def test_a_lock_excludes_other_threads_and_leaves_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with (
        exclusive(path, "one"),
        pytest.raises(UsageError, match=rf"process {os.getpid()} \(one\)"),
        exclusive(path, "two", wait_s=0.05),
    ):
        pass
    assert path.read_bytes() == b""
