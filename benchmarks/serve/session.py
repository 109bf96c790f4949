"""A session in the page with real scans: ask, draw, undo, submit, train, and draw on proposals.

    python benchmarks/serve/session.py [--minutes 10] [--queries 12] [--shots FOLDER]

Hippocampi of the Medical Segmentation Decathlon are found through VOXLOOP_DATA. Some of them become
cases of a workspace, without labels; others stay unseen. `voxloop serve` runs in a process of its
own, and Debian's Chromium, headless, does what an annotator does, with mouse and keyboard alone:
asks for slices on the dashboard, opens each, draws what the reference label map has there (on the
model's proposal once there is one, correcting it), submits, and lets the model learn. At the first
query all strokes are undone and redone. After each round, what lies on the disk is compared voxel
by voxel with the reference, and the model with the unseen cases. Prints JSON; that of a run with
the default numbers belongs in benchmarks/results/page_session.json. Needs
requirements/browser.txt and chromium.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from announced import announced_url

from voxloop.dataset.case import Case
from voxloop.io.formats import read_label_map
from voxloop.metrics.score import score_case
from voxloop.volume.boxes import Box
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelArray
from voxloop.workspace.actions.add import add
from voxloop.workspace.proposals import segment_into
from voxloop.workspace.workspace import Workspace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provenance import provenance

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist", "--no-sandbox", "--disable-dev-shm-usage",
]  # fmt: skip
LABELS = LabelTable.from_names("anterior", "posterior")
RESAMPLES = 2000
READY = """(before) => document.querySelector('.annotate[data-ready=yes]')
  && window.voxloop.view?.task.query && window.voxloop.view.task.query.id !== before"""
NEXT = f"(before) => ({READY})(before) || (before && document.querySelector('.page'))"
DRAWN = """([start, stop]) => {
  const { grid, labels } = window.voxloop.view.viewer;
  const values = [];
  for (let k = start[2]; k < stop[2]; k += 1)
    for (let j = start[1]; j < stop[1]; j += 1)
      for (let i = start[0]; i < stop[0]; i += 1)
        values.push(labels[grid.index(grid.toShown([i, j, k]))]);
  return values;
}"""
POINTS = """(voxels) => {
  const { viewer, stage } = window.voxloop.view;
  const rect = stage.picture.getBoundingClientRect();
  return voxels.map((voxel) => viewer.pointOf(viewer.grid.toShown(voxel)))
    .map(([x, y]) => [x + rect.left, y + rect.top]);
}"""

Voxel = tuple[int, int, int]
Run = tuple[int, Voxel, Voxel]


@dataclass
class Round:
    """What was seen of one round."""

    queries: int = 0
    strokes: int = 0
    from_proposals: int = 0
    cleared: int = 0
    undone_and_redone: bool | None = None
    differing_voxels: int = 0
    open_s: list[float] = field(default_factory=list)
    stroke_s: list[float] = field(default_factory=list)
    submit_s: list[float] = field(default_factory=list)
    training_s: float = 0.0
    dice: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As a document; times as their medians."""
        medians = {
            f"median_{name}": round(float(np.median(getattr(self, name))), 3)
            for name in ("open_s", "stroke_s", "submit_s")
            if getattr(self, name)
        }
        return {
            "queries": self.queries,
            "strokes": self.strokes,
            "from_proposals": self.from_proposals,
            "cleared_first": self.cleared,
            "undone_and_redone": self.undone_and_redone,
            "differing_voxels_on_disk": self.differing_voxels,
            **medians,
            "training_s": round(self.training_s, 1),
            "unseen_dice": round(float(np.mean(list(self.dice.values()))), 4),
        }


