"""A server on a small oblique workspace, spoken to without a network."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2 as httpx
import nibabel as nib
import numpy as np
import numpy.typing as npt
from starlette.testclient import TestClient

from voxloop.report.outcome import CaseOutcome
from voxloop.serve.app import create_app
from voxloop.serve.settings import ServeSettings
from voxloop.volume.boxes import Box
from voxloop.volume.runs import Patch
from voxloop.volume.volume import LabelArray, LabelMap
from voxloop.workspace.predictions import PredictionFolder
from voxloop.workspace.proposals import prediction_file
from voxloop.workspace.workspace import Workspace
from workspace_samples import GEOMETRY, LABELS, SLICE_AXIS

TOKEN = "test-token-0123456789"  # noqa: S105 # opens nothing but the servers of tests
BASE = f"http://127.0.0.1:8571/t/{TOKEN}/api/v1/"


def slice_box(index: int) -> Box:
    return Box.slice_at(GEOMETRY.shape, SLICE_AXIS, index)


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


def stand_in(workspace: Workspace) -> None:
    """A file where a round's model lies."""
    model = workspace.layout.member_folder(0, 0) / "model.safetensors"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"stands in for a model")


def propose(workspace: Workspace, array: LabelArray, outcome: CaseOutcome) -> None:
    """Write what the newest model says of a case, as its pass does."""
    path = prediction_file(workspace, workspace.case(outcome.id))
    assert path is not None
    folder = PredictionFolder(path.parent, "plain", LABELS)
    folder.write(LabelMap(array, GEOMETRY, LABELS), outcome, {})


@contextmanager
def serving(workspace: Workspace, **settings: Any) -> Iterator[httpx.Client]:
    """A client whose relative addresses are those of the API."""
    chosen = ServeSettings(**{"token": TOKEN, **settings})
    app = create_app(workspace, chosen)
    base = f"http://127.0.0.1:8571{chosen.base_path}/api/v1/"
    with TestClient(app, base_url=base, raise_server_exceptions=True) as client:
        yield client
