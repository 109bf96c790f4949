"""Twenty annotators for two minutes while training runs, and the server killed ten times.

    python benchmarks/serve/load.py > benchmarks/results/serve_load.json

Makes a workspace of phantoms, starts `voxloop serve` and a training job, and lets annotators work
as the page does: look at the queue, fetch a slab, save strokes, submit. Now and then the server is
killed with SIGKILL and started again. At the end every acknowledged revision and every stroke of
an open draft must be there, each as its author drew it. Latencies are of single calls as the
annotator waits for them; calls that a kill cut off are counted apart and tried again.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
from announced import announced_url

from voxloop.io.formats import write_volume
from voxloop.volume.boxes import Box
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.runs import Patch
from voxloop.volume.volume import Volume
from voxloop.workspace.actions.add import add
from voxloop.workspace.drafts import DraftKey, read_draft
from voxloop.workspace.workspace import Workspace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provenance import provenance

TOKEN = "load-test-0123456789"  # noqa: S105 # of a server on loopback that lives for minutes


@dataclass
class Record:
    """What annotators were told, and how long they waited."""

    latency_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    revisions: dict[str, tuple[str, int]] = field(default_factory=dict)
    strokes: dict[tuple[str, str], int] = field(default_factory=dict)
    cut_off: int = 0
    stale: int = 0
    odd: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Annotator(threading.Thread):
    """One person with the page open."""

    def __init__(self, number: int, url: str, workspace: Workspace, record: Record) -> None:
        super().__init__(daemon=True)
        self.number, self.author = number, f"annotator {number:02d}"
        self.record, self.over = record, threading.Event()
        self._cases = workspace.cases()
        self._random = random.Random(number)  # noqa: S311 # which case is next is no secret
        self._client = httpx.Client(base_url=f"{url}api/v1/", timeout=60)

    def run(self) -> None:
        """Work until told to stop."""
        while not self.over.is_set():
            self._turn()
            self.over.wait(self._random.uniform(0.2, 1.0))

    def _turn(self) -> None:
        case = self._random.choice(self._cases)
        index = self._random.randrange(case.geometry.shape[2])
        self._call("queue", "GET", "queries")
        slab = {"box": _box(case.geometry.shape, index), "format": "nii"}
        self._call("image", "GET", f"cases/{case.id}/image", params=slab)
        state = self._call("case", "GET", f"cases/{case.id}")
        if state is None:
            return
        patch = self._drawn(case.geometry.shape, index)
        who = {"author": self.author}
        for _ in range(3):
            said = self._call(
                "stroke", "PUT", f"cases/{case.id}/draft", params=who, json={"patches": [patch]}
            )
            if said is not None:
                with self.record.lock:
                    self.record.strokes[case.id, self.author] = said.json()["count"]
        done = self._call(
            "submit", "PUT", f"cases/{case.id}/annotation", params=who,
            headers={"If-Match": state.json()["etag"]}, json={"patches": [patch]},
        )  # fmt: skip
        if done is not None:
            with self.record.lock:
                for revision in done.json()["stored"]:
                    self.record.revisions[revision["sha256"]] = (self.author, self.number)
                self.record.strokes.pop((case.id, self.author), None)

    def _call(self, name: str, method: str, path: str, **request: Any) -> httpx.Response | None:
        began_s = time.monotonic()
        try:
            answer = self._client.request(method, path, **request)
        except httpx.TransportError:
            with self.record.lock:
                self.record.cut_off += 1
                if name == "submit":  # perhaps stored: the draft may be over or not
                    self.record.strokes.pop((path.split("/")[1], self.author), None)
            time.sleep(0.1)
            return None
        with self.record.lock:
            self.record.latency_s[name].append(time.monotonic() - began_s)
            if answer.status_code == 409:
                self.record.stale += 1
            elif answer.status_code != 200:
                self.record.odd.append(f"{name}: {answer.status_code} {answer.text[:200]}")
        return answer if answer.status_code == 200 else None

    def _drawn(self, shape: tuple[int, int, int], index: int) -> dict[str, Any]:
        """A blob whose first column tells who drew it."""
        array = np.zeros((shape[0], shape[1], 1), dtype=np.uint8)
        a, b = (self._random.randrange(n // 2) for n in shape[:2])
        array[a : a + shape[0] // 4, b : b + shape[1] // 4] = 1
        array[0, :, 0] = 0
        array[0, self.number, 0] = 2
        return Patch(Box((0, 0, index), (shape[0], shape[1], index + 1)), array).to_json()


class Server:
    """`voxloop serve` as a process."""

    def __init__(self, root: Path) -> None:
        self._root, self._port = root, "0"
        self.url = self.start()
        self._port = self.url.split(":")[2].split("/")[0]

    def start(self) -> str:
        """Begin; gives the address once the port is open."""
        command = [
            sys.executable, "-m", "voxloop", "serve", str(self._root), "--json",
            "--port", self._port, "--token", TOKEN,
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        return announced_url(self.process)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()


def main() -> None:
    """Run the load and print what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--annotators", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--shape", type=int, nargs=3, default=(128, 128, 64))
    parser.add_argument("--without-training", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = _workspace(Path(folder), chosen.cases, tuple(chosen.shape))
        server = Server(workspace.root)
        document = _run(workspace, server, chosen)
    print(json.dumps({**provenance(__file__), **document}, indent=2))


def _run(workspace: Workspace, server: Server, chosen: argparse.Namespace) -> dict[str, Any]:
    record = Record()
    api = httpx.Client(base_url=f"{server.url}api/v1/", timeout=120)
    job = None if chosen.without_training else _train(api, workspace)
    people = [Annotator(n, server.url, workspace, record) for n in range(chosen.annotators)]
    for person in people:
        person.start()
    began_s, downs = time.monotonic(), []
    for number in range(chosen.kills):
        due_s = began_s + chosen.seconds * (number + 1) / (chosen.kills + 1)
        time.sleep(max(0.0, due_s - time.monotonic()))
        down_s = time.monotonic()
        server.kill()
        server.start()
        downs.append(time.monotonic() - down_s)
    time.sleep(max(0.0, began_s + chosen.seconds - time.monotonic()))
    for person in people:
        person.over.set()
    for person in people:
        person.join(120)
    state = None
    if job is not None:
        state = api.get(f"jobs/{job}").json()["state"]  # still running, through all the kills
        api.post(f"jobs/{job}/stop")
    server.kill()
    return {
        "annotators": chosen.annotators,
        "seconds": chosen.seconds,
        "kills": chosen.kills,
        "shape": list(chosen.shape),
        "training": state,
        "down_s": [round(s, 2) for s in downs],
        "calls_cut_off": record.cut_off,
        "stale_writes_refused": record.stale,
        "unexpected": record.odd[:20],
        "latency_ms": {name: _summary(found) for name, found in record.latency_s.items()},
        **_verdict(workspace, record),
    }


def _verdict(workspace: Workspace, record: Record) -> dict[str, Any]:
    """Whether what was acknowledged is there, as it was drawn."""
    found = Workspace.open(workspace.root)
    checked = found.verify()
    stored = {r.sha256: r for case in found.cases() for r in found.annotations_of(case.id)}
    lost = [sha256 for sha256 in record.revisions if sha256 not in stored]
    mixed = []
    for sha256, (author, number) in record.revisions.items():
        if sha256 in stored:
            drawn = np.argwhere(found.load(stored[sha256]).label_map.array == 2)
            if stored[sha256].origin.author != author or set(drawn[:, 1].tolist()) != {number}:
                mixed.append(sha256)
    strokes_lost = sum(
        max(0, count - read_draft(found.layout, DraftKey(case_id, author)).saves)
        for (case_id, author), count in record.strokes.items()
    )
    return {
        "acknowledged_revisions": len(record.revisions),
        "stored_revisions": checked,
        "lost_revisions": len(lost),
        "mixed_revisions": len(mixed),
        "lost_strokes": strokes_lost,
    }


def _train(api: httpx.Client, workspace: Workspace) -> str:
    case = workspace.cases()[0]
    shape = case.geometry.shape
    array = np.zeros((shape[0], shape[1], 1), dtype=np.uint8)
    array[shape[0] // 4 : shape[0] // 2, shape[1] // 4 : shape[1] // 2] = 1
    patch = Patch(Box((0, 0, 1), (shape[0], shape[1], 2)), array).to_json()
    who = {"author": "first"}
    api.put(
        f"cases/{case.id}/annotation", params=who, headers={"If-Match": "*"},
        json={"patches": [patch]},
    ).raise_for_status()  # fmt: skip
    wanted = {"steps": ["train"], "minutes": 60}
    return str(api.post("jobs", params=who, json=wanted).raise_for_status().json()["id"])


def _workspace(folder: Path, count: int, shape: tuple[int, int, int]) -> Workspace:
    geometry = Geometry.from_affine(shape, np.diag([0.8, 0.8, 2.0, 1.0]))
    labels = LabelTable.from_names("organ", "mark")
    workspace = Workspace.create(folder / "study", "load", labels, "load")
    for number in range(count):
        noise = np.random.default_rng(number).integers(-1000, 1000, size=shape, dtype=np.int16)
        write_volume(folder / "scans" / f"case_{number:02d}.nii.gz", Volume(noise, geometry))
    add(workspace, folder / "scans")
    return workspace


def _box(shape: tuple[int, int, int], index: int) -> str:
    first, last = max(0, index - 4), min(shape[2], index + 5)
    return f"0,0,{first},{shape[0]},{shape[1]},{last}"


def _summary(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    rank = [ordered[min(len(ordered) - 1, math.ceil(q * len(ordered)) - 1)] for q in (0.5, 0.99)]
    return {
        "n": len(ordered),
        "p50": round(1000 * rank[0], 1),
        "p99": round(1000 * rank[1], 1),
        "max": round(1000 * ordered[-1], 1),
    }


if __name__ == "__main__":
    main()
