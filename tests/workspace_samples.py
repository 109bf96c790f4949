"""Small workspaces on oblique phantoms, and a look at all of a workspace's content at once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.active.query import Query
from voxloop.io.formats import write_label_map, write_volume
from voxloop.volume.boxes import Box
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelArray, LabelMap, Volume
from voxloop.workspace.actions.add import add
from voxloop.workspace.queries import StoredQuery, put_queries
from voxloop.workspace.rounds import RoundStage, advance_round, begin_round
from voxloop.workspace.staging import open_staging
from voxloop.workspace.store import TABLES
from voxloop.workspace.workspace import Workspace

LABELS = LabelTable.from_names("liver", "spleen")
GEOMETRY = oblique_geometry(shape=(10, 12, 7))
SLICE_AXIS = 2


def write_scans(folder: Path, *case_ids: str) -> Path:
    for number, case_id in enumerate(case_ids):
        array = np.random.default_rng(number).normal(size=GEOMETRY.shape).astype(np.float32)
        write_volume(folder / f"{case_id}.nii.gz", Volume(array, GEOMETRY))
    return folder


def make_workspace(folder: Path, *case_ids: str) -> Workspace:
    workspace = Workspace.create(folder / "project", "phantoms", LABELS, "tester")
    if case_ids:
        add(workspace, write_scans(folder / "scans", *case_ids))
    return workspace


def organ() -> LabelArray:
    """A liver with a spleen of one voxel, in slices 2 to 4."""
    array: LabelArray = ellipsoid_mask(GEOMETRY, (3.0, 4.0, 3.0)).astype(np.uint8)
    array[0, 0, 3] = 2
    return array


def deliver(folder: Path, case_id: str, array: LabelArray) -> Path:
    write_label_map(folder / f"{case_id}.nii.gz", LabelMap(array, GEOMETRY, LABELS))
    return folder


def ask(workspace: Workspace, *regions: tuple[str, Box]) -> None:
    """Begin a round and ask for these regions."""
    number = begin_round(workspace.layout, seed=1, strategy="strided", annotations=()).number
    advance_round(workspace.layout, number, RoundStage.QUERYING)
    stored = [
        StoredQuery(n, Query(case_id, region, 0.5, "strided", "it was its turn", 60.0, "seconds"))
        for n, (case_id, region) in enumerate(regions, start=1)
    ]
    with open_staging(workspace.layout) as staging, staging.commit("suggest", "") as commit:
        put_queries(commit, workspace.layout, number, stored)
    advance_round(workspace.layout, number, RoundStage.ANNOTATING)


def content(workspace: Workspace) -> dict[str, str]:
    """Every file with its hash; of the catalogue the documents, since its pages may move."""
    documents = repr([workspace.store.documents(table) for table in TABLES])
    found = {"catalogue": documents}
    for path in sorted(workspace.root.rglob("*")):
        if path.is_file() and not path.name.startswith("catalogue.sqlite"):
            name = path.relative_to(workspace.root).as_posix()
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
