"""What stands beside files of surfaces: the way back to the scan, and what was checked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from voxloop.compute.atomic import write_json
from voxloop.mesh.certificate.certify import Certificate
from voxloop.mesh.formats.written import Written
from voxloop.mesh.part import Part
from voxloop.volume.geometry import Geometry

__all__ = ["SIDECAR_VERSION", "sidecar_document", "write_sidecar"]

SIDECAR_VERSION = 1


def write_sidecar(path: Path, document: Mapping[str, Any]) -> None:
    """Write what `sidecar_document` made, atomically.

    Raises:
        StorageError: if the disk refuses; what was there before is unchanged.
    """
    write_json(path, document)


def sidecar_document(
    source: str,
    geometry: Geometry,
    parts: Sequence[Part],
    written: Sequence[Written],
    *,
    certificates: Mapping[str, Certificate] | None = None,
    alterations: Mapping[str, Sequence[Any]] | None = None,
) -> dict[str, Any]:
    """Say what lies in the files, where it lies in the scan, and how true it is.

    Nothing in it comes from a scan's header but the grid, so it names no patient unless the
    caller's `source` does.

    Args:
        source: the case's identifier, as the caller wants it to be known.
        geometry: grid of the label map.
        parts: all that was written, each once.
        written: what the writers said; the files are read again for their hashes.
        certificates: by the part's name.
        alterations: by the part's name, what was changed for printing, ready for JSON.
    """
    return {
        "sidecar": "voxloop surfaces",
        "version": SIDECAR_VERSION,
        "source": source,
        "scan": {
            "shape": list(geometry.shape),
            "affine": [list(row) for row in geometry.affine],
            "space": "RAS",
            "unit": "mm",
        },
        "files": [document for each in written for document in _files(each)],
        "parts": [
            {
                "name": part.name,
                "colour": "#" + "".join(f"{level:02x}" for level in part.colour),
                "triangles": len(part.mesh.faces),
                "volume_mm3": part.mesh.volume_mm3,
                "centroid_world_mm": part.mesh.centroid_mm.tolist(),
                "certificate": _certificate(part.name, certificates or {}),
                "alterations": list((alterations or {}).get(part.name, ())),
            }
            for part in parts
        ],
    }


def _certificate(name: str, certificates: Mapping[str, Certificate]) -> dict[str, Any] | None:
    return certificates[name].to_json() if name in certificates else None


def _files(written: Written) -> list[dict[str, Any]]:
    shared = {
        "format": written.format,
        "unit": written.unit,
        "space": written.space,
        "to_world_mm": written.to_world.tolist(),
        "parts": list(written.parts),
        "colour_scale": asdict(written.scale) if written.scale else None,
    }
    return [
        {"name": path.name, "bytes": path.stat().st_size, "sha256": _sha256(path), **shared}
        for path in written.paths
    ]


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
