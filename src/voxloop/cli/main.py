"""The command `voxloop`: its frame, and what becomes of an error that a command ends in."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from voxloop.cli import (
    advice,
    doctor,
    files,
    learning,
    meshing,
    packing,
    research,
    reviewing,
    segmenting,
    serving,
    workspace,
)
from voxloop.cli.render import Screen
from voxloop.errors import (
    InterruptedJobError,
    LimitError,
    StorageError,
    UsageError,
    VoxloopError,
)

__all__ = ["app", "execute", "run"]

app = typer.Typer(
    name="voxloop",
    help="From a few labelled slices of CT or MR scans to label maps, honest scores and "
    "printable meshes.",
    epilog="Exit codes: 0 done, 1 a bug of ours, 2 wrong usage, 3 bad input data, 4 a declared "
    "limit would be passed, 5 interrupted (run the same command again to resume).",
    add_completion=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
for _group in (
    workspace, learning, packing, serving, reviewing, segmenting, advice, files, meshing, research,
    doctor,
):  # fmt: skip
    _group.register(app)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the flag's value
    if wanted:
        from voxloop import __version__

        Screen().say(f"voxloop {__version__}")
        raise typer.Exit


@app.callback()
def _frame(
    *,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where in the program a bug of ours arose.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and end.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    del debug, version  # `execute` reads the one, its callback answers the other


def run() -> None:
    """Be the program `voxloop`: read the command line, do what it says, end with its exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop as tidily as for Ctrl-C
    sys.exit(execute(sys.argv[1:]))


def execute(arguments: Sequence[str]) -> int:
    """Carry out one command line and give its exit code; whatever goes wrong is shown.

    Args:
        arguments: the words after `voxloop`.

    Returns:
        0 done, 1 a bug of ours, 2 wrong usage, 3 bad input data, 4 a declared limit would be
        passed, 5 interrupted and resumable.
    """
    screen = Screen(json="--json" in arguments)
    try:
        return _dispatch(arguments)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the last resort that turns a bug into a message
        meant = _as_meant(error)
        if meant is None:
            screen.confess(error, traceback="--debug" in arguments)
            return 1
    except KeyboardInterrupt:
        meant = InterruptedJobError("interrupted; run the same command again to resume")
    screen.fail(meant)
    return meant.exit_code


def _dispatch(arguments: Sequence[str]) -> int:
    command = typer.main.get_command(app)
    try:
        with command.make_context("voxloop", list(arguments) or ["--help"]) as context:
            return int(command.invoke(context) or 0)
    except typer.Exit as leave:
        return leave.exit_code


def _as_meant(error: Exception) -> VoxloopError | None:
    """The error of ours that says what `error` means to the user; None if it is a bug."""
    if isinstance(error, VoxloopError):
        return error
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        hint = f" See `{context.command_path} --help`." if context else ""
        return UsageError(error.format_message() + hint)
    if isinstance(error, MemoryError):
        return LimitError("memory ran out; close other programs, or crop or downsample the scans")
    if isinstance(error, OSError) and StorageError.explains(error):
        return StorageError(f"{error.filename or 'a file'}: {error.strerror}")
    return None
