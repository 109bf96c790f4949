"""What people (or an oracle) have said about a case: where they looked, for which labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.errors import DataError, Problem
from voxloop.volume.boxes import Box, bounding_box
from voxloop.volume.labels import BACKGROUND, IGNORE, LabelTable
from voxloop.volume.volume import LabelArray, LabelMap, count_values

__all__ = ["Annotation", "Target", "annotate_region", "merge"]


@dataclass(frozen=True, eq=False)
class Annotation:
    """One delivery: a label map with `IGNORE` where nobody looked, and the labels asked for.

    Value 0 means "looked at: none of the labels asked for"; a label that was not asked for may
    still be there. So an annotation can cover three slices, a box, or the liver but not the
    spleen.

    Attributes:
        label_map: values 0, `IGNORE`, or labels asked for; on the case's grid.
        asked: values of the labels that were looked for, at least one.

    Raises:
        DataError: if nothing was looked at, nothing was asked for, or a label appears that was
            not asked for.
    """

    label_map: LabelMap
    asked: frozenset[int]

    def __post_init__(self) -> None:
        unknown = self.asked - set(self.label_map.labels.values)
        if not self.asked or unknown:
            raise _bad("labels asked for that are in the label table", f"{sorted(self.asked)}")
        counts = count_values(self.label_map.array)
        present = set(np.flatnonzero(counts).tolist()) - {BACKGROUND, IGNORE}
        if present - self.asked:
            raise _bad(
                f"only the labels asked for, {sorted(self.asked)}",
                f"also {sorted(present - self.asked)}",
            )
        if counts[IGNORE] == self.label_map.array.size:
            raise _bad("at least one voxel that was looked at", "none")

    @classmethod
    def of_whole(cls, label_map: LabelMap) -> Annotation:
        """All labels were asked for wherever the label map is not `IGNORE`."""
        return cls(label_map, frozenset(label_map.labels.values))

    @property
    def looked_at(self) -> npt.NDArray[np.bool_]:
        """Where somebody looked, (I, J, K)."""
        return np.asarray(self.label_map.array != IGNORE)


def annotate_region(
    reference: LabelMap, regions: Iterable[Box], asked: frozenset[int] | None = None
) -> Annotation:
    """Keep of a label map what lies in `regions` and was asked for; the rest is not looked at.

    Args:
        reference: label map to take from, itself possibly with `IGNORE`.
        regions: boxes inside the grid.
        asked: values looked for; all labels where None.
    """
    wanted = frozenset(reference.labels.values) if asked is None else asked
    array = np.full(reference.geometry.shape, IGNORE, dtype=np.uint8)
    keep = np.isin(reference.array, [*wanted, IGNORE])
    answered = np.where(keep, reference.array, BACKGROUND)
    for region in regions:
        array[region.slices] = answered[region.slices]
    return Annotation(LabelMap(array, reference.geometry, reference.labels), wanted)


@dataclass(frozen=True, eq=False)
class Target:
    """All that is known of a case's labels: the sum of its annotations, per voxel.

    Attributes:
        values: (I, J, K) uint8: a label, 0 (none of the labels asked for there), or `IGNORE`.
        asked: (I, J, K) uint8, index into `asked_sets`: for which labels somebody looked there.
        asked_sets: distinct sets of labels; the first is the empty set.
        labels: the label table.
    """

    values: LabelArray
    asked: npt.NDArray[np.uint8]
    asked_sets: tuple[frozenset[int], ...]
    labels: LabelTable

    @property
    def looked_at(self) -> npt.NDArray[np.bool_]:
        """Where somebody looked for any label, (I, J, K)."""
        return np.asarray(self.values != IGNORE)

    @classmethod
    def empty(cls, shape: tuple[int, int, int], labels: LabelTable) -> Target:
        """Nothing is known yet.

        Args:
            shape: the case's grid.
            labels: the label table.
        """
        # the first axis runs fastest, as in the files that are joined with it
        values = np.full(shape, IGNORE, dtype=np.uint8, order="F")
        return cls(values, np.zeros(shape, dtype=np.uint8, order="F"), (frozenset(),), labels)

    def joined(self, annotation: Annotation) -> Target:
        """With a newer annotation on the same grid; see `merge`. This target stays as it is.

        Args:
            annotation: with the same label table.
        """
        sets = list(self.asked_sets)
        box = bounding_box(annotation.looked_at)
        if box is None:  # cannot be: somebody looked somewhere
            return self
        values, asked = self.values.copy(order="K"), self.asked.copy(order="K")
        old, old_asked = values[box.slices], asked[box.slices]
        new = annotation.label_map.array[box.slices]
        looked = new != IGNORE
        kept = ~np.isin(old, [IGNORE, BACKGROUND, *annotation.asked])
        joined = np.arange(256, dtype=np.uint8)
        for index in np.unique(old_asked[looked]).tolist():
            union = sets[index] | annotation.asked
            if union not in sets:
                sets.append(union)
            joined[index] = sets.index(union)
        values[box.slices] = np.where(looked & ~(kept & (new == BACKGROUND)), new, old)
        asked[box.slices] = np.where(looked, joined[old_asked], old_asked)
        return Target(values, asked, tuple(sets), self.labels)


def merge(
    annotations: Iterable[Annotation], shape: tuple[int, int, int], labels: LabelTable
) -> Target:
    """Add up annotations, oldest first: on each voxel and label the newest look wins.

    A newer 0 removes an older label only where that label was asked for again; a newer label
    replaces whatever was there, since a voxel has one label.

    Args:
        annotations: of one case, oldest first, all on the grid of `shape`.
        shape: the case's grid.
        labels: the label table of all annotations.
    """
    target = Target.empty(shape, labels)
    for annotation in annotations:
        target = target.joined(annotation)
    return target


def _bad(expected: str, found: str) -> DataError:
    return DataError(Problem("annotation", expected, found, "correct the label map or the request"))
