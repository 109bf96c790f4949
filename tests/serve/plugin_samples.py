"""A small workspace with a model and open queries, and a real server for it on loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.active.query import Query
from voxloop.compute.atomic import write_bytes
from voxloop.io.formats import write_label_map, write_volume
from voxloop.serve.settings import ServeSettings
from voxloop.volume.boxes import Box
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelArray, LabelMap, Volume
from voxloop.workspace.actions.add import add
from voxloop.workspace.actions.checked_delivery import CollectOptions
from voxloop.workspace.actions.collect import collect
from voxloop.workspace.delivery import LookedAt
from voxloop.workspace.proposals import prediction_file
from voxloop.workspace.queries import StoredQuery, put_queries
from voxloop.workspace.rounds import RoundStage, advance_round, begin_round
from voxloop.workspace.staging import open_staging
from voxloop.workspace.workspace import Workspace

GEOMETRY = oblique_geometry((16, 18, 10), flips=(True, False, False))
LABELS = LabelTable({2: "liver", 5: "spleen", 9: "gallbladder"})
CASES = ("one", "two", "three")
ASKED = {"two": (4, 6), "three": (5,)}
"""Slices of the open queries, by case."""


def reference(shift: int = 0) -> LabelArray:
    """Three organs; none of them mirrors another."""
    array = np.zeros(GEOMETRY.shape, dtype=np.uint8)
    array[ellipsoid_mask(GEOMETRY, (5.0, 6.0, 8.0), (-2.0, 1.0, 0.0))] = 2
    array[ellipsoid_mask(GEOMETRY, (2.0, 2.0, 6.0), (5.0, 0.0, 0.0))] = 5
    array[3, 4, 3:8] = 9
    return np.roll(array, shift, axis=1)


def make_study(folder: Path, *, train_steps: int = 0) -> Workspace:
    """Three scans, one of them labelled, and queries for the others.

    Its model is of so many steps; of none, it is an empty file, and `foresee` says what it says.
    """
    workspace = Workspace.create(folder / "study", "plugin study", LABELS, "tester")
    for number, case_id in enumerate(CASES):
        noise = np.random.default_rng(number).normal(0, 0.2, GEOMETRY.shape)
        scan = Volume((reference() + noise).astype(np.float32), GEOMETRY)
        write_volume(folder / "scans" / f"{case_id}.nii.gz", scan)
    add(workspace, folder / "scans", copy=True)
    write_label_map(folder / "one.nii.gz", LabelMap(reference(), GEOMETRY, LABELS))
    collect(workspace, folder / "one.nii.gz", CollectOptions(looked_at=LookedAt.ALL))
    if train_steps:
        from voxloop.train.config import TrainConfig
        from voxloop.workspace.actions.train import train

        train(workspace, TrainConfig(steps=train_steps))
    else:
        begin_round(workspace.layout, seed=0, strategy="", annotations=())
        advance_round(workspace.layout, 0, RoundStage.TRAINING)
        advance_round(workspace.layout, 0, RoundStage.SCORED)
        write_bytes(workspace.layout.member_folder(0, 0) / "model.safetensors", b"")
    ask(workspace)
    return workspace


def ask(workspace: Workspace) -> None:
    """Let the round ask for slices of two cases."""
    regions = [
        (case_id, Box.slice_at(GEOMETRY.shape, 2, n)) for case_id, ns in ASKED.items() for n in ns
    ]
    latest = workspace.current_round()
    assert latest is not None
    advance_round(workspace.layout, latest.number, RoundStage.QUERYING)
    stored = [
        StoredQuery(n, Query(case_id, region, 0.5, "strided", "it was its turn", 9.0, "seconds"))
        for n, (case_id, region) in enumerate(regions, start=1)
    ]
    with open_staging(workspace.layout) as staging, staging.commit("suggest", "") as commit:
        put_queries(commit, workspace.layout, latest.number, stored)
    advance_round(workspace.layout, latest.number, RoundStage.ANNOTATING)


def foresee(workspace: Workspace, case_id: str, array: LabelArray) -> None:
    """Let the model have said this of a case."""
    path = prediction_file(workspace, workspace.case(case_id))
    assert path is not None
    write_label_map(path, LabelMap(array, GEOMETRY, LABELS))


@contextlib.contextmanager
def served(workspace: Workspace, token: str | None = None) -> Iterator[str]:
    """A real server in a thread; gives its address, without a slash at the end."""
    import uvicorn

    from voxloop.serve.app import create_app

    settings = ServeSettings(port=0, token=token)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        config = uvicorn.Config(
            create_app(workspace, settings), log_level="error", http="h11", ws="none"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield settings.url(bound.getsockname()[1]).rstrip("/")
        finally:
            server.should_exit = True
            thread.join(10)
