"""Run a use case again and again, killed one file operation later each time.

Usage: killed_at_every_step.py FOLDER (add | collect). The folder holds `project`, and what is to
be added (`scans2`) or collected (`drawn`). After each kill the workspace must open, hold all of
the change or nothing of it, and take the same command again. Prints how often which was so.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from voxloop.errors import DataError
from voxloop.workspace.actions.add import add
from voxloop.workspace.actions.checked_delivery import CollectOptions
from voxloop.workspace.actions.collect import collect
from voxloop.workspace.delivery import LookedAt
from voxloop.workspace.workspace import Workspace

CHANGES = {"os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate"}
AGAIN_EVERY = 5


class Executioner:
    """Kills this process before the n-th operation that changes the disk."""

    def __init__(self, step: int) -> None:
        self._left = step
        sys.addaudithook(self._saw)

    def _saw(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in CHANGES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def act(folder: Path, action: str) -> None:
    workspace = Workspace.open(folder / "project")
    if action == "add":
        add(workspace, folder / "scans2", copy=True)
    else:
        collect(workspace, folder / "drawn", CollectOptions(looked_at=LookedAt.ALL))


def finished(folder: Path, action: str) -> int:
    workspace = Workspace.open(folder / "project")
    workspace.verify()
    assert not any(workspace.layout.staging.iterdir()), "something is left half done"
    if action == "add":
        return sum(record.id.startswith("new") for record in workspace.cases())
    return sum(len(workspace.annotations_of(record.id)) for record in workspace.cases())


def act_again(folder: Path, action: str) -> None:
    try:
        act(folder, action)
    except DataError as error:
        if action != "add" or "not in the workspace yet" not in str(error):
            raise


def main(folder: Path, action: str) -> None:
    pristine, whole = folder / "pristine", 2
    shutil.copytree(folder / "project", pristine)
    outcomes = {0: 0, whole: 0}
    act(folder, action)  # once unharmed, so that no child has to import what this one has
    for step in range(1, 10_000):
        shutil.rmtree(folder / "project")
        shutil.copytree(pristine, folder / "project")
        child = os.fork()
        if child == 0:
            Executioner(step)
            act(folder, action)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        outcomes[finished(folder, action)] += 1
        if step % AGAIN_EVERY == 0:
            act_again(folder, action)
            assert finished(folder, action) == whole
        if not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0
            break
    sys.stdout.write(json.dumps({"nothing": outcomes[0], "whole": outcomes[whole]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
