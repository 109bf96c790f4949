"""Answers in a folder of query packs on their way to revisions: one revision for each case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voxloop.errors import DataError, Problem
from voxloop.io.formats import read_label_map
from voxloop.volume.labels import BACKGROUND, IGNORE
from voxloop.volume.volume import LabelArray, LabelMap
from voxloop.workspace.actions.checked_delivery import CheckedDelivery, CollectOptions
from voxloop.workspace.annotations import Origin, draft_revision, stage_map
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.delivery import answer, changed_outside, is_known, require_only
from voxloop.workspace.packs.answers import PackAnswer, read_answer
from voxloop.workspace.packs.document import Pack, PackedQuery
from voxloop.workspace.proposals import voxel_hash
from voxloop.workspace.queries import StoredQuery, queries_of
from voxloop.workspace.staging import Staging
from voxloop.workspace.workspace import Workspace

__all__ = ["PackDelivery", "check_pack", "pack_deliveries"]

_TOOL = "pack"


@dataclass(frozen=True)
class PackDelivery:
    """All queries of one case in a folder of packs.

    Attributes:
        record: the case.
        folder: of the packs.
        pack: what it holds.
        queries: those of the case.
    """

    record: CaseRecord
    folder: Path
    pack: Pack
    queries: tuple[PackedQuery, ...]


def pack_deliveries(
    folder: Path, pack: Pack, records: Mapping[str, CaseRecord]
) -> Iterator[PackDelivery]:
    """A folder of packs by case.

    Raises:
        DataError: for each case that the workspace does not have, or whose scan is another.
    """
    by_case: dict[str, list[PackedQuery]] = {}
    for query in pack.queries:
        by_case.setdefault(query.case_id, []).append(query)
    problems = []
    for case_id, queries in by_case.items():
        record = records.get(case_id)
        scans = None if record is None else tuple(scan.sha256 for _, scan in record.channels)
        if scans is not None and all(query.scans == scans for query in queries):
            continue
        found = "no case of this name" if scans is None else "another scan of this name"
        expected = f'a pack of this workspace, whereas it is one of "{pack.workspace}"'
        remedy = "name the workspace that the pack came from"
        problems.append(Problem(f'case "{case_id}", {folder}', expected, found, remedy))
    if problems:
        raise DataError(problems)
    for case_id in sorted(by_case):
        yield PackDelivery(records[case_id], folder, pack, tuple(by_case[case_id]))


def check_pack(
    workspace: Workspace, options: CollectOptions, delivery: PackDelivery, staging: Staging
) -> CheckedDelivery:
    """Check what came back for one case and stage what was asked of it.

    Args:
        workspace: where to.
        options: completed.
        delivery: the case's part of the packs.
        staging: where the change is prepared.

    Raises:
        DataError: with everything that is wrong with the case's label maps.
    """
    record, pack = delivery.record, delivery.pack
    started = _started(workspace, pack.round, record)
    answers = _answers(workspace, options, delivery, started)
    touched = [a for a in answers if a.touched or a.query.number in options.confirm]
    untouched = tuple(a.query.number for a in answers if a not in touched)
    missing = {q.number for q in delivery.queries} - {a.query.number for a in answers}
    warnings = [
        *(f'case "{record.id}", {a.query.folder}: {w}' for a in answers for w in a.warnings),
        *_elsewhere(record, answers, started),
    ]
    open_now = _open_numbers(workspace, pack.round)
    without = tuple(n for n in (*untouched, *sorted(missing)) if n in open_now)
    if not touched:
        return CheckedDelivery(
            record.id, 0, None, pack.round, (), tuple(warnings), untouched=without
        )
    target = workspace.target_of(record.id)
    asked = [workspace.labels.by_name[name] for name in options.asked or ()]
    array, conflicts = _joined(record, touched, started)
    warnings += conflicts
    given = target.values if started is None else started
    kept = np.where(array == IGNORE, given, array)
    label_map = LabelMap(kept.astype(np.uint8), record.geometry, workspace.labels)
    require_only(label_map, asked, given, "label map")
    annotation = answer(label_map, array != IGNORE, asked, "label map")
    looked = annotation.looked_at
    shares = {a.query.number: float(looked[a.query.region.slices].mean()) for a in touched}
    warnings += [
        f'case "{record.id}": query {number} is answered in part ({share:.0%}) and stays open'
        for number, share in shares.items()
        if share < 1
    ]
    draft = None
    if not is_known(target, annotation):
        only = touched[0].query.number if len(touched) == 1 else None
        origin = Origin(
            options.author, _TOOL, pack.round, query=only, proposal=touched[0].query.started
        )
        revision = draft_revision(workspace.layout, record, annotation, origin)
        draft = revision, stage_map(staging, annotation)
        warnings += [
            f"query {a.query.number} of round {pack.round} is no longer open; what is new in its "
            "answer is stored all the same"
            for a in touched
            if a.query.number not in open_now
        ]
    answered = tuple(number for number, share in shares.items() if share == 1)
    seconds = None
    if options.seconds is None:
        seconds, unknown = _seconds(record, touched)
        warnings += unknown
    return CheckedDelivery(
        record.id, int(looked.sum()), draft, pack.round, answered, tuple(warnings),
        seconds=seconds, untouched=without,
    )  # fmt: skip


def _started(workspace: Workspace, number: int, record: CaseRecord) -> LabelArray | None:
    """What was handed out, if the workspace still knows it."""
    path = workspace.layout.packed_map(number, record.id)
    return read_label_map(path, workspace.labels).array if path.exists() else None


def _answers(
    workspace: Workspace,
    options: CollectOptions,
    delivery: PackDelivery,
    started: LabelArray | None,
) -> list[PackAnswer]:
    asked = {q.number: q for q in queries_of(workspace.layout, delivery.pack.round)}
    known = None if started is None else voxel_hash(started)
    answers, problems = [], []
    for query in delivery.queries:
        stored = asked.get(query.number)
        if stored is None or not _is(stored, query):
            where = f"query {query.number}, {delivery.folder / query.folder}"
            found = "a query of that round that asks for something else, or none"
            remedy = "name the workspace that the pack came from"
            problems.append(Problem(where, "what the workspace asked for", found, remedy))
            continue
        handed_out = started if known == query.started else None
        try:
            found_answer = read_answer(
                delivery.folder, query, workspace.labels, handed_out, options.ignore_value
            )
        except DataError as error:
            problems += error.problems
        else:
            answers += [] if found_answer is None else [found_answer]
    if problems:
        raise DataError(problems)
    return answers


def _is(stored: StoredQuery, packed: PackedQuery) -> bool:
    return (stored.query.case_id, stored.query.region) == (packed.case_id, packed.region)


def _joined(
    record: CaseRecord, answers: Sequence[PackAnswer], started: LabelArray | None
) -> tuple[LabelArray, list[str]]:
    """What was asked of each answer on one grid; where two cross, the one that was changed."""
    array = np.full(record.geometry.shape, IGNORE, dtype=np.uint8)
    conflicts = []
    for one in sorted(answers, key=lambda a: a.path.stat().st_mtime_ns):
        inside = one.query.region.slices
        new, old = one.array[inside], array[inside]
        fresh = old == IGNORE
        drawn = ~fresh & (new != IGNORE) & (new != old)
        both = drawn if started is None else drawn & (old != started[inside])
        if started is not None:
            both, drawn = both & (new != started[inside]), drawn & (new != started[inside])
        if both.any():
            conflicts.append(
                f'case "{record.id}": query {one.query.number} says something else than another '
                f"answer at {np.count_nonzero(both)} voxels that they share; it was saved last "
                "and counts"
            )
        array[inside] = np.where(fresh | drawn, new, old)
    return array, conflicts


def _elsewhere(
    record: CaseRecord, answers: Sequence[PackAnswer], started: LabelArray | None
) -> Iterator[str]:
    for one in answers:
        asked = np.zeros(one.array.shape, dtype=bool)
        asked[one.query.region.slices] = True
        baseline = np.full_like(one.array, BACKGROUND) if started is None else started
        if voxel_hash(one.array) == one.query.started:
            continue
        changed = changed_outside(one.array, asked, baseline)
        if changed.any():
            axis = one.query.region.slice_axis
            axis = record.slice_axis if axis is None else axis
            slices = np.flatnonzero(changed.any(axis=tuple(a for a in range(3) if a != axis)))
            yield (
                f'case "{record.id}", {one.query.folder}: {np.count_nonzero(changed)} voxels in '
                f"slices {slices[0]} to {slices[-1]} of axis {axis} were changed outside of what "
                "was asked for and are not stored; to keep them, deliver the file on its own, "
                f"named {record.id}, with --looked-at"
            )


def _open_numbers(workspace: Workspace, number: int) -> frozenset[int]:
    """Numbers of a round's queries that are open; none if another round has begun since."""
    latest = workspace.current_round()
    if latest is None or latest.number != number:
        return frozenset()
    return frozenset(query.number for query in workspace.open_queries())


def _seconds(
    record: CaseRecord, touched: Sequence[PackAnswer]
) -> tuple[float | None, tuple[str, ...]]:
    times = {a.query.number: a.seconds for a in touched}
    known = [seconds for seconds in times.values() if seconds is not None]
    if len(known) == len(times):
        return sum(known), ()
    if not known:
        return None, ()
    lacking = ", ".join(str(number) for number, seconds in times.items() if seconds is None)
    warning = (
        f'case "{record.id}": the time of query {lacking} was not written down, so that the time '
        "spent on the case is not logged"
    )
    return None, (warning,)
