"""The record of a case in a workspace: where its scans lie and whether they are still the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxloop.dataset.case import Case
from voxloop.errors import Problem
from voxloop.volume.geometry import Geometry
from voxloop.workspace.layout import Layout

__all__ = ["CaseRecord", "ScanFile"]

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class ScanFile:
    """One channel's file, as it was when the case was added.

    Attributes:
        path: absolute, or relative to the workspace's folder.
        size: bytes.
        modified_ns: time of the last change, in nanoseconds since 1970.
        sha256: of the whole file.
    """

    path: str
    size: int
    modified_ns: int
    sha256: str

    @classmethod
    def of(cls, file: Path, stored_as: str) -> ScanFile:
        """Describe a file that is there."""
        status = file.stat()
        digest = hashlib.sha256()
        with file.open("rb") as handle:
            while block := handle.read(_BLOCK_BYTES):
                digest.update(block)
        return cls(stored_as, status.st_size, status.st_mtime_ns, digest.hexdigest())

    def to_json(self) -> dict[str, Any]:
        """The fields as a document."""
        return {
            "path": self.path,
            "size": self.size,
            "modified_ns": self.modified_ns,
            "sha256": self.sha256,
        }


@dataclass(frozen=True)
class CaseRecord:
    """A case of a workspace.

    Attributes:
        id: as in the data set it came from.
        channels: name and file of each channel, in order.
        geometry: the grid all channels share, and annotations must have.
        slice_axis: the array axis across which people look at slices.
        added: UTC, ISO 8601.
    """

    id: str
    channels: tuple[tuple[str, ScanFile], ...]
    geometry: Geometry
    slice_axis: int
    added: str

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels, in order."""
        return tuple(name for name, _ in self.channels)

    @property
    def slice_count(self) -> int:
        """Slices across `slice_axis`."""
        return self.geometry.shape[self.slice_axis]

    def case(self, layout: Layout) -> Case:
        """The case with the paths of its scans, for reading; files are not looked at."""
        return Case(self.id, tuple(layout.root / scan.path for _, scan in self.channels))

    def changes(self, layout: Layout) -> tuple[Problem, ...]:
        """What has happened to the scans since the case was added; empty if nothing did.

        A file is read only if its size or time of change differ from what was recorded.
        """
        return tuple(p for _, scan in self.channels if (p := self._change(layout, scan)))

    def _change(self, layout: Layout, scan: ScanFile) -> Problem | None:
        path = layout.root / scan.path
        where = f'case "{self.id}", {path}'
        try:
            status = path.stat()
            if (status.st_size, status.st_mtime_ns) == (scan.size, scan.modified_ns):
                return None
            found = ScanFile.of(path, scan.path)
        except OSError as error:
            remedy = "bring the file back, or mount the disk it lies on"
            return Problem(where, "the scan that was added", str(error.strerror), remedy)
        if found.sha256 == scan.sha256:
            return None
        remedy = "bring the original back; add a changed scan as a new case"
        return Problem(where, "the scan that was added", "a file of other content", remedy)

    def to_json(self) -> dict[str, Any]:
        """The record as a document."""
        return {
            "id": self.id,
            "channels": [{"name": name, **scan.to_json()} for name, scan in self.channels],
            "shape": list(self.geometry.shape),
            "affine": [list(row) for row in self.geometry.affine],
            "slice_axis": self.slice_axis,
            "added": self.added,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> CaseRecord:
        """Read what `to_json` wrote."""
        channels = tuple(
            (c["name"], ScanFile(c["path"], c["size"], c["modified_ns"], c["sha256"]))
            for c in document["channels"]
        )
        geometry = Geometry.from_affine(document["shape"], document["affine"])
        return cls(document["id"], channels, geometry, document["slice_axis"], document["added"])
