"""Surfaces of real structures by two readers: the mesh's own error beside the readers' distance.

    python benchmarks/mesh/readers.py DATA/head_neck_readers
    python benchmarks/mesh/readers.py DATA/head_neck_readers --scan 0522c0017

Every structure of every scan is meshed for both readers. For each pair: whether both certificates
pass, how far each mesh lies from its own label map (95th percentile and largest), and how far the
two readers' meshes lie from each other (mean without sign, 95th percentile, largest): what
smoothing costs can be told only beside what people disagree about. Pictures of both readers' meshes
go to .cache/benchmarks/mesh_readers, the figures to benchmarks/results/mesh_readers.json.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from voxloop.compute.atomic import write_bytes, write_json
from voxloop.io.formats import read_label_map
from voxloop.mesh.certificate.certify import Certificate
from voxloop.mesh.certificate.distance import signed_distance_mm, surface_distance
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.surfaces import mesh_label
from voxloop.report.meshes import meshes_png
from voxloop.volume.labels import LabelTable

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provenance import provenance

RESULT = Path(__file__).resolve().parent.parent / "results" / "mesh_readers.json"

PICTURES = RESULT.parents[2] / ".cache" / "benchmarks" / "mesh_readers"

LARGE_ML = 100.0
"""Larger structures get a picture of their own: they hide the others."""

Found = dict[str, tuple[Mesh, Certificate]]


def main() -> None:
    """Mesh, compare, draw and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a folder of scans, of readers, of .nrrd masks")
    parser.add_argument("--scan", action="append", help="this scan only; may be repeated")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    scans = sorted(path for path in given.data.iterdir() if path.is_dir())
    rows: list[dict[str, Any]] = []
    for scan in scans:
        if given.scan and scan.name not in given.scan:
            continue
        readers = sorted(path for path in scan.iterdir() if path.is_dir())
        found = {reader.name: meshed(reader) for reader in readers}
        for reader, surfaces in found.items():
            draw(PICTURES / f"{scan.name}_{reader}", surfaces)
        rows += compared(scan.name, found)
        for row in rows[-len(found[readers[0].name]) :]:
            sys.stdout.write(line(row) + "\n")
    write_json(given.out, {**provenance(__file__), "rows": rows, "summary": summary(rows)})


def meshed(folder: Path) -> Found:
    """The surface and certificate of every mask of a reader."""
    found = {}
    for path in sorted(folder.glob("*.nrrd")):
        start = time.perf_counter()
        label_map = read_label_map(path, LabelTable.from_names(path.stem))
        found[path.stem] = mesh_label(label_map, 1)
        seconds = time.perf_counter() - start
        sys.stderr.write(f"{folder.parent.name} {folder.name} {path.stem}: {seconds:.1f} s\n")
    return found


def compared(scan: str, found: dict[str, Found]) -> list[dict[str, Any]]:
    """One row for each structure that both readers drew."""
    first, second = found.values()
    rows = []
    for name in sorted(first.keys() & second.keys()):
        both = (first[name], second[name])
        meshes, certificates = [mesh for mesh, _ in both], [found for _, found in both]
        apart = surface_distance(meshes[0], meshes[1])
        unsigned = [
            np.abs(signed_distance_mm(one.vertices_mm[one.used_vertices], other)).mean()
            for one, other in (meshes, meshes[::-1])
        ]
        rows.append(
            {
                "scan": scan,
                "structure": name,
                "passed": [each.passed for each in certificates],
                "reasons": [each.reasons for each in certificates],
                "volumes_ml": [each.volume_mm3 / 1000 for each in certificates],
                "volume_change_percent": [each.volume_change_percent for each in certificates],
                "own_p95_mm": [each.distance.p95_mm for each in certificates],
                "own_max_mm": [each.distance.max_mm for each in certificates],
                "own_mean_mm": [each.distance.signed_mean_mm for each in certificates],
                "readers_mean_mm": float(np.mean(unsigned)),
                "readers_p95_mm": apart.p95_mm,
                "readers_max_mm": apart.max_mm,
            }
        )
    return rows


def draw(stem: Path, surfaces: Found) -> None:
    """Pictures of the small and of the large structures."""
    names = LabelTable.from_names(*surfaces)
    for size in ("small", "large"):
        chosen = {
            names.by_name[name]: mesh
            for name, (mesh, certificate) in surfaces.items()
            if (certificate.volume_mm3 > 1000 * LARGE_ML) == (size == "large")
        }
        if chosen:
            write_bytes(Path(f"{stem}_{size}.png"), meshes_png(chosen, names))


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Per structure: how many certificates pass, and medians over scans."""
    found = {}
    for name in sorted({row["structure"] for row in rows}):
        own = [row for row in rows if row["structure"] == name]
        found[name] = {
            "passed": sum(sum(row["passed"]) for row in own),
            "of": 2 * len(own),
            "own_p95_mm": float(np.median([row["own_p95_mm"] for row in own])),
            "readers_p95_mm": float(np.median([row["readers_p95_mm"] for row in own])),
        }
    return found


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    own, most = (max(row[key]) for key in ("own_p95_mm", "own_max_mm"))
    failed = "; ".join(reason for reasons in row["reasons"] for reason in reasons)
    return (
        f"{row['scan']:10} {row['structure']:16} own p95 {own:.2f} max {most:.2f} mm, readers "
        f"mean {row['readers_mean_mm']:.2f} p95 {row['readers_p95_mm']:.2f} max "
        f"{row['readers_max_mm']:.2f} mm {failed or 'both passed'}"
    )


if __name__ == "__main__":
    main()
