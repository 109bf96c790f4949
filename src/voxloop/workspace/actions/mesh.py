"""Make certified surfaces of label maps; works on plain files, without a workspace."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from voxloop.compute.atomic import write_bytes, write_json
from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.dataset.tables import label_map_files, label_table_for
from voxloop.io.formats import read_label_map, strip_suffix
from voxloop.mesh.certify import Certificate
from voxloop.mesh.export import write_stl
from voxloop.mesh.surfaces import mesh_labels
from voxloop.report.meshes import meshes_png
from voxloop.volume.labels import LabelTable

__all__ = ["MeshResult", "certificate_document", "mesh"]

_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")


@dataclass(frozen=True)
class MeshResult:
    """What `mesh` made.

    Attributes:
        certificates: per case, the certificate of each label that is present.
        absent: per case, names of labels without a voxel.
        wrote: surfaces, certificates and pictures.
    """

    certificates: dict[str, tuple[Certificate, ...]]
    absent: dict[str, tuple[str, ...]]
    wrote: tuple[Path, ...]

    @property
    def all_passed(self) -> bool:
        """True if nothing was found against any surface."""
        return all(c.passed for found in self.certificates.values() for c in found)

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {
            "passed": self.all_passed,
            "certificates": {
                case: [certificate_document(c) for c in found]
                for case, found in self.certificates.items()
            },
            "absent": {case: list(names) for case, names in self.absent.items()},
        }


def mesh(
    label_map: Path,
    out: Path,
    *,
    labels: LabelTable | None = None,
    progress: ProgressSink = silent,
) -> MeshResult:
    """Write each label as a binary STL in patient millimetres (LPS), with its certificate.

    Args:
        label_map: a file, or a folder of them.
        out: folder for `<case>_<label>.stl`, `<case>_certificates.json` and a picture.
        labels: the label table; where None it is found as `evaluate` finds it.
        progress: told about each file.

    Raises:
        DataError: if a label map is bad or holds no label.
        StorageError: if the disk refuses.
    """
    files = label_map_files(label_map)
    table, ignore_value = label_table_for(files, labels)
    certificates, absent, wrote = {}, {}, []
    for number, path in enumerate(files, start=1):
        case = strip_suffix(path.name)
        progress(Progress("meshing", number - 1, len(files), case))
        found = read_label_map(path, table, ignore_value=ignore_value)
        made = mesh_labels(found)
        for surface, certificate in made.values():
            stl = out / f"{case}_{_UNSAFE.sub('-', certificate.name)}.stl"
            write_stl(stl, surface)
            wrote.append(stl)
        certificates[case] = tuple(certificate for _, certificate in made.values())
        absent[case] = tuple(name for value, name in table.names.items() if value not in made)
        document = out / f"{case}_certificates.json"
        write_json(document, [certificate_document(c) for c in certificates[case]])
        wrote.append(document)
        if made:
            picture = out / f"{case}_meshes.png"
            write_bytes(picture, meshes_png({v: m for v, (m, _) in made.items()}, table))
            wrote.append(picture)
    progress(Progress("meshing", len(files), len(files)))
    return MeshResult(certificates, absent, tuple(wrote))


def certificate_document(certificate: Certificate) -> dict[str, Any]:
    """A certificate as a JSON-ready document, `passed` first."""
    return {"passed": certificate.passed, **asdict(certificate)}
