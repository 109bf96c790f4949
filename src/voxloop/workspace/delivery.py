"""From a label map that somebody delivers to what they looked at in it, and for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from voxloop.dataset.annotation import Annotation, Target
from voxloop.errors import DataError, Problem, UsageError
from voxloop.volume.boxes import Box, bounding_box
from voxloop.volume.labels import BACKGROUND, IGNORE, LabelTable
from voxloop.volume.volume import LabelArray, LabelMap, count_values

__all__ = [
    "LookedAt",
    "answer",
    "changed_outside",
    "is_known",
    "labels_asked",
    "looked_at",
    "only_asked",
    "require_only",
]

Mask = npt.NDArray[np.bool_]


class LookedAt(StrEnum):
    """How to tell where a person looked, since a 0 in a label map does not say."""

    AUTO = "auto"
    """`marked` if the file has the ignore value, else `queries` if any are open, else refused."""
    MARKED = "marked"
    """Everywhere but at the ignore value, which the file must contain."""
    QUERIES = "queries"
    """In the regions that were asked for and are still open."""
    LABELLED_SLICES = "labelled-slices"
    """In every slice that has a label."""
    ALL = "all"
    """Everywhere but at the ignore value."""


def looked_at(
    array: LabelArray, policy: LookedAt, regions: Sequence[Box], axis: int, where: str
) -> Mask:
    """Where somebody looked, (I, J, K).

    Args:
        array: the delivered label map.
        policy: how to tell.
        regions: the case's open queries.
        axis: across which slices count for `LABELLED_SLICES`.
        where: case and file, for messages.

    Raises:
        DataError: if the policy does not apply to this label map; names those that might.
    """
    marked = np.asarray(array != IGNORE)
    if policy is LookedAt.AUTO:
        policy = _resolved(marked, regions, where)
    if policy is LookedAt.ALL:
        return marked
    if policy is LookedAt.MARKED:
        if marked.all():
            remedy = f"mark what was not looked at with {IGNORE}, or collect with another policy"
            raise _bad(where, f"voxels of the ignore value {IGNORE}", "none", remedy)
        return marked
    mask = np.zeros_like(array, dtype=bool)
    if policy is LookedAt.QUERIES:
        if not regions:
            found = "no open query for this case"
            raise _bad(where, "an answer to a query", found, _options("'queries'"))
        for region in regions:
            mask[region.slices] = True
    else:
        others = tuple(a for a in range(3) if a != axis)
        labelled = (marked & (array != BACKGROUND)).any(axis=others)
        if not labelled.any():
            found = "no label in any slice"
            raise _bad(where, "at least one labelled slice", found, _options("'labelled-slices'"))
        mask[:] = np.expand_dims(labelled, others)
    return np.asarray(mask & marked)


def labels_asked(labels: LabelTable, names: Iterable[str] | None) -> tuple[str, ...]:
    """The labels that a delivery covers, in the order of the table; all where none are named.

    Args:
        labels: the workspace's.
        names: as a person wrote them.

    Raises:
        UsageError: if there is no such label, with the nearest that there is; or none is named.
    """
    known = tuple(labels.by_name)
    wanted = known if names is None else tuple(names)
    listed = f"the workspace's labels are {', '.join(known)}"
    for name in wanted:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f", did you mean {near[0]!r}?" if near else ";"
            raise UsageError(f"there is no label {name!r} to have been asked for{hint} {listed}")
    if not wanted:
        raise UsageError(f"at least one label is asked for; {listed}")
    return tuple(name for name in known if name in wanted)


def require_only(
    label_map: LabelMap, asked: Iterable[int], given: LabelArray | None, where: str
) -> None:
    """Refuse a delivery with labels that it is said not to cover: what was drawn would be lost.

    Args:
        label_map: as delivered.
        asked: values of the labels that it covers.
        given: what the annotator started from, where other labels may stay as they are (I, J, K).
        where: case and file, for messages.

    Raises:
        DataError: for each such label, with how many voxels have it.
    """
    drawn = label_map.array
    if given is not None:
        drawn = np.where(drawn == given, np.uint8(BACKGROUND), drawn)
    counts = count_values(drawn)
    covered = {value: label_map.labels.names[value] for value in sorted(asked)}
    problems = [
        Problem(
            where,
            f"only the labels asked for, {', '.join(covered.values())}",
            f"{counts[value]} voxels of {name!r} (value {value})",
            f"ask for it as well (--asked {name!r}), or erase it from the label map",
        )
        for value, name in label_map.labels.names.items()
        if value not in covered and counts[value]
    ]
    if problems:
        raise DataError(problems)


def only_asked(label_map: LabelMap, asked: Collection[int]) -> LabelArray:
    """A label map with background in the place of labels that were not asked for (I, J, K)."""
    if set(label_map.labels.values) <= set(asked):
        return label_map.array
    kept = np.full(256, BACKGROUND, dtype=np.uint8)
    kept[[*asked, IGNORE]] = [*asked, IGNORE]
    return kept[label_map.array]


def answer(label_map: LabelMap, mask: Mask, asked: Iterable[int], where: str) -> Annotation:
    """Keep of a label map what was looked at and asked for.

    Args:
        label_map: as delivered.
        mask: where somebody looked, (I, J, K).
        asked: values of the labels that were looked for.
        where: case and file, for messages.

    Raises:
        DataError: if nothing is left.
    """
    if not mask.any():
        remedy = f"label something, or remove the ignore value {IGNORE} where you have looked"
        raise _bad(where, "at least one voxel that was looked at", "none", remedy)
    wanted = frozenset(asked)
    array = np.where(mask, only_asked(label_map, wanted), np.uint8(IGNORE))
    return Annotation(LabelMap(array, label_map.geometry, label_map.labels), wanted)


def is_known(target: Target, annotation: Annotation) -> bool:
    """True if an annotation says nothing that is not known already."""
    box = bounding_box(annotation.looked_at)
    if box is None:  # cannot be: somebody looked somewhere
        return True
    drawn = annotation.label_map.array[box.slices]
    looked = drawn != IGNORE
    new, old = drawn[looked], target.values[box.slices][looked]
    answered = np.array([annotation.asked <= labels for labels in target.asked_sets])
    # A 0 says nothing of a label that was not asked for.
    kept = (new == BACKGROUND) & ~np.isin(old, [BACKGROUND, IGNORE, *annotation.asked])
    return bool(answered[target.asked[box.slices][looked]].all() and ((new == old) | kept).all())


def changed_outside(array: LabelArray, mask: Mask, baseline: LabelArray) -> Mask:
    """Where a delivery differs from what it started from, but nobody was said to look.

    Args:
        array: the delivered label map (I, J, K).
        mask: where somebody looked.
        baseline: what the annotator was given; ignore counts as background.
    """
    outside = array != IGNORE
    outside &= ~mask
    if outside.any():  # seldom: where somebody drew beyond what was asked for
        outside &= array != np.where(baseline == IGNORE, np.uint8(BACKGROUND), baseline)
    return np.asarray(outside)


def _resolved(marked: Mask, regions: Sequence[Box], where: str) -> LookedAt:
    if not marked.all():
        return LookedAt.MARKED
    if regions:
        return LookedAt.QUERIES
    expected = f"the ignore value {IGNORE} where nobody looked, or an open query for this case"
    raise _bad(where, expected, "neither", _options())


def _options(without: str = "") -> str:
    choices = ("'labelled-slices' (slices with a label)", "'all' (the whole scan)")
    offered = " or ".join(c for c in choices if not without or without not in c)
    return f"say where you looked: --looked-at with {offered}"


def _bad(where: str, expected: str, found: str, remedy: str) -> DataError:
    return DataError(Problem(where, expected, found, remedy))
