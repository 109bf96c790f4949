"""How long a large CT takes in the page: to the first slice, for a stroke, for a save.

    python benchmarks/serve/page_speed.py [--shape 512 512 200] [--strokes 20]

A made-up CT is served on loopback and one of its slices is asked for; Debian's Chromium, headless
and rendering in software, opens the query, draws and submits. Measured are the time from opening
the address to the first slice and to the first possible stroke, of a first query (the program is
loaded, the graphics are set up) and of a second one; what was sent; the memory of the scripts and
of the browser; the time from a move of the pen to the picture, and from the end of a stroke to its
acknowledged save (on the server's disk by then). A computer with a graphics card is faster in all
that is drawn. The result goes to benchmarks/results/page_speed.json. Needs
requirements/browser.txt and chromium.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from voxloop.active.query import Query
from voxloop.compute.atomic import write_json
from voxloop.io.formats import write_volume
from voxloop.serve.app import create_app
from voxloop.serve.settings import ServeSettings
from voxloop.volume.boxes import Box
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import Volume
from voxloop.workspace.actions.add import add
from voxloop.workspace.queries import StoredQuery, put_queries
from voxloop.workspace.rounds import RoundStage, advance_round, begin_round
from voxloop.workspace.staging import open_staging
from voxloop.workspace.workspace import Workspace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provenance import provenance

RESULT = Path(__file__).resolve().parent.parent / "results" / "page_speed.json"
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist", "--no-sandbox", "--disable-dev-shm-usage",
    "--enable-precise-memory-info",
]  # fmt: skip
SPACING_MM = (0.8, 0.8, 1.5)

READY = "() => document.querySelector('.annotate[data-ready=yes]') !== null"
MARKS = """() => Object.fromEntries(['voxloop:first-slice', 'voxloop:ready'].map((name) =>
  [name, performance.getEntriesByName(name).at(-1)?.startTime]))"""
STROKE = """async (moves) => {
  const { stage, viewer, autosave, painter } = window.voxloop.view;
  const rect = stage.node.getBoundingClientRect();
  const frames = [];
  const at = (share) => ({ clientX: rect.left + rect.width * (0.3 + 0.4 * share),
    clientY: rect.top + rect.height * (0.35 + 0.3 * Math.random()), button: 0, pointerId: 1 });
  const drawn = () => new Promise((done) => {
    const before = viewer.onDrawn;
    viewer.onDrawn = () => { viewer.onDrawn = before; before(); done(); };
  });
  painter.press(stage.where(at(0)));
  for (let move = 1; move <= moves; move += 1) {
    const began = performance.now();
    const soon = drawn();
    painter.drag(stage.where(at(move / moves)));
    viewer.redraw();
    await soon;
    frames.push(performance.now() - began);
  }
  const ended = performance.now();
  painter.release();
  await autosave.sending;
  return { frames, save: performance.now() - ended, state: autosave.waiting.length };
}"""


def make_workspace(folder: Path, shape: tuple[int, int, int]) -> Workspace:
    """A made-up CT of which two slices are asked for."""
    rng = np.random.default_rng(0)
    scan = rng.normal(-950, 20, shape).astype(np.int16)
    i, j = np.ogrid[: shape[0], : shape[1]]
    body = ((i / shape[0] - 0.5) / 0.4) ** 2 + ((j / shape[1] - 0.5) / 0.3) ** 2 <= 1
    scan[body] = rng.normal(40, 25, (int(body.sum()), shape[2])).astype(np.int16)
    geometry = Geometry.from_affine(shape, np.diag([*SPACING_MM, 1.0]))
    write_volume(folder / "scans" / "ct.nii.gz", Volume(scan, geometry))
    workspace = Workspace.create(
        folder / "project", "Speed", LabelTable.from_names("organ"), "benchmark"
    )
    add(workspace, folder / "scans")
    number = begin_round(workspace.layout, seed=1, strategy="strided", annotations=()).number
    advance_round(workspace.layout, number, RoundStage.QUERYING)
    slices = (shape[2] // 3, 2 * shape[2] // 3)
    asked = [
        StoredQuery(
            n, Query("ct", Box.slice_at(shape, 2, k), 0.5, "strided", "its turn", 60.0, "seconds")
        )
        for n, k in enumerate(slices, start=1)
    ]
    with open_staging(workspace.layout) as staging, staging.commit("suggest", "") as commit:
        put_queries(commit, workspace.layout, number, asked)
    advance_round(workspace.layout, number, RoundStage.ANNOTATING)
    return workspace


@contextmanager
def serving(workspace: Workspace) -> Iterator[str]:
    """The page's address."""
    import socket

    import uvicorn

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        settings = ServeSettings(port=bound.getsockname()[1])
        config = uvicorn.Config(
            create_app(workspace, settings), lifespan="off", log_level="error", ws="none"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        yield settings.url()
        server.should_exit = True
        thread.join(timeout=10)


def spread(values: list[float]) -> dict[str, float]:
    """Median, 90 % and largest, in milliseconds."""
    found = np.percentile(values, [50, 90, 100]).round(1)
    return dict(zip(("median", "p90", "max"), map(float, found), strict=True))


def browser_memory_mb() -> float:
    """What all processes of the browser hold, shared pages counted once (Linux)."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
    ours = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in ours} - ours:
        ours |= more
    held_kb = 0
    for process in ours - {os.getpid()}:
        with suppress(OSError):
            folder = Path("/proc") / str(process)
            if b"chrom" in (folder / "cmdline").read_bytes():
                lines = (folder / "smaps_rollup").read_text().splitlines()
                held_kb += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return round(held_kb / 1024, 1)


def play(page: Any, address: str, strokes: int) -> dict[str, Any]:
    """Open the first query afresh, draw, submit, and be given the second."""
    sent: dict[str, int] = {}

    def count(response: Any) -> None:
        kind = response.url.split("?")[0].rsplit("/", 1)[-1] or "index.html"
        sizes = response.request.sizes()
        sent[kind] = sent.get(kind, 0) + sizes["responseBodySize"]

    page.on("requestfinished", lambda request: count(request.response()))
    page.add_init_script("localStorage.setItem('voxloop/author', 'Ada')")
    page.goto(address + "#/query/0-1")
    page.wait_for_function(READY)
    first = page.evaluate(MARKS)
    frames, saves = [], []
    for _ in range(strokes):
        made = page.evaluate(STROKE, 10)
        frames += made["frames"]
        saves.append(made["save"])
    memory = page.evaluate("() => performance.memory.usedJSHeapSize")
    browser_mb = browser_memory_mb()
    began_ms = page.evaluate("() => performance.now()")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "() => window.voxloop.view?.task.query.id === '0-2' && (" + READY + ")()"
    )
    second = {name: at - began_ms for name, at in page.evaluate(MARKS).items()}
    return {
        "first_query_ms": {name.split(":")[1]: round(at) for name, at in first.items()},
        "from_submitting_to_second_query_ms": {
            name.split(":")[1]: round(at) for name, at in second.items()
        },
        "pen_to_screen_ms": spread(frames),
        "end_of_stroke_to_saved_ms": spread(saves),
        "script_memory_mb": round(memory / 2**20, 1),
        "browser_memory_mb": browser_mb,
        "sent_bytes": {
            "all": sum(sent.values()),
            **dict(sorted(sent.items(), key=lambda i: -i[1])),
        },
    }


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 200))
    parser.add_argument("--strokes", type=int, default=20)
    parser.add_argument("--window", type=int, nargs=2, default=(1280, 800))
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    shape = (options.shape[0], options.shape[1], options.shape[2])
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        workspace = make_workspace(Path(folder), shape)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        with serving(workspace) as address:
            page = browser.new_page(
                viewport={"width": options.window[0], "height": options.window[1]}
            )
            page.set_default_timeout(600_000)
            began_s, began_cpu_s = time.monotonic(), os.times()
            measured = play(page, address, options.strokes)
            took_s = time.monotonic() - began_s
        version = browser.version
        browser.close()
    result = {
        "shape": list(shape),
        "window": list(options.window),
        "strokes": options.strokes,
        "chromium": version,
        **provenance(__file__),
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "session_s": round(took_s, 1),
        "server_cpu_s": round(os.times().user - began_cpu_s.user, 1),
        **measured,
    }
    if shape == (512, 512, 200):
        write_json(RESULT, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
