"""The only place that prints: results and errors for people or programs, and progress."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import cached_property
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voxloop.cli.result import Result, Table
from voxloop.compute.progress import Progress, ProgressSink
from voxloop.errors import DataError, VoxloopError

if TYPE_CHECKING:  # a tenth of a second to import, and programs never see it
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.table import Table as RichTable

__all__ = ["Screen"]

_LINE_EVERY_S = 30.0
"""Where no bar can be drawn, the lines of one stage are at least this far apart."""


_LOG_WIDTH = 140
"""Columns for tables where there is no terminal to ask."""


class Screen:
    """Shows what a command does and did.

    Args:
        json: if true, standard output receives exactly one JSON document, and whatever is meant
            for people goes to standard error.
    """

    def __init__(self, *, json: bool = False) -> None:
        self._json = json

    def show(self, result: Result) -> int:
        """Show the outcome of a command and give its exit code."""
        if self._json:
            self._write_document(
                {
                    "summary": result.summary,
                    **result.document,
                    "wrote": [str(path) for path in result.wrote],
                    "warnings": list(result.warnings),
                    "next": result.next_step,
                }
            )
            return result.exit_code
        for table in result.tables:
            self._out.print(_rich_table(table))
        self._line(result.summary)
        for path in result.wrote:
            self._line(f"wrote {path}")
        for warning in result.warnings:
            self._err.print(f"warning: {warning}", style="yellow", markup=False, highlight=False)
        if result.next_step:
            self._line(f"next: {result.next_step}")
        return result.exit_code

    def fail(self, error: VoxloopError) -> None:
        """Show an error that Voxloop, or the way it was called, means to have."""
        self._err.print(f"error: {error}", style="red", markup=False, highlight=False)
        if self._json:
            self._write_document({"error": _error_document(error)})

    def confess(self, error: BaseException, *, traceback: bool) -> None:
        """Show an error that nobody meant to happen."""
        if traceback:
            import traceback as tracebacks

            sys.stderr.write("".join(tracebacks.format_exception(error)))
        hint = "" if traceback else "; `voxloop --debug ...` shows where it arose"
        self._err.print(
            f"error: a bug of ours: {type(error).__name__}: {error}{hint}. "
            "Please report it with the output of `voxloop doctor --json`.",
            style="red", markup=False, highlight=False,
        )  # fmt: skip
        if self._json:
            document = {"kind": "bug", "message": f"{type(error).__name__}: {error}"}
            self._write_document({"error": {**document, "exit_code": 1}})

    def say(self, text: str) -> None:
        """Show a line of plain text, such as the version."""
        self._line(text)

    @contextlib.contextmanager
    def progress(self) -> Iterator[ProgressSink]:
        """Give a sink for reports: bars with the time left, or a line now and then.

        Bars need a terminal on standard error; elsewhere (a log, a pipe) there is one line when a
        stage begins, one when it ends first, and one at most every half minute beside these.
        """
        if not self._err.is_terminal:
            yield _Lines(self._err)
            return
        with _bars(self._err) as bars:
            yield _bar_sink(bars)

    def _line(self, text: str) -> None:
        self._out.print(text, markup=False, highlight=False, soft_wrap=True)

    def _write_document(self, document: Any) -> None:
        text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False, default=_plain)
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    @cached_property
    def _out(self) -> Console:
        from rich.console import Console

        return Console(width=None if sys.stdout.isatty() else _LOG_WIDTH)

    @cached_property
    def _err(self) -> Console:
        from rich.console import Console

        return Console(stderr=True, soft_wrap=True)


class _Lines:
    """Reports as lines of a log."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown_s: dict[str, float] = {}
        self._finished: set[str] = set()

    def __call__(self, progress: Progress) -> None:
        now_s = time.monotonic()
        ends = progress.done >= progress.total and progress.stage not in self._finished
        if not ends and now_s < self._shown_s.get(progress.stage, -inf) + _LINE_EVERY_S:
            return
        self._shown_s[progress.stage] = now_s
        if ends:
            self._finished.add(progress.stage)
        share = progress.done / progress.total if progress.total else 1.0
        text = f"{progress.stage}: {share:.0%} {progress.note}".rstrip()
        self._console.print(text, markup=False, highlight=False)


def _bars(console: Console) -> Bars:
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
        transient=True,
    )


def _bar_sink(bars: Bars) -> ProgressSink:
    tasks: dict[str, Any] = {}

    def sink(progress: Progress) -> None:
        if progress.stage not in tasks:
            tasks[progress.stage] = bars.add_task(progress.stage, note="")
        task = tasks[progress.stage]
        bars.update(task, completed=progress.done, total=progress.total, note=progress.note)

    return sink


def _rich_table(table: Table) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(title=table.title, title_justify="left", box=box.SIMPLE_HEAD)
    for index, heading in enumerate(table.columns):
        numeric = all(not isinstance(row[index], str) for row in table.rows)
        shown.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(*(Text(_cell(value)) for value in row))
    return shown


def _cell(value: str | float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _error_document(error: VoxloopError) -> dict[str, Any]:
    document: dict[str, Any] = {
        "kind": type(error).__name__,
        "message": str(error),
        "exit_code": error.exit_code,
    }
    if isinstance(error, DataError):
        document["problems"] = [asdict(problem) for problem in error.problems]
    return document


def _plain(value: object) -> Any:
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):  # a numpy scalar
        return value.item()
    message = f"{type(value).__name__} is no JSON value"
    raise TypeError(message)
