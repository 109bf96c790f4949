"""A server on a small oblique workspace, spoken to without a network."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import nibabel as nib
import numpy as np
import numpy.typing as npt
from starlette.testclient import TestClient

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.active.query import Query
from voxloop.io.formats import write_volume
from voxloop.serve.app import create_app
from voxloop.serve.settings import ServeSettings
from voxloop.volume.boxes import Box
from voxloop.volume.labels import LabelTable
from voxloop.volume.runs import Patch
from voxloop.volume.volume import LabelArray, Volume
from voxloop.workspace.actions.add import add
from voxloop.workspace.queries import StoredQuery, put_queries
from voxloop.workspace.rounds import RoundStage, advance_round, begin_round
from voxloop.workspace.staging import open_staging
from voxloop.workspace.workspace import Workspace

TOKEN = "test-token-0123456789"  # noqa: S105 # opens nothing but the servers of tests
BASE = f"http://127.0.0.1:8571/t/{TOKEN}/api/v1/"
GEOMETRY = oblique_geometry(shape=(10, 12, 7))
LABELS = LabelTable.from_names("liver", "spleen")
AXIS = 2


def make_workspace(folder: Path, *case_ids: str) -> Workspace:
    workspace = Workspace.create(folder / "project", "phantoms", LABELS, "tester")
    for number, case_id in enumerate(case_ids):
        array = np.random.default_rng(number).normal(size=GEOMETRY.shape).astype(np.float32)
        write_volume(folder / "scans" / f"{case_id}.nii.gz", Volume(array, GEOMETRY))
    add(workspace, folder / "scans")
    return workspace


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


def slice_box(index: int) -> Box:
    return Box.slice_at(GEOMETRY.shape, AXIS, index)


def organ() -> LabelArray:
    """A liver with a spleen of one voxel, in slices 2 to 4."""
    array: LabelArray = ellipsoid_mask(GEOMETRY, (3.0, 4.0, 3.0)).astype(np.uint8)
    array[0, 0, 3] = 2
    return array


def slice_patch(array: LabelArray, index: int) -> dict[str, list[int]]:
    box = slice_box(index)
    return Patch(box, array[box.slices]).to_json()


def nifti(array: npt.NDArray[Any], matrix: npt.NDArray[Any] | None = None) -> bytes:
    image = nib.nifti1.Nifti1Image(array, GEOMETRY.matrix if matrix is None else matrix)
    return gzip.compress(image.to_bytes())


def read_nifti(content: bytes) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    raw = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    image = nib.nifti1.Nifti1Image.from_bytes(raw)
    return np.asarray(image.dataobj), np.asarray(image.affine)


@contextmanager
def serving(workspace: Workspace, **settings: Any) -> Iterator[httpx.Client]:
    """A client whose relative addresses are those of the API."""
    chosen = ServeSettings(**{"token": TOKEN, **settings})
    app = create_app(workspace, chosen)
    base = f"http://127.0.0.1:8571{chosen.base_path}/api/v1/"
    with TestClient(app, base_url=base, raise_server_exceptions=True) as client:
        yield client
