"""Make certified surfaces of label maps; works on plain files, without a workspace."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.dataset.tables import label_map_files, label_table_for
from voxloop.errors import DataError, LimitError, Problem
from voxloop.io.formats import read_geometry, read_label_map, read_volume, strip_suffix
from voxloop.mesh.certificate.certify import Certificate
from voxloop.mesh.shop.alteration import Alteration
from voxloop.volume.labels import LabelTable
from voxloop.workspace.mesh_case import make_surfaces, write_surfaces
from voxloop.workspace.mesh_doubt import doubt_files
from voxloop.workspace.mesh_options import MeshOptions, plates

__all__ = ["MeshResult", "mesh"]


@dataclass(frozen=True)
class MeshResult:
    """What `mesh` made.

    Attributes:
        certificates: per case, the certificate of each label that is present.
        absent: per case, names of labels without a voxel.
        wrote: surfaces, certificates, pictures and pages.
        alterations: per case and part, what was changed for the printer.
        warnings: per case, what somebody should know before printing.
        failed: what is wrong with the cases of which nothing was written.
    """

    certificates: dict[str, tuple[Certificate, ...]]
    absent: dict[str, tuple[str, ...]]
    wrote: tuple[Path, ...]
    alterations: dict[str, dict[str, tuple[Alteration, ...]]] = field(default_factory=dict)
    warnings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    failed: tuple[Problem, ...] = ()

    @property
    def all_passed(self) -> bool:
        """True if nothing was found against any surface, and no case failed."""
        certificates = (c for found in self.certificates.values() for c in found)
        return not self.failed and all(c.passed for c in certificates)

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {
            "passed": self.all_passed,
            "certificates": {
                case: [c.to_json() for c in found] for case, found in self.certificates.items()
            },
            "absent": {case: list(names) for case, names in self.absent.items()},
            "alterations": {
                case: {name: [a.to_json() for a in made] for name, made in parts.items()}
                for case, parts in self.alterations.items()
            },
            "failed": [str(problem) for problem in self.failed],
        }


def mesh(
    label_map: Path,
    out: Path,
    *,
    labels: LabelTable | None = None,
    options: MeshOptions | None = None,
    progress: ProgressSink = silent,
) -> MeshResult:
    """Write the surfaces of each label of each case, with certificates, pictures and a page.

    STL files hold one label each, `<case>_<label>.stl`; files of the other formats all labels of
    a case. A case that is bad is left out and named; the others are made.

    Args:
        label_map: a file, or a folder of them.
        out: folder for what is written.
        labels: the label table; where None it is found as `evaluate` finds it.
        options: how; as STL with the default tolerance where None.
        progress: told about each case.

    Raises:
        DataError: if all label maps are bad, no label is found, or a file of uncertainty is
            missing.
        UsageError: if the text of the plate cannot be drawn.
        LimitError: if something is too large; the case is named.
        StorageError: if the disk refuses.
    """
    wanted = options or MeshOptions()
    files = label_map_files(label_map)
    case_ids = {path: strip_suffix(path.name) for path in files}
    made_plates = plates(wanted, case_ids.values())
    sound, failed = _readable(files)
    table, ignore_value = label_table_for(sound, labels)
    doubts = doubt_files(wanted.uncertainty, sound, table)
    certificates, absent, alterations, warnings = {}, {}, {}, {}
    wrote: list[Path] = []
    for number, path in enumerate(sound):
        case_id = case_ids[path]
        progress(Progress("meshing", number, len(sound), case_id))
        try:
            label_map_read = read_label_map(path, table, ignore_value=ignore_value)
            made = make_surfaces(
                case_id,
                label_map_read,
                wanted,
                doubt=[read_volume(file) for file in doubts.get(path, ())],
                plate=made_plates.get(case_id),
            )
        except DataError as error:
            failed += [_of_case(problem, case_id) for problem in error.problems]
            continue
        except LimitError as error:
            raise LimitError(f'case "{case_id}": {error}') from error
        wrote += write_surfaces(made, out, wanted)
        certificates[case_id], absent[case_id] = made.certificates, made.absent
        alterations[case_id], warnings[case_id] = made.alterations, made.warnings
    if not certificates:
        raise DataError(failed)
    progress(Progress("meshing", len(sound), len(sound)))
    return MeshResult(certificates, absent, tuple(wrote), alterations, warnings, tuple(failed))


def _readable(files: Iterable[Path]) -> tuple[list[Path], list[Problem]]:
    """The files whose grids are sound, and what is wrong with the others.

    Raises:
        DataError: if none is; all problems are told.
    """
    sound, problems = [], []
    for path in files:
        try:
            read_geometry(path)
        except DataError as error:
            problems += [_of_case(problem, strip_suffix(path.name)) for problem in error.problems]
        else:
            sound.append(path)
    if not sound:
        raise DataError(problems)
    return sound, problems


def _of_case(problem: Problem, case_id: str) -> Problem:
    return replace(problem, where=f'case "{case_id}", {problem.where}')
