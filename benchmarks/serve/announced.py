"""Where a server that was just started says it is."""

from __future__ import annotations

import json
import subprocess

__all__ = ["announced_url"]


def announced_url(server: subprocess.Popen[str]) -> str:
    """The address of the page, from what `voxloop serve --json` prints first."""
    said = ""
    while not said.endswith("\n}\n") and server.stdout is not None:
        line = server.stdout.readline()
        if not line:
            raise RuntimeError("the server did not start")
        said += line
    return str(json.loads(said)["url"])