class Annotator:
    """Draws what the references have, in a page.

    Args:
        page: of playwright, at the server's address.
        references: label maps by case.
        shots: where pictures of the page go; None for none.
    """

    def __init__(self, page: Any, references: dict[str, LabelArray], shots: Path | None) -> None:
        self._page, self._references, self._shots = page, references, shots
        self.answered: list[tuple[str, Box]] = []

    def job(self, button: str, options: argparse.Namespace) -> float:
        """Start a job from the dashboard, wait for its end, and give the seconds it took."""
        self._page.evaluate("() => { location.hash = '#/dashboard'; }")
        self._page.get_by_role("button", name=button, exact=True).wait_for()
        self._page.locator("#minutes").fill(str(options.minutes))
        self._page.locator("#queries").fill(str(options.queries))
        began_s = time.monotonic()
        self._page.get_by_role("button", name=button, exact=True).click()
        self._page.get_by_role("button", name="Stop", exact=True).wait_for()
        self.picture(f"{button} under way")
        words = self._page.locator(".job [role=status]")
        while (said := words.inner_text()).startswith("Running"):
            time.sleep(0.5)
        if not said.startswith("Done"):
            raise RuntimeError(f"{button}: {said}")
        return time.monotonic() - began_s

    def label(self, found: Round, name: str) -> None:
        """Answer every query that is open."""
        page = self._page
        page.evaluate("() => { location.hash = '#/'; }")
        page.get_by_role("button", name="Start with the next one").click()
        before = ""
        while True:
            began_s = time.monotonic()
            page.wait_for_function(NEXT, arg=before)
            if not page.evaluate(READY, before):
                return
            (found.submit_s if before else found.open_s).append(time.monotonic() - began_s)
            before = self._answer(found, name)

    def _answer(self, found: Round, name: str) -> str:
        page = self._page
        query = page.evaluate("() => window.voxloop.view.task.query")
        box = Box(tuple(query["region"]["start"]), tuple(query["region"]["stop"]))
        wanted = self._references[query["case"]][box.slices]
        first = self._drawn(box)
        found.from_proposals += bool(first.any())
        wanting = sorted(runs(first, wanted, box, query["axis"]))
        anew = sorted(runs(np.zeros_like(first), wanted, box, query["axis"]))
        cleared = len(anew) + 1 < len(wanting)  # nobody corrects what is quicker drawn anew
        if cleared:
            page.locator(".stage").focus()
            page.keyboard.press("Delete")
            found.cleared += 1
        strokes = self._paint(anew if cleared else wanting, found) + cleared
        if found.undone_and_redone is None and strokes:
            found.undone_and_redone = self._undo_and_redo(box, strokes, first)
        page.wait_for_function("() => !window.voxloop.view.autosave.waiting.length")
        self.picture(f"{name} query {found.queries + 1}")
        found.differing_voxels += int((self._drawn(box) != wanted).sum())
        found.queries += 1
        found.strokes += strokes
        self.answered.append((query["case"], box))
        page.keyboard.press("Enter")
        return str(query["id"])

    def _paint(self, strokes: list[Run], found: Round) -> int:
        """Draw strokes one voxel wide with the mouse, and give their number."""
        page = self._page
        page.locator("#size").fill("1")
        page.locator(".stage").focus()
        ends = page.evaluate(POINTS, [end for _, *both in strokes for end in both])
        held = -1
        for number, (value, *_) in enumerate(strokes):
            began_s = time.monotonic()
            if value != held:
                page.keyboard.press("b" if value else "e")
                page.keyboard.press(str(value) if value else "e")
                held = value
            page.mouse.move(*ends[2 * number])
            page.mouse.down()
            if ends[2 * number + 1] != ends[2 * number]:
                page.mouse.move(*ends[2 * number + 1])
            page.mouse.up()
            found.stroke_s.append(time.monotonic() - began_s)
        return len(strokes)

    def _undo_and_redo(self, box: Box, strokes: int, first: LabelArray) -> bool:
        done = self._drawn(box)
        for _ in range(strokes):
            self._page.keyboard.press("z")
        undone = bool((self._drawn(box) == first).all())
        for _ in range(strokes):
            self._page.keyboard.press("y")
        return undone and bool((self._drawn(box) == done).all())

    def _drawn(self, box: Box) -> LabelArray:
        self._page.evaluate("() => new Promise((done) => requestAnimationFrame(done))")
        values = self._page.evaluate(DRAWN, [box.start, box.stop])
        return np.asarray(values, dtype=np.uint8).reshape(box.shape, order="F")

    def picture(self, name: str) -> None:
        """Keep what the page looks like."""
        if self._shots is not None:
            self._page.screenshot(path=str(self._shots / f"{name.replace(' ', '-')}.png"))


def runs(drawn: LabelArray, wanted: LabelArray, box: Box, axis: int | None) -> Iterator[Run]:
    """Value, first voxel and last voxel of the strokes that turn a drawing into another.

    Args:
        drawn: what is there, of the box's shape.
        wanted: what is to be there.
        box: of the slice.
        axis: across which it lies.
    """
    across = int(np.argmin(box.shape)) if axis is None else axis
    along, over = (a for a in range(3) if a != across)
    lines = np.moveaxis(wanted, (across, over, along), (0, 1, 2))[0]
    differs = np.moveaxis(drawn != wanted, (across, over, along), (0, 1, 2))[0]
    for row, line in enumerate(lines):
        ends = [0, *(np.flatnonzero(np.diff(line.astype(int))) + 1).tolist(), len(line)]
        for start, stop in itertools.pairwise(ends):
            places = np.flatnonzero(differs[row, start:stop]) + start
            if not len(places):
                continue
            voxels = []
            for place in (int(places[0]), int(places[-1])):
                voxel = list(box.start)
                voxel[along] += place
                voxel[over] += row
                voxels.append((voxel[0], voxel[1], voxel[2]))
            yield int(line[start]), voxels[0], voxels[1]


