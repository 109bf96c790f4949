from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from starlette.requests import Request

from voxloop.compute.progress import Progress
from voxloop.serve.context import Context
from voxloop.serve.routers import events
from voxloop.serve.settings import ServeSettings
from voxloop.workspace.background.files import JobFiles, Reporter
from voxloop.workspace.background.request import JobRequest
from workspace_samples import make_workspace


class Window:
    """A browser's window that listens until it is closed."""

    def __init__(self) -> None:
        self.closed = False
        self.app = SimpleNamespace(state=SimpleNamespace(is_ending=lambda: False))

    async def is_disconnected(self) -> bool:
        return self.closed


def test_a_window_hears_of_changes_and_of_a_jobs_progress(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(events, "_EVERY_S", 0.01)
    workspace = make_workspace(tmp_path, "a")
    context = Context.of(workspace, ServeSettings())
    window = Window()
    files = JobFiles.of(workspace.layout, "20250101000000000-0000")
    files.folder.mkdir(parents=True)

    async def listen() -> list[str]:
        stream = events._events(cast("Request", window), context)
        heard = [await anext(stream), await anext(stream)]
        document = {"started": "2025", **JobRequest(("train",)).to_json()}
        files.request.write_text(json.dumps(document))
        heard.append(await anext(stream))
        Reporter(files)(Progress("training", 3, 10, "loss 0.5"))
        heard.append(await anext(stream))
        window.closed = True
        assert [piece async for piece in stream] == []
        return heard

    hello, change, job, further = asyncio.run(listen())
    assert hello.startswith("retry: ")
    assert change.startswith("event: change\ndata: ")
    assert '"state": "interrupted"' in job  # no process holds its lock
    progress = json.loads(further.split("data: ")[1])["progress"]
    assert (progress["stage"], progress["done"], progress["note"]) == ("training", 3, "loss 0.5")
    assert window.app.state.listeners == 0
