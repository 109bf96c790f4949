"""Where independent pieces of work run: in this process, or in several beside it."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol, TypeVar

from voxloop.compute.progress import Progress, ProgressSink
from voxloop.errors import InterruptedJobError, UsageError

__all__ = ["Executor", "InProcess", "Processes", "ignore"]

T = TypeVar("T")
R = TypeVar("R")

_REPORT_EVERY_S = 0.25
_PATIENCE_S = 5.0
"""How long a worker that was asked to end may take."""


def ignore(_item: object, _progress: Progress) -> None:
    """Let the reports of every item go by."""


class Executor(Protocol):
    """Does a task for each item; who calls it need not know where.

    Items and results are data (they may travel to another process), tasks are functions of a
    module, and what an item's work leaves behind are files. So whatever ends a task half-way,
    doing it again is the remedy.
    """

    def map(
        self,
        task: Callable[[T, ProgressSink], R],
        items: Sequence[T],
        report: Callable[[T, Progress], None] = ignore,
    ) -> tuple[R, ...]:
        """Do the task for every item, and give the results in the items' order.

        Args:
            task: called with an item and a sink for its reports.
            items: pieces of work that do not depend on one another; `str` names them.
            report: told what the work of each item says.

        Raises:
            InterruptedJobError: if a worker died; names its items. All others are done then.
            Exception: whatever the task raises; work that goes on elsewhere is ended.
        """


@dataclass(frozen=True)
class InProcess:
    """One item after the other, here."""

    def map(
        self,
        task: Callable[[T, ProgressSink], R],
        items: Sequence[T],
        report: Callable[[T, Progress], None] = ignore,
    ) -> tuple[R, ...]:
        """Do the task for every item, as `Executor.map`."""
        return tuple(task(item, functools.partial(report, item)) for item in items)


@dataclass(frozen=True)
class Processes:
    """A fresh process for each item, so many at once; none outlives this one.

    Fresh ones, because an item is minutes of work and starting costs seconds, and because the
    memory of a dead process is surely given back. Where the work is started from a script of
    one's own, that script must be importable (`if __name__ == "__main__":`).

    Attributes:
        workers: processes at once, 1 or more.
        prepare: called first in each of them, e.g. to set the number of threads.

    Raises:
        UsageError: if there is no worker.
    """

    workers: int
    prepare: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UsageError(f"at least one worker is needed, found {self.workers}")

    def map(
        self,
        task: Callable[[T, ProgressSink], R],
        items: Sequence[T],
        report: Callable[[T, Progress], None] = ignore,
    ) -> tuple[R, ...]:
        """Do the task for every item, as `Executor.map`."""
        waiting = deque(enumerate(items))
        running: dict[Connection, tuple[int, BaseProcess]] = {}
        results: dict[int, R] = {}
        died: list[str] = []
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    index, item = waiting.popleft()
                    with _interrupts_held_back():
                        pipe, process = _start(task, item, self.prepare)
                        running[pipe] = index, process
                ready = wait(list(running))
                for pipe in [pipe for pipe in running if pipe in ready]:
                    index, process = running[pipe]
                    try:
                        kind, content = pipe.recv()
                    except (EOFError, OSError):
                        process.join()
                        died.append(f"{items[index]} ({_ending(process.exitcode)})")
                        kind, content = "died", None
                    if kind == "progress":
                        report(items[index], content)
                        continue
                    del running[pipe]
                    pipe.close()
                    process.join()
                    if kind == "failed":
                        raise _unpacked(content)
                    if kind == "done":
                        results[index] = content
        finally:
            _end([process for _, process in running.values()])
        if died:
            raise InterruptedJobError(
                f"a worker died over {' and over '.join(died)}; what it had finished is kept: run "
                "the same command again, with fewer workers if memory was short"
            )
        return tuple(results[index] for index in range(len(items)))


def _start(
    task: Callable[[T, ProgressSink], R], item: T, prepare: Callable[[], None] | None
) -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("spawn")  # threads and locks do not survive a fork
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, task, item, prepare), daemon=True)
    process.start()
    theirs.close()  # so that the pipe ends when the worker does
    return ours, process


def _work(
    pipe: Connection,
    task: Callable[[Any, ProgressSink], Any],
    item: Any,
    prepare: Callable[[], None] | None,
) -> None:
    """Be a worker: do one item, tell about it, and end with the parent if that is killed."""
    _end_with_parent()
    try:
        if prepare is not None:
            prepare()
        message = ("done", task(item, _Reports(pipe)))
    except Exception as error:  # noqa: BLE001 - raised again where the work was asked for
        message = ("failed", _packed(error))
    pipe.send(message)


class _Reports:
    """Sends reports through a pipe, not more than a person can read."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._sent_s: dict[str, float] = {}

    def __call__(self, progress: Progress) -> None:
        now_s = time.monotonic()
        recent = now_s < self._sent_s.get(progress.stage, -1.0) + _REPORT_EVERY_S
        if recent and progress.done < progress.total:
            return
        self._sent_s[progress.stage] = now_s
        self._pipe.send(("progress", progress))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Start workers within: Ctrl-C, which a terminal sends to all, then reaches the parent only.

    It waits until the end of the block, and the workers, which inherit this, never get it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _PATIENCE_S
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"ended by signal {-code}, {signal.Signals(-code).name}"
    return f"exit code {code}"


def _packed(error: Exception) -> tuple[type[Exception], tuple[Any, ...], dict[str, Any]]:
    """An exception as data; pickle itself would call its constructor with its message."""
    where = "".join(traceback.format_exception(error))
    error.add_note(f"raised in a worker:\n{where}")
    packed = (type(error), error.args, dict(error.__dict__))
    try:
        pickle.dumps(packed)
    except Exception:  # noqa: BLE001 - it has parts that cannot travel
        return RuntimeError, (where,), {}
    return packed


def _unpacked(packed: tuple[type[Exception], tuple[Any, ...], dict[str, Any]]) -> Exception:
    kind, arguments, attributes = packed
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(attributes)
    return error
