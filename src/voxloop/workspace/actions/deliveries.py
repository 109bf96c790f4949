"""Which of the files that somebody delivers belong to which case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from voxloop.errors import DataError, Problem
from voxloop.io.formats import SUFFIXES, has_known_suffix, strip_suffix
from voxloop.workspace.actions.packed_answers import PackDelivery, pack_deliveries
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.packs.document import PACK_FILE, read_pack

__all__ = ["Deliveries", "find_deliveries"]


@dataclass(frozen=True)
class Deliveries:
    """Files by case.

    Attributes:
        files: case and label map, by case id.
        ignored: names of files in a folder that are no label maps by their suffix.
        problems: what is wrong with the names.
        packs: folders of query packs, by case.
    """

    files: tuple[tuple[CaseRecord, Path], ...]
    ignored: tuple[str, ...]
    problems: tuple[Problem, ...]
    packs: tuple[PackDelivery, ...] = ()


def find_deliveries(
    sources: Path | Sequence[Path], records: Mapping[str, CaseRecord]
) -> Deliveries:
    """Match label maps with cases by name: the case's id and a known suffix, or by their pack.

    Args:
        sources: a folder, whose other files are left alone, or files, each of which must match.
        records: the workspace's cases by id.
    """
    paths = [sources] if isinstance(sources, Path) else list(sources)
    candidates: list[Path] = []
    ignored: list[str] = []
    problems: list[Problem] = []
    packs: list[PackDelivery] = []
    for path in paths:
        if not path.is_dir():
            candidates.append(path)
            continue
        if (path / PACK_FILE).is_file():
            try:
                packs += pack_deliveries(path, read_pack(path), records)
            except DataError as error:
                problems += error.problems
            continue
        inside = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        maps = [p for p in inside if has_known_suffix(p.name)]
        ignored += [p.name for p in inside if p not in maps]
        candidates += maps
        if not maps:
            problems.append(_empty(path, records))
    files: dict[str, Path] = {}
    for path in candidates:
        case_id = strip_suffix(path.name)
        if case_id not in records or not has_known_suffix(path.name):
            problems.append(_unknown(path, case_id, records))
        elif case_id in files:
            found = f"also {files[case_id]}"
            remedy = "deliver one of the two"
            problems.append(
                Problem(f'case "{case_id}", {path}', "one label map per case", found, remedy)
            )
        else:
            files[case_id] = path
    problems += _delivered_twice(packs, files)
    matched = tuple((records[case_id], files[case_id]) for case_id in sorted(files))
    return Deliveries(matched, tuple(ignored), tuple(problems), tuple(packs))


def _delivered_twice(packs: Sequence[PackDelivery], files: Mapping[str, Path]) -> Iterator[Problem]:
    for packed in packs:
        case_id = packed.record.id
        places = [other.folder for other in packs if other.record.id == case_id]
        if case_id in files or len(places) > 1:
            where = f'case "{case_id}", {packed.folder}'
            found = f"also {files.get(case_id, places[0])}"
            yield Problem(where, "one delivery per case", found, "deliver one after the other")


def _empty(folder: Path, records: Mapping[str, CaseRecord]) -> Problem:
    example = next(iter(records), "<case>")
    return Problem(
        str(folder),
        f"label maps named by case id, e.g. {example}{SUFFIXES[0]}",
        "none",
        "name the folder in which they were saved",
    )


def _unknown(path: Path, case_id: str, records: Mapping[str, CaseRecord]) -> Problem:
    near = get_close_matches(case_id, records, n=1)
    hint = f", perhaps {near[0]}{SUFFIXES[0]}" if near else ""
    return Problem(
        f'case "{case_id}", {path}',
        f"a case's id and one of {', '.join(SUFFIXES)}{hint}",
        "no case of this name in the workspace",
        "rename the file, or add the case first with `voxloop add`",
    )
