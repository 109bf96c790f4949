"""Hand out what is asked for as files, for any editor."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from voxloop import __version__
from voxloop.compute.atomic import write_json, write_text
from voxloop.compute.memory import format_bytes
from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.dataset.load import read_case_channels
from voxloop.errors import DataError, LimitError, UsageError
from voxloop.io.formats import write_label_map, write_volume
from voxloop.io.segments import SEGMENTATION_SUFFIX, write_segmentation
from voxloop.volume.volume import Volume
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.clock import utc_now
from voxloop.workspace.packs.document import PACK_FILE, Pack, PackedQuery
from voxloop.workspace.packs.readme import itksnap_labels, pack_readme, query_readme
from voxloop.workspace.predictions import file_sha256
from voxloop.workspace.proposals import proposal_of
from voxloop.workspace.queries import StoredQuery, queries_of
from voxloop.workspace.rounds import NEXT_STEPS, RoundStage, current_round, read_round
from voxloop.workspace.workspace import Workspace

__all__ = ["PACK_FORMATS", "PackFormat", "PackResult", "pack"]

PackFormat = Literal["nifti", "nrrd"]

PACK_FORMATS: tuple[PackFormat, ...] = get_args(PackFormat)
"""`nrrd` gives 3D Slicer the labels by name and colour; everything reads `nifti`."""


@dataclass(frozen=True)
class PackResult:
    """What `pack` wrote.

    Attributes:
        folder: of the packs.
        pack: what is in it.
        next_step: what to do now, in words.
    """

    folder: Path
    pack: Pack
    next_step: str

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {
            "folder": str(self.folder),
            "round": self.pack.round,
            "queries": [
                {"number": q.number, "case": q.case_id, "folder": q.folder, "proposal": q.source}
                for q in self.pack.queries
            ],
            "next": self.next_step,
        }


def pack(
    workspace: Workspace,
    folder: Path,
    *,
    form: PackFormat = "nifti",
    round_number: int | None = None,
    progress: ProgressSink = silent,
) -> PackResult:
    """Write a folder for each open query: image, proposal, what to label, and how.

    The images are written anew, so that nothing but voxels and grid leaves with them. Queries of
    one case share their image where the disk knows hard links.

    Args:
        workspace: with open queries.
        folder: absent or empty.
        form: of the files.
        round_number: whose queries; the current round's if not given.
        progress: told about each query.

    Raises:
        UsageError: if no query is open, the folder holds anything, or the form is unknown.
        DataError: if a scan was changed or is bad.
        LimitError: if the files would not fit on the disk, or a case into memory.
        StorageError: if the disk refuses.
    """
    if form not in PACK_FORMATS:
        raise UsageError(f"unknown format {form!r}: choose one of {', '.join(PACK_FORMATS)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} holds something already; name a new or empty folder")
    number, queries = _open_queries(workspace, round_number)
    records = {q.query.case_id: workspace.case(q.query.case_id) for q in queries}
    changes = [change for r in records.values() for change in r.changes(workspace.layout)]
    if changes:
        raise DataError(changes)
    _require_space(folder, records.values())
    packer = _Packer(workspace, folder, form)
    packed = []
    for done, stored in enumerate(queries):
        progress(Progress("packing", done, len(queries), stored.query.case_id))
        packed.append(packer.write(stored, records[stored.query.case_id], progress))
    progress(Progress("packing", len(queries), len(queries)))
    labels = workspace.labels.to_json()
    document = Pack(workspace.name, number, labels, utc_now(), __version__, tuple(packed))
    write_text(folder / "readme.txt", pack_readme(document))
    write_json(folder / PACK_FILE, document.to_json())  # last: without it the folder is no pack
    step = f"label what each readme.txt asks for, then run `voxloop collect {folder}`"
    return PackResult(folder, document, step)


@dataclass(frozen=True)
class _Packer:
    """Writes the folders of queries."""

    workspace: Workspace
    folder: Path
    form: PackFormat
    first: dict[str, Path] = field(default_factory=dict)
    """The first folder of each case."""

    def write(self, stored: StoredQuery, record: CaseRecord, progress: ProgressSink) -> PackedQuery:
        """Write one query's folder."""
        query, suffix = stored.query, ".nrrd" if self.form == "nrrd" else ".nii.gz"
        place = self.folder / f"q{stored.number:03d}_{record.id}"
        place.mkdir(parents=True, exist_ok=True)
        images = self._images(record, place, suffix)
        mask = np.zeros(record.geometry.shape, dtype=np.uint8)
        mask[query.region.slices] = 1
        mask_name = f"label_here{suffix}"
        write_volume(place / mask_name, Volume(mask, record.geometry))
        proposal = proposal_of(self.workspace, record, progress)
        labels_name = f"labels{SEGMENTATION_SUFFIX if self.form == 'nrrd' else suffix}"
        if self.form == "nrrd":
            write_segmentation(place / labels_name, proposal.label_map)
        else:
            write_label_map(place / labels_name, proposal.label_map)
        packed = PackedQuery(
            number=stored.number,
            folder=place.name,
            case_id=record.id,
            region=query.region,
            geometry=record.geometry,
            reason=query.reason,
            scans=tuple(scan.sha256 for _, scan in record.channels),
            images=images,
            mask=mask_name,
            labels=labels_name,
            started=proposal.sha256,
            source=proposal.source,
            files={name: file_sha256(place / name) or "" for name in (*images, mask_name)},
        )
        write_text(place / "labels_itksnap.txt", itksnap_labels(self.workspace.labels))
        write_text(place / "readme.txt", query_readme(packed, self.workspace.labels))
        return packed

    def _images(self, record: CaseRecord, place: Path, suffix: str) -> tuple[str, ...]:
        count = len(record.channels)
        names = tuple(
            f"image{suffix}" if count == 1 else f"image_{number:04d}{suffix}"
            for number in range(count)
        )
        if record.id in self.first:
            for name in names:
                _link(self.first[record.id] / name, place / name)
            return names
        self.first[record.id] = place
        volumes = read_case_channels(record.case(self.workspace.layout))
        for name, volume in zip(names, volumes, strict=True):
            write_volume(place / name, Volume(volume.array, record.geometry))
        return names


def _open_queries(
    workspace: Workspace, round_number: int | None
) -> tuple[int, tuple[StoredQuery, ...]]:
    latest = current_round(workspace.layout)
    if latest is None:
        raise UsageError("nothing was asked for yet; run `voxloop suggest` first")
    record = latest if round_number is None else read_round(workspace.layout, round_number)
    queries = tuple(q for q in queries_of(workspace.layout, record.number) if q.is_open)
    if not queries or record.stage is not RoundStage.ANNOTATING:
        step = NEXT_STEPS[latest.stage]
        raise UsageError(f"round {record.number} has no open query; {step}")
    return record.number, queries


def _require_space(folder: Path, records: Collection[CaseRecord]) -> None:
    needed = sum(scan.size for record in records for _, scan in record.channels)
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise LimitError(
            f"the packs need about {format_bytes(needed)}, {format_bytes(free)} are free; free "
            "some space or choose another folder"
        )


def _link(source: Path, target: Path) -> None:
    with contextlib.suppress(OSError):
        os.link(source, target)
        return
    shutil.copyfile(source, target)
