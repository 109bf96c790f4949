"""Fenced code blocks of Markdown files, and a place to run them in."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "read_blocks", "run_block"]

_FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```[ ]*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language (the first word after the fence), code and first line."""

    language: str
    code: str
    line: int


def read_blocks(text: str) -> tuple[Block, ...]:
    """All fenced blocks of a Markdown text, in order, their indentation taken off."""
    blocks = []
    for match in _FENCE.finditer(text):
        indent, info, body = match.groups()
        language = (info.split() or [""])[0]
        code = "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))
        blocks.append(Block(language, code, text.count("\n", 0, match.start()) + 2))
    return tuple(blocks)


def run_block(block: Block, folder: Path, environment: dict[str, str]) -> None:
    """Run a block in `folder`; the test fails with its output where it ends in an error."""
    command = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    done = subprocess.run(
        [*command[block.language], block.code],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (
        f"the block at line {block.line} ended with {done.returncode}:\n"
        f"{block.code}\n{done.stdout}\n{done.stderr}"
    )
