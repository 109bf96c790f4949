"""Writes the pages of docs/reference that follow from the code: the commands and the API.

Run it with `make reference`; a test compares what it would write with what is there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

import voxloop
from voxloop.cli.main import app

__all__ = ["PAGES", "api_page", "cli_page"]

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"


def cli_page() -> str:
    """The page of the commands, in Markdown."""
    program: Any = typer.main.get_command(app)
    lines = [
        "# Commands",
        "",
        program.help,
        "",
        program.epilog,
        "",
        "Options of the program itself, written before the command:",
        "",
        *_parameters(program, "voxloop", "option"),
    ]
    commands: Mapping[str, Any] = program.commands
    for name, command in commands.items():
        lines += ["", f"## `voxloop {name}`", "", *_command(command, f"voxloop {name}")]
    return "\n".join(lines) + "\n"


def api_page() -> str:
    """The page of the public names, in Markdown."""
    lines = [
        "# Python API",
        "",
        "What `import voxloop` offers. Everything else is importable by its module's path, and may",
        "change between minor versions.",
    ]
    for name in voxloop.__all__:
        value = getattr(voxloop, name)
        lines += ["", f"## `{name}`", "", f"From `{value.__module__}`.", *_explained(name, value)]
    return "\n".join(lines) + "\n"


def _command(command: Any, path: str) -> Iterator[str]:
    context = command.make_context(path, [], resilient_parsing=True)
    pieces = " ".join(command.collect_usage_pieces(context))
    yield from inspect.cleandoc(command.help or "").splitlines()
    yield from ("", "```text", f"{path} {pieces}", "```")
    for kind in ("argument", "option"):
        rows = _parameters(command, path, kind)
        if rows:
            yield from ("", *rows)


def _parameters(command: Any, path: str, kind: str) -> list[str]:
    context = command.make_context(path, [], resilient_parsing=True)
    shown = [p for p in command.params if p.param_type_name == kind and not p.hidden]
    records = [record for p in shown if (record := p.get_help_record(context)) is not None]
    if not records:
        return []
    rows = [f"| `{_cell(usage)}` | {_cell(text)} |" for usage, text in records]
    return [f"| {kind} | meaning |", "|---|---|", *rows]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _explained(name: str, value: Any) -> Iterator[str]:
    if not (inspect.isclass(value) and issubclass(value, Exception)):
        yield from ("", "```text", f"{name}{inspect.signature(value)}", "```")
    opening, _, rest = inspect.cleandoc(value.__doc__).partition("\n\n")
    yield from ("", *opening.splitlines())
    if rest:
        yield from ("", "```text", *rest.splitlines(), "```")


PAGES: Mapping[str, Callable[[], str]] = {"api.md": api_page, "cli.md": cli_page}
"""File name in docs/reference to the function that gives its content."""

if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file_name, page in PAGES.items():
        (FOLDER / file_name).write_text(page(), encoding="utf-8")
