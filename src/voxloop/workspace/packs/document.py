"""`pack.json`: what a folder of query packs holds, for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxloop.errors import DataError, Problem
from voxloop.volume.boxes import Box
from voxloop.volume.geometry import Geometry
from voxloop.workspace.documents import read_document, read_record

__all__ = ["PACK_FILE", "Pack", "PackedQuery", "read_pack"]

PACK_FILE = "pack.json"
"""Makes a folder one of query packs."""

_FORMAT = "voxloop-pack-1"


@dataclass(frozen=True)
class PackedQuery:
    """One query's folder.

    Attributes:
        number: of the query within its round.
        folder: name of its folder.
        case_id: the case.
        region: what is to be labelled.
        geometry: the grid of all of its files.
        reason: why it is asked for, in words.
        scans: hashes of the scan's files as they were when it was added.
        images: names of the images; one for each channel.
        mask: name of the file that is 1 where to label.
        labels: name of the label map to edit, which holds the proposal at first.
        started: hash of the proposal's voxels.
        source: where the proposal comes from, in words.
        files: hashes of image and mask files, by name.
    """

    number: int
    folder: str
    case_id: str
    region: Box
    geometry: Geometry
    reason: str
    scans: tuple[str, ...]
    images: tuple[str, ...]
    mask: str
    labels: str
    started: str
    source: str
    files: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """The record as a document."""
        return {
            "number": self.number,
            "folder": self.folder,
            "case_id": self.case_id,
            "region": self.region.to_json(),
            "shape": list(self.geometry.shape),
            "affine": [list(row) for row in self.geometry.affine],
            "reason": self.reason,
            "scans": list(self.scans),
            "images": list(self.images),
            "mask": self.mask,
            "labels": self.labels,
            "proposal": {"sha256": self.started, "source": self.source},
            "files": dict(self.files),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> PackedQuery:
        """Read what `to_json` wrote."""
        plain = ("number", "folder", "case_id", "reason", "mask", "labels", "files")
        return cls(
            **{key: document[key] for key in plain},
            region=Box.from_json(document["region"]),
            geometry=Geometry.from_affine(document["shape"], document["affine"]),
            scans=tuple(document["scans"]),
            images=tuple(document["images"]),
            started=document["proposal"]["sha256"],
            source=document["proposal"]["source"],
        )


@dataclass(frozen=True)
class Pack:
    """A folder of query packs.

    Attributes:
        workspace: the workspace's name.
        round: the round that asks.
        labels: name to value.
        created: UTC, ISO 8601.
        version: of the program that wrote it.
        queries: each query's folder, in the round's order.
    """

    workspace: str
    round: int
    labels: Mapping[str, int]
    created: str
    version: str
    queries: tuple[PackedQuery, ...]

    def to_json(self) -> dict[str, Any]:
        """The record as a document."""
        return {
            "format": _FORMAT,
            "workspace": self.workspace,
            "round": self.round,
            "labels": dict(self.labels),
            "not_looked_at": 255,
            "created": self.created,
            "version": self.version,
            "queries": [query.to_json() for query in self.queries],
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Pack:
        """Read what `to_json` wrote."""
        plain = ("workspace", "round", "labels", "created", "version")
        queries = tuple(PackedQuery.from_json(query) for query in document["queries"])
        return cls(**{key: document[key] for key in plain}, queries=queries)


def read_pack(folder: Path) -> Pack:
    """What a folder of query packs says that it holds.

    Raises:
        DataError: if its `pack.json` is damaged, of a later version, or names other folders.
    """
    path = folder / PACK_FILE
    document = read_document(path)
    found = document.get("format") if isinstance(document, dict) else None
    if found != _FORMAT:
        remedy = "take the file from the pack again, or update Voxloop"
        raise DataError(Problem(str(path), f"the format {_FORMAT!r}", repr(found), remedy))
    pack = read_record(path, Pack.from_json)
    for query in pack.queries:
        names = (query.folder, *query.images, query.mask, query.labels)
        strange = [name for name in names if Path(name).name != name or name in {"", ".", ".."}]
        if strange:
            remedy = "take the file from the pack again"
            raise DataError(
                Problem(str(path), "names of files in the pack", repr(strange[0]), remedy)
            )
    return pack
