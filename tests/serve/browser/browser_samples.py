"""Scans on four kinds of grids with a bright mark each, a server, and a real browser before it."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.active.query import Query
from voxloop.io.formats import write_volume
from voxloop.report.outcome import CaseOutcome, LabelOutcome, Quality
from voxloop.serve.app import create_app
from voxloop.serve.settings import ServeSettings
from voxloop.volume.boxes import Box
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume
from voxloop.workspace.actions.add import add
from voxloop.workspace.actions.mesh_cases import mesh_cases
from voxloop.workspace.predictions import PredictionFolder
from voxloop.workspace.proposals import prediction_file
from voxloop.workspace.queries import StoredQuery, put_queries
from voxloop.workspace.rounds import RoundStage, advance_round, begin_round
from voxloop.workspace.staging import open_staging
from voxloop.workspace.workspace import Workspace

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist", "--no-sandbox", "--disable-dev-shm-usage",
)  # fmt: skip
LABELS = LabelTable.from_names("liver", "spleen")
CHECK = "the liver is cut off: 30% of its surface is the scan's border"
MARK = 3000.0
TOKEN = "browser-token-0123456789"  # noqa: S105 # of a server that lives for a test


def _turned(order: tuple[int, int, int], signs: tuple[int, int, int]) -> Geometry:
    """A grid whose file axes run along world axes `order`, each in the direction of its sign."""
    shape, spacing_mm = (26, 30, 22), (1.0, 1.0, 1.5)
    matrix = np.zeros((4, 4))
    for axis, world in enumerate(order):
        matrix[world, axis] = signs[axis] * spacing_mm[axis]
    matrix[:, 3] = (5.0, -8.0, 40.0, 1.0)
    return Geometry.from_affine(shape, matrix)


GRIDS = {
    "ras": _turned((0, 1, 2), (1, 1, 1)),
    "lps": _turned((0, 1, 2), (-1, -1, 1)),
    "pir": _turned((1, 2, 0), (-1, -1, 1)),
    "oblique": oblique_geometry((24, 28, 20), (1.0, 1.1, 1.3), flips=(True, False, True)),
    "thick": oblique_geometry((32, 30, 9), (0.8, 0.8, 5.0), angles=(0.0, 0.1, 0.0)),
}


ASKED = {"ras": 0, "lps": 2, "pir": 1, "oblique": 1, "thick": 2}
"""Across which axis a slice of each grid is asked for."""


@dataclass(frozen=True)
class Scan:
    """A scan with a bright block of 2 x 2 x 2 voxels, off-centre along every axis.

    Attributes:
        geometry: its grid.
        mark: first voxel of the block.
    """

    geometry: Geometry

    @property
    def mark(self) -> tuple[int, int, int]:
        """The block's first voxel."""
        i, j, k = (count // 4 for count in self.geometry.shape)
        return i, j, k

    def array(self) -> npt.NDArray[np.float32]:
        """Noise, an ellipsoid, the block."""
        array = np.random.default_rng(1).normal(100, 10, self.geometry.shape).astype(np.float32)
        array[ellipsoid_mask(self.geometry, (7, 8, 9))] += 250
        i, j, k = self.mark
        array[i : i + 2, j : j + 2, k : k + 2] = MARK
        return array


def make_workspace(folder: Path, *names: str) -> Workspace:
    """A workspace with these grids as cases, without rounds."""
    workspace = Workspace.create(folder / "project", "Phantoms", LABELS, "tester")
    for name in names:
        write_volume(
            folder / "scans" / f"{name}.nii.gz", Volume(Scan(GRIDS[name]).array(), GRIDS[name])
        )
    add(workspace, folder / "scans")
    return workspace


def ask(workspace: Workspace, *regions: tuple[str, Box]) -> None:
    """Begin a round that asks for these regions."""
    number = begin_round(workspace.layout, seed=1, strategy="entropy", annotations=()).number
    advance_round(workspace.layout, number, RoundStage.QUERYING)
    reason = "the model is least sure of the border here"
    stored = [
        StoredQuery(n, Query(case_id, region, 0.5, "entropy", reason, 75.0, "seconds"))
        for n, (case_id, region) in enumerate(regions, start=1)
    ]
    with open_staging(workspace.layout) as staging, staging.commit("suggest", "") as commit:
        put_queries(commit, workspace.layout, number, stored)
    advance_round(workspace.layout, number, RoundStage.ANNOTATING)


def propose(workspace: Workspace, name: str) -> None:
    """Put down what a model would have said of a case; a stand-in lies where the model would."""
    member = workspace.layout.member_folder(0, 0)
    member.mkdir(parents=True, exist_ok=True)
    (member / "model.safetensors").write_bytes(b"stands in for a model")
    record = next(found for found in workspace.cases() if found.id == name)
    path = prediction_file(workspace, record)
    assert path is not None
    array = ellipsoid_mask(GRIDS[name], (6, 7, 8)).astype(np.uint8)
    doubt = np.zeros(GRIDS[name].shape, dtype=np.uint8)
    doubt[ellipsoid_mask(GRIDS[name], (8, 9, 10)) & (array == 0)] = 220
    liver = Quality(0.912, 0.853, 0.951, 0.71, 0.42, 1.2, 12, (CHECK,), "for 9 cases in 10")
    spleen = Quality(None, None, None, None, None, None, 0, (), "too few as a whole", 0.743)
    volumes = (LabelOutcome("liver", 2.04, liver), LabelOutcome("spleen", 0.0, spleen))
    PredictionFolder(path.parent, "plain", LABELS).write(
        LabelMap(array, GRIDS[name], LABELS), CaseOutcome(name, "done", volumes), {}, doubt
    )


@dataclass(eq=False)
class Desk:
    """A browser's page on a server.

    Attributes:
        workspace: that is served.
        address: of the page.
        page: of playwright.
        faults: what scripts threw, what the policy blocked, what went to another host.
    """

    workspace: Workspace
    address: str
    page: Any
    faults: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Collect faults from now on."""
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self._heard)
        self.page.on("request", self._sent)

    def open(self, place: str) -> None:
        """Go to a place within the page, or load it."""
        if self.page.url.startswith(self.address):
            self.page.evaluate(
                """(place) => {
                  // so that `ready` does not take the view that is left for the one to come
                  document.querySelector('.annotate')?.removeAttribute('data-ready');
                  if (location.hash !== place) location.hash = place;
                  else window.dispatchEvent(new HashChangeEvent('hashchange'));
                }""",
                place,
            )
        else:
            enter(self.page, self.address, place)

    def _heard(self, message: Any) -> None:
        if "Content Security Policy" in message.text:
            self.faults.append(message.text)

    def _sent(self, request: Any) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.faults.append(f"asked for {request.url}")


def make_clinic(folder: Path) -> Workspace:
    """Two cases, one of them with a proposal, what that is worth, and surfaces; a query each."""
    workspace = make_workspace(folder, "oblique", "thick")
    asked = (("oblique", Scan(GRIDS["oblique"]).mark[2]), ("oblique", 12), ("thick", 4))
    ask(workspace, *((name, Box.slice_at(GRIDS[name].shape, 2, at)) for name, at in asked))
    propose(workspace, "oblique")
    found = mesh_cases(workspace)
    assert found.passed == {"oblique": True}
    return workspace


@contextmanager
def browsing() -> Iterator[Any]:
    """A headless Chromium that renders in software."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="install requirements/browser.txt for the page's tests"
    )
    if not CHROMIUM.exists():
        pytest.skip("the page's tests need Debian's chromium: apt install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def working(workspace: Workspace) -> Iterator[Desk]:
    """A page on a server on a workspace; whatever goes wrong in it is collected."""
    with browsing() as chromium, serving(workspace) as address:
        page = chromium.new_page(viewport={"width": 1000, "height": 420})
        page.set_default_timeout(120_000)
        found = Desk(workspace, address, page)
        found.watch()
        yield found
        page.close()


def make_desk(folder: Path) -> Workspace:
    """All grids, each with a query through its mark; one has a proposal and a second query."""
    workspace = make_workspace(folder, *GRIDS)
    regions = [
        (name, Box.slice_at(GRIDS[name].shape, axis, Scan(GRIDS[name]).mark[axis]))
        for name, axis in ASKED.items()
    ]
    middle = Box.slice_at(GRIDS["lps"].shape, 2, 10)
    ask(workspace, *regions, ("lps", middle), ("ras", Box.slice_at(GRIDS["ras"].shape, 2, 9)),
        ("ras", Box.slice_at(GRIDS["ras"].shape, 2, 12)))  # fmt: skip
    propose(workspace, "lps")
    return workspace


@contextmanager
def serving(workspace: Workspace, port: int = 0) -> Iterator[str]:
    """The address of a server that runs in a thread."""
    import socket

    import uvicorn

    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        settings = ServeSettings(port=bound.getsockname()[1], token=TOKEN)
        config = uvicorn.Config(
            create_app(workspace, settings), lifespan="off", log_level="error",
            timeout_graceful_shutdown=1, ws="none", http="h11",
        )  # fmt: skip
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        try:
            yield settings.url()
        finally:
            server.should_exit = True
            thread.join(timeout=10)


def picture(place: Any) -> npt.NDArray[np.uint8]:
    """A page, or an element of one, as it looks, (height, width, 3)."""
    from matplotlib.image import imread

    shown = imread(io.BytesIO(place.screenshot()), format="png")
    return np.asarray(np.round(shown[..., :3] * 255), dtype=np.uint8)


def settle(page: Any) -> None:
    """Wait until what was drawn is on the screen."""
    page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


def enter(page: Any, address: str, place: str = "#/", author: str = "Ada") -> None:
    """Open the page as somebody, at a place."""
    page.goto(address + place)
    page.wait_for_selector("#name, .page, .annotate")
    if page.locator("#name").count():
        page.locator("#name").fill(author)
        page.keyboard.press("Enter")


def ready(page: Any, query: str = "") -> None:
    """Wait until the annotation view, of a certain query if one is given, takes strokes."""
    page.wait_for_function(
        """(query) => document.querySelector('.annotate[data-ready=yes]')
             && (!query || window.voxloop.view?.task.query?.id === query)""",
        arg=query,
    )
    settle(page)


def saved(page: Any) -> None:
    """Wait until every stroke is with the server."""
    page.wait_for_selector(".save[data-state=saved]")


def point_of(page: Any, voxel: tuple[int, int, int]) -> tuple[float, float]:
    """Where a voxel of the file lies on the screen, as the page itself has it."""
    x, y = page.evaluate(
        """(file) => {
          const { viewer, stage } = window.voxloop.view;
          const at = viewer.pointOf(viewer.grid.toShown(file));
          const rect = stage.picture.getBoundingClientRect();
          return [at[0] + rect.left, at[1] + rect.top];
        }""",
        list(voxel),
    )
    return float(x), float(y)


def stroke(page: Any, *voxels: tuple[int, int, int]) -> None:
    """Draw with the mouse through voxels of the shown slice."""
    points = [point_of(page, voxel) for voxel in voxels]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()
    settle(page)


def drawn(page: Any) -> npt.NDArray[np.uint8]:
    """The drawing in the browser's memory, on the file's own axes; the whole case is loaded."""
    shape, flat = page.evaluate(
        """() => {
          const { viewer } = window.voxloop.view;
          const { grid, labels } = viewer;
          const values = [];
          for (let k = 0; k < grid.size[2]; k += 1)
            for (let j = 0; j < grid.size[1]; j += 1)
              for (let i = 0; i < grid.size[0]; i += 1)
                values.push(labels[grid.index(grid.toShown([i, j, k]))]);
          return [grid.size, values];
        }"""
    )
    return np.asarray(flat, dtype=np.uint8).reshape(shape, order="F")