@contextmanager
def serving(root: Path) -> Iterator[str]:
    """The address of `voxloop serve` on a workspace."""
    command = [sys.executable, "-m", "voxloop", "serve", str(root), "--json", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield announced_url(server)
    finally:
        server.terminate()
        server.wait()


def differing_on_disk(
    workspace: Workspace, answered: list[tuple[str, Box]], references: dict[str, LabelArray]
) -> int:
    """Voxels of all answered regions that are not as the reference has them."""
    targets = {case_id: workspace.target_of(case_id).values for case_id, _ in answered}
    return sum(
        int((targets[case_id][box.slices] != references[case_id][box.slices]).sum())
        for case_id, box in answered
    )


def unseen_dice(workspace: Workspace, unseen: dict[str, tuple[Path, Path]]) -> dict[str, float]:
    """Mean Dice of the labels of each unseen case, by the newest model."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for case_id, (scan, reference) in unseen.items():
            path = segment_into(workspace, Case(case_id, (scan,)), Path(folder))
            scores = score_case(
                case_id, read_label_map(reference, LABELS), read_label_map(path, LABELS)
            )
            found[case_id] = float(np.mean([score.dice for score in scores]))
    return found


def gain(before: dict[str, float], after: dict[str, float], seed: int) -> dict[str, float]:
    """Mean difference of paired cases with a 95 % percentile interval over cases."""
    differences = np.array([after[case_id] - before[case_id] for case_id in before])
    drawn = np.random.default_rng(seed).choice(differences, (RESAMPLES, len(differences)))
    low, high = np.percentile(drawn.mean(axis=1), [2.5, 97.5])
    return {
        "mean": round(float(differences.mean()), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
    }


def found_scans(options: argparse.Namespace) -> list[tuple[str, Path, Path]]:
    """Id, scan and reference of as many hippocampi as are wanted, by chance."""
    here = Path(__file__).resolve().parents[2]
    data = options.data or Path(os.environ.get("VOXLOOP_DATA", here.parent / "shared" / "data"))
    references = sorted((data / "hippocampus" / "labelsTr").glob("*.nii.gz"))
    wanted = options.cases + options.unseen
    if len(references) < wanted:
        raise SystemExit("real scans not found: set VOXLOOP_DATA, or name their folder by --data")
    chosen = np.random.default_rng(options.seed).permutation(len(references))[:wanted]
    return [
        (path.name.removesuffix(".nii.gz"), scan_of(path), path)
        for path in (references[n] for n in chosen)
    ]


def scan_of(reference: Path) -> Path:
    """The scan of a label map in nnU-Net's layout."""
    name = reference.name.replace(".nii.gz", "_0000.nii.gz")
    return reference.parent.parent / "imagesTr" / name


def made_workspace(folder: Path, scans: list[tuple[str, Path, Path]]) -> Workspace:
    """A workspace with these scans, and without a label."""
    inbox = folder / "scans"
    inbox.mkdir()
    for case_id, scan, _ in scans:
        shutil.copy(scan, inbox / f"{case_id}.nii.gz")
    workspace = Workspace.create(folder / "project", "Hippocampus", LABELS, "benchmark")
    add(workspace, inbox)
    return workspace


def play(page: Any, workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """All rounds of a session."""
    scans = options.scans[: options.cases]
    references = {
        case_id: np.asarray(read_label_map(path, LABELS).array) for case_id, _, path in scans
    }
    unseen = {case_id: (scan, path) for case_id, scan, path in options.scans[options.cases :]}
    annotator = Annotator(page, references, options.shots)
    rounds = []
    annotator.job("Ask only", options)
    for number in range(options.rounds):
        found = Round()
        annotator.label(found, f"round {number}")
        found.differing_voxels += differing_on_disk(workspace, annotator.answered, references)
        found.training_s = annotator.job("Train now", options)
        annotator.picture(f"trained {number}")
        found.dice = unseen_dice(workspace, unseen)
        rounds.append(found)
    workspace.verify()
    return {
        "rounds": [found.to_json() for found in rounds],
        "gain_on_unseen": gain(rounds[0].dice, rounds[-1].dice, options.seed),
    }


def main() -> None:
    """Play the session and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, help="folder with the real scans")
    parser.add_argument("--cases", type=int, default=20, help="of the workspace")
    parser.add_argument("--unseen", type=int, default=20, help="on which the model is scored")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--queries", type=int, default=12, help="of each round")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training in each round")
    parser.add_argument("--seed", type=int, default=0, help="which scans are taken")
    parser.add_argument("--shots", type=Path, help="folder for pictures of the page")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    options.scans = found_scans(options)
    if options.shots is not None:
        options.shots.mkdir(parents=True, exist_ok=True)
    faults: list[str] = []
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        workspace = made_workspace(Path(folder), options.scans[: options.cases])
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        with serving(workspace.root) as address:
            page = browser.new_page(viewport={"width": 1000, "height": 560})
            page.set_default_timeout(600_000)
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.add_init_script("localStorage.setItem('voxloop/author', 'Ada')")
            page.goto(address)
            page.wait_for_selector(".page")
            played = play(page, workspace, options)
        version = browser.version
        browser.close()
    chosen = {name: getattr(options, name) for name in
              ("cases", "unseen", "queries", "minutes", "seed")}  # fmt: skip
    about = {"chromium": version, "session_s": round(time.monotonic() - began_s), "faults": faults}
    print(json.dumps({**provenance(__file__), **chosen, **about, **played}, indent=2))


if __name__ == "__main__":
    main()
