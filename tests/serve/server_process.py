"""A real server in a process of its own, on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Server", "served"]


class Server:
    """A running `voxloop serve`.

    Args:
        root: the workspace's folder.
        options: of the command.
    """

    def __init__(self, root: Path, *options: str) -> None:
        self._command = [sys.executable, "-m", "voxloop", "serve", str(root), "--json", *options]
        self.process = self._start("0")
        document = self._document()
        self.url = str(document["url"])
        self.port = int(self.url.split(":")[2].split("/")[0])

    def _start(self, port: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self._command, "--port", port],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _document(self) -> dict[str, object]:
        """What the command says once the port is open: a JSON document of several lines."""
        text = ""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        while not text.endswith("\n}\n"):
            line = self.process.stdout.readline()
            assert line, self.process.stderr.read()
            text += line
        document: dict[str, object] = json.loads(text)
        return document

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.communicate()

    def restart(self) -> None:
        """Begin again on the same port; the address stays the same if the token was given."""
        self.process = self._start(str(self.port))
        self._document()


@contextmanager
def served(root: Path, *options: str) -> Iterator[Server]:
    """A server that ends with the block."""
    server = Server(root, *options)
    try:
        yield server
    finally:
        server.kill()
