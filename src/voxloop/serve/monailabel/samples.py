"""The next sample: which scan, which part of it, and a copy of the scan to draw on."""

from __future__ import annotations

import contextlib
import functools
import re
import time
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.exceptions import HTTPException

from voxloop.io.formats import read_volume, write_volume
from voxloop.serve.monailabel.common import ImageId, WorkspaceDep, author_of
from voxloop.serve.monailabel.information import STRATEGIES, completed_cases
from voxloop.volume.volume import Volume
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.leases import LeasedError, QueryKey, hold, leases_of, release
from voxloop.workspace.predictions import file_sha256
from voxloop.workspace.queries import StoredQuery
from voxloop.workspace.rounds import RoundStage
from voxloop.workspace.workspace import Workspace

__all__ = ["checksum", "image_copy", "next_sample", "open_for", "router", "sample_name"]

_ATTEMPTS = 5
_LEASE_S = 3600.0
"""Longer than on the page, since the plugin says nothing while somebody draws."""

_NAMED = 4
"""So many slices are named in a sample's file name."""

router = APIRouter(tags=["MONAI Label"])


@router.post("/activelearning/{strategy}")
def next_sample(
    strategy: str,
    workspace: WorkspaceDep,
    params: Annotated[dict[str, Any] | None, Body()] = None,
) -> dict[str, Any]:
    """The next scan to label and what of it; an empty document if there is nothing to do."""
    if strategy not in STRATEGIES:
        raise HTTPException(404, f"the strategies are {', '.join(STRATEGIES)}")
    author = author_of(params or {})
    whole = strategy == "whole_scan"
    image, queries = (_unannotated(workspace), ()) if whole else _asked(workspace, author)
    if image is None:
        return {}
    record = workspace.case(image.case_id)
    copy = image_copy(workspace, record)
    shown = [_shown(query) for query in queries]
    now = int(time.time())
    return {
        "id": str(image),
        "name": sample_name(workspace, record, copy, queries),
        "checksum": f"SHA256:{checksum(copy)}",
        "labels": list(workspace.labels.by_name),
        "queries": shown,
        "asked": "; ".join(q["words"] for q in shown) or "the whole scan",
        "ts": now,
        "strategy": {strategy: {"ts": now, "client_id": author}},
    }


def open_for(workspace: Workspace, case_id: str, author: str) -> tuple[int, list[StoredQuery]]:
    """Round and open queries of a case that nobody else works on."""
    latest = workspace.current_round()
    if latest is None or latest.stage is not RoundStage.ANNOTATING:
        return -1, []
    leases = leases_of(workspace.layout, latest.number)
    return latest.number, [
        q
        for q in workspace.open_queries()
        if q.query.case_id == case_id
        and (q.number not in leases or leases[q.number].author == author)
    ]


def image_copy(workspace: Workspace, record: CaseRecord, channel: int = 0) -> Path:
    """A NIfTI file of a scan with nothing in it but voxels and grid.

    Raises:
        DataError: if the scan was changed or is bad.
    """
    _, scan = record.channels[channel]
    path = workspace.layout.cache / "monailabel" / f"{scan.sha256[:32]}.nii"
    if not path.exists():
        source = read_volume(workspace.layout.root / scan.path)
        write_volume(path, Volume(source.array, record.geometry))
    return path


def checksum(path: Path) -> str:
    """SHA-256 of a file, computed once."""
    status = path.stat()
    return _checksum(path, status.st_mtime_ns, status.st_size)


def sample_name(
    workspace: Workspace, record: CaseRecord, copy: Path, queries: tuple[StoredQuery, ...] = ()
) -> str:
    """A file name that says what to label and that no other content ever has.

    The plugin keeps files by name: under a name that comes again it shows what it has.
    """
    words = [_slice_word(query) for query in queries]
    more = len(words) - _NAMED
    asked = "-".join([*words[:_NAMED], *([f"and-{more}-more"] if more > 0 else [])])
    about = re.sub(r"[^A-Za-z0-9]+", "-", workspace.name).strip("-")[:24]
    parts = (record.id, f"label-{asked}" if asked else "", about, checksum(copy)[:10])
    return "_".join(part for part in parts if part) + ".nii"


def _asked(workspace: Workspace, author: str) -> tuple[ImageId | None, tuple[StoredQuery, ...]]:
    """The most wanted case with a query that is free, and all of its free queries, leased.

    Whoever asks again without having answered gets another one first.
    """
    layout = workspace.layout
    for _ in range(_ATTEMPTS):
        latest = workspace.current_round()
        if latest is None or latest.stage is not RoundStage.ANNOTATING:
            return None, ()
        leases = leases_of(layout, latest.number)
        mine = {number for number, lease in leases.items() if lease.author == author}
        stored = workspace.open_queries()
        order = [
            *(q for q in stored if q.number not in leases),
            *(q for q in stored if q.number in mine),
        ]
        if not order:
            return None, ()
        case_id = order[0].query.case_id
        held = []
        for query in sorted(order, key=lambda q: q.number):
            if query.query.case_id == case_id:
                with contextlib.suppress(LeasedError):
                    hold(layout, QueryKey(latest.number, query.number), author, _LEASE_S)
                    held.append(query)
        for number in mine - {query.number for query in held}:
            release(layout, QueryKey(latest.number, number), author)
        if held:
            return ImageId(case_id), tuple(held)
    return None, ()


def _unannotated(workspace: Workspace) -> ImageId | None:
    done = set(completed_cases(workspace))
    left = (record.id for record in workspace.cases() if record.id not in done)
    return next((ImageId(case_id, whole=True) for case_id in left), None)


def _shown(stored: StoredQuery) -> dict[str, Any]:
    region, axis = stored.query.region, stored.query.region.slice_axis
    spans = " x ".join(
        f"{'ijk'[a]} {n}-{m - 1}" if m - n > 1 else f"{'ijk'[a]} {n}"
        for a, (n, m) in enumerate(zip(region.start, region.stop, strict=True))
    )
    words = f"the box {spans}" if axis is None else f"slice {'ijk'[axis]} = {region.start[axis]}"
    return {
        "number": stored.number,
        "region": region.to_json(),
        "axis": axis,
        "words": words,
        "reason": stored.query.reason,
    }


def _slice_word(stored: StoredQuery) -> str:
    region = stored.query.region
    axis = region.slice_axis
    return f"box{stored.number}" if axis is None else f"{'ijk'[axis]}{region.start[axis]}"


@functools.lru_cache(maxsize=4096)
def _checksum(path: Path, _modified_ns: int, _size: int) -> str:
    return file_sha256(path) or ""
