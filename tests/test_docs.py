"""The documentation: complete, in step with the code, and every example in it runs."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

import voxloop
from documents import Block, read_blocks, run_block
from sources import ROOT
from voxloop import errors
from voxloop.cli.main import app

sys.path.insert(0, str(ROOT / "tools"))  # the generator is a script, no part of the package
from generate_reference import PAGES

DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
RUN_LANGUAGES = {"bash", "python"}
SHOWN_LANGUAGES = {"json", "text", "toml"}
SHORTENED = {"--minutes 3": "--steps 5"}
"""What examples are told to do instead while they are tested, so that they take seconds."""

PROGRAM: Any = typer.main.get_command(app)


def _documents_that_run() -> list[Any]:
    """README, tutorials, meshes; one that says `<!-- slow -->` runs with the slow tests."""
    documents = [ROOT / "README.md", *sorted((DOCS / "tutorial").glob("*.md"))]
    documents.append(DOCS / "how-to" / "print-a-mesh.md")
    return [
        pytest.param(
            path,
            marks=[pytest.mark.slow] if "<!-- slow -->" in path.read_text(encoding="utf-8") else [],
            id=path.name,
        )
        for path in documents
    ]


def _pages() -> list[Path]:
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize("document", _documents_that_run())
def test_every_example_runs(document: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Blocks of one document run in order in one folder, with `voxloop` on the PATH.

    The folder is as a fresh checkout to them: it holds `examples`. A document that uses
    `$VOXLOOP_DATA` finds the real scans there.
    """
    text = document.read_text(encoding="utf-8")
    for long, short in SHORTENED.items():
        text = text.replace(long, short)
    environment = _environment(tmp_path / "bin")
    if "VOXLOOP_DATA" in text:
        environment["VOXLOOP_DATA"] = str(request.getfixturevalue("shared_data"))
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "examples").symlink_to(ROOT / "examples")
    for block in read_blocks(text):
        if block.language in RUN_LANGUAGES:
            run_block(block, folder, environment)


@pytest.mark.parametrize("page", _pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in read_blocks(page.read_text(encoding="utf-8")):
        assert block.language in RUN_LANGUAGES | SHOWN_LANGUAGES, f"line {block.line}"


@pytest.mark.parametrize("page", _pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_within_the_documentation_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize(
    "page",
    [page for page in _pages() if page.name != "cli.md"],  # which is made from the program
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_every_command_shown_is_one_that_the_program_takes(page: Path) -> None:
    """In blocks and in running text; what follows a pipe or the like is not ours."""
    whole = page.read_text("utf-8").replace("\\\n", "")
    for text in re.findall(r"(?:^ *|`)(voxloop [^`\n]*)", whole, re.MULTILINE):
        words = shlex.split(re.split(r"[|&;>]", text)[0], comments=True)
        name = words[1] if len(words) > 1 else ""
        if name.startswith("-") or not name.isascii() or not name.islower():
            continue
        assert name in PROGRAM.commands, text
        command = PROGRAM.commands[name]
        spoken_of = len(words) > 2 and words[-1].startswith("--")  # perhaps without its value
        parser = command.make_parser(command.context_class(command))
        _, left, _ = parser.parse_args(words[2:-1] if spoken_of else words[2:])
        assert not left, f"{text}: {left} is too much"


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_in_step_with_the_code(name: str) -> None:
    written = (REFERENCE / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), "run `make reference`"


@pytest.mark.parametrize("name", PROGRAM.commands)
def test_every_command_and_option_is_explained(name: str) -> None:
    page = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    section = re.split(r"^## ", page.partition(f"## `voxloop {name}`\n")[2], flags=re.MULTILINE)[0]
    command = PROGRAM.commands[name]
    assert command.help.split("\n")[0] in section
    for parameter in command.params:
        assert parameter.help, f"{parameter.name} has no help text"
        for written in parameter.opts:
            assert re.search(rf"^\| `[^`]*{re.escape(written)}", section, re.MULTILINE), written


@pytest.mark.parametrize("name", PROGRAM.commands)
def test_every_command_takes_json(name: str) -> None:
    assert any("--json" in parameter.opts for parameter in PROGRAM.commands[name].params)


def test_every_error_is_explained_with_its_exit_code() -> None:
    page = (REFERENCE / "errors.md").read_text(encoding="utf-8")
    for name in errors.__all__:
        value = getattr(errors, name)
        if issubclass(value, errors.VoxloopError):
            assert f"| `{name}` | {value.exit_code} |" in page
            assert re.search(rf"^\| {value.exit_code} \|", page, re.MULTILINE)
        else:
            assert f"`{name}`" in page


def test_every_public_name_is_explained() -> None:
    page = (REFERENCE / "api.md").read_text(encoding="utf-8")
    for name in voxloop.__all__:
        assert f"## `{name}`\n" in page


def test_blocks_are_found_with_language_line_and_without_indentation() -> None:
    text = "a\n\n```bash\nls\n```\n\n1. b\n\n   ```python title=x\n   if 1:\n       pass\n   ```\n"
    assert read_blocks(text) == (
        Block("bash", "ls\n", 4),
        Block("python", "if 1:\n    pass\n", 10),
    )


def test_a_block_that_fails_is_reported_with_its_line(tmp_path: Path) -> None:
    block = Block("bash", "false | true\necho reached\n", 7)
    with pytest.raises(AssertionError, match="line 7 ended with 1"):
        run_block(block, tmp_path, _environment(tmp_path / "bin"))


def _environment(programs: Path) -> dict[str, str]:
    """The tests' environment with this very `voxloop` first on the PATH."""
    programs.mkdir()
    program = programs / "voxloop"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m voxloop "$@"\n')
    program.chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2")}
