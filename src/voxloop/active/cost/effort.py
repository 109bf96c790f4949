"""What there is to do for a person in a region: slices to walk through, outlines to draw."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.active.cost.walks import walks
from voxloop.volume.boxes import bounding_box
from voxloop.volume.labels import BACKGROUND, IGNORE
from voxloop.volume.lattice import Lattice
from voxloop.volume.volume import LabelArray

__all__ = ["Effort", "EffortArray", "effort_of", "expected_efforts", "known_efforts"]

EffortArray = npt.NDArray[np.float64]
"""(n, 5): one row per region, the columns in the order of the fields of `Effort`."""

SpacingMm = tuple[float, float, float]
_Floats = npt.NDArray[np.floating[Any]]
_Faces = Callable[[int], _Floats]

_DIGITAL_LENGTH = math.pi / 4
"""Faces between unlike voxels are longer than the outline they follow: by |cos| + |sin| of its
direction, 4 / pi on the average over directions (Cauchy and Crofton), whatever the spacing."""


@dataclass(frozen=True)
class Effort:
    """What there is to do in a region; sums of efforts are efforts.

    Attributes:
        slices: planes to walk through.
        area_mm2: area to look at in them, together.
        contour_mm: length of the outlines to draw in them; an outline that two labels share is
            drawn once.
        labels: appearances of a label in a slice.
        correction_mm: the part of the outlines that a proposal has not got within a voxel, which
            is what remains to be drawn where the region is pre-segmented; all of them where
            there is no proposal.

    Raises:
        ValueError: if one is negative or not finite.
    """

    slices: float = 0.0
    area_mm2: float = 0.0
    contour_mm: float = 0.0
    labels: float = 0.0
    correction_mm: float = 0.0

    def __post_init__(self) -> None:
        for field, value in zip(fields(self), astuple(self), strict=True):
            if not (math.isfinite(value) and value >= 0):
                message = f"effort: {field.name} is finite and not negative, found {value}"
                raise ValueError(message)

    @classmethod
    def of_row(cls, row: npt.NDArray[np.float64]) -> Effort:
        """The effort in a row of an `EffortArray`."""
        return cls(*(float(value) for value in row))

    @property
    def row(self) -> npt.NDArray[np.float64]:
        """The effort as a row of an `EffortArray`, (5,)."""
        return np.array(astuple(self), dtype=np.float64)

    @property
    def reading(self) -> Effort:
        """What is left of it where nothing is drawn: a query that was looked at and skipped."""
        return replace(self, contour_mm=0.0, labels=0.0, correction_mm=0.0)

    def __add__(self, other: Effort) -> Effort:
        """Both, one after the other."""
        return Effort.of_row(self.row + other.row)


def expected_efforts(
    members: npt.NDArray[np.floating[Any]],
    spacing_mm: SpacingMm,
    lattices: Sequence[Lattice],
    axis: int,
) -> EffortArray:
    """Expected effort of labelling each region, as far as a model can tell.

    The expected length of an outline is the total variation of the probability: a border whose
    place is uncertain is spread over many voxels, but its probability still rises once from 0 to
    1 across them, so that it counts as one border and not as many (co-area formula). That a label
    appears in a slice is as likely as its most likely voxel there. Both are averaged over the
    members.

    The proposal is what is most likely in the mean of the members; `correction_mm` is the
    expected outline where the proposal has none within a voxel, which is the expected added path
    length (Vaassen et al. 2020, doi 10.1016/j.phro.2019.12.001).

    Args:
        members: (M, C, I, J, K), probabilities; channel 0 is the background.
        spacing_mm: spacing along each axis.
        lattices: tilings of the grid; their boxes are the regions, numbered one after the other.
        axis: the axis across which slices are read; a lattice of slices across another is read
            across that.
    """
    proposal = _most_likely(members)

    def faces(across: int) -> _Floats:
        total = np.zeros(_inner(members.shape[2:], across), dtype=np.float32)
        for member in members:
            for channel in member:
                total += np.abs(np.diff(channel, axis=across))
        return total * np.float32(0.5 / len(members))

    labels = ((channel, 1 / len(members)) for member in members for channel in member[1:])
    return _efforts(faces, labels, (proposal, spacing_mm), lattices, axis)


def known_efforts(
    labels: LabelArray,
    spacing_mm: SpacingMm,
    lattices: Sequence[Lattice],
    axis: int,
    *,
    proposal: LabelArray | None = None,
) -> EffortArray:
    """Effort of labelling each region as a label map has it; what was not looked at costs nothing.

    Args:
        labels: (I, J, K), with `IGNORE` where nobody looked.
        spacing_mm: spacing along each axis.
        lattices: as for `expected_efforts`.
        axis: as for `expected_efforts`.
        proposal: (I, J, K), what the person started from; None for nothing.
    """
    known = labels != IGNORE
    started = np.zeros_like(labels) if proposal is None else proposal

    def faces(across: int) -> _Floats:
        seen = _pairs(known, across, np.logical_and)
        return np.asarray(seen & _pairs(labels, across, np.not_equal), dtype=np.float32)

    present = sorted(set(np.unique(labels).tolist()) - {BACKGROUND, IGNORE})
    masks = ((labels == value, 1.0) for value in present)
    rows = _efforts(faces, masks, (started, spacing_mm), lattices, axis)
    if not known.all():
        blocks = []
        for lattice in lattices:
            walked = _walked(lattice, axis)
            seen_mm2 = lattice.sums(known) * _pixel_mm2(spacing_mm, walked)
            blocks.append(np.stack([_per_slice_peaks(known, lattice, walked), seen_mm2], axis=1))
        rows[:, :2] = np.concatenate(blocks)
    return rows


def effort_of(
    labels: LabelArray,
    spacing_mm: SpacingMm,
    axis: int,
    *,
    proposal: LabelArray | None = None,
) -> Effort:
    """The effort that a delivery took: of what was looked at, and nothing else.

    Args:
        labels: (I, J, K), with `IGNORE` where nobody looked.
        spacing_mm: spacing along each axis.
        axis: the axis across which slices are read, unless what was looked at takes fewer slices
            across another one, or across several (`walks`).
        proposal: (I, J, K), what the person started from; None for nothing.
    """
    effort = Effort()
    box = bounding_box(labels != IGNORE)
    if box is None:
        return effort
    inside = labels[box.slices]
    started = None if proposal is None else proposal[box.slices]
    whole = (Lattice.of_sides(box.shape, box.shape),)
    for walk in walks(inside != IGNORE, axis):
        part = np.where(walk.seen, inside, np.uint8(IGNORE))
        (row,) = known_efforts(part, spacing_mm, whole, walk.axis, proposal=started)
        effort += Effort.of_row(row)
    return effort


def _efforts(
    faces: _Faces,
    labels: Iterable[tuple[npt.NDArray[Any], float]],
    started: tuple[npt.NDArray[Any], SpacingMm],
    lattices: Sequence[Lattice],
    axis: int,
) -> EffortArray:
    """Rows for the regions of all lattices.

    Args:
        faces: gives, across an axis, how much of a border is between each two neighbours.
        labels: per label (and member) its probability (I, J, K), and the weight of it.
        started: the proposal (I, J, K), and the spacing.
        lattices: the regions.
        axis: across which slices are read.
    """
    proposal, spacing_mm = started
    walks = [_walked(lattice, axis) for lattice in lattices]
    rows = [np.zeros((len(lattice), 5)) for lattice in lattices]
    for lattice, walked, block in zip(lattices, walks, rows, strict=True):
        block[:, 0] = _slice_counts(lattice, walked)
        block[:, 1] = lattice.voxel_counts * _pixel_mm2(spacing_mm, walked)
    for across in range(3):
        if all(walked == across for walked in walks):
            continue
        border = faces(across)
        missed = border * ~_near(_pairs(proposal, across, np.not_equal), across)
        both = np.stack([_halves(border, across), _halves(missed, across)])
        for lattice, walked, block in zip(lattices, walks, rows, strict=True):
            if walked != across:
                side_mm = spacing_mm[3 - walked - across]
                block[:, (2, 4)] += _DIGITAL_LENGTH * side_mm * lattice.sums(both).T
    for probability, weight in labels:
        for lattice, walked, block in zip(lattices, walks, rows, strict=True):
            block[:, 3] += weight * _per_slice_peaks(probability, lattice, walked)
    return np.concatenate(rows)


def _walked(lattice: Lattice, axis: int) -> int:
    """Across which axis a person reads the boxes: `axis`, unless they are slices of another."""
    others = [a for a in range(3) if a != axis]
    thin = [a for a in (axis, *others) if lattice.counts[a] == lattice.shape[a]]
    return thin[0] if thin else axis


def _slice_counts(lattice: Lattice, walked: int) -> npt.NDArray[np.float64]:
    depths = [np.ones(n) for n in lattice.counts]
    depths[walked] = np.diff(np.asarray(lattice.edges[walked], dtype=np.float64))
    return np.asarray(np.einsum("i,j,k->ijk", *depths).reshape(-1))


def _pixel_mm2(spacing_mm: SpacingMm, walked: int) -> float:
    return math.prod(spacing_mm) / spacing_mm[walked]


def _per_slice_peaks(
    values: npt.NDArray[Any], lattice: Lattice, walked: int
) -> npt.NDArray[np.float64]:
    """Per box, the sum over its slices of the highest value in each, (n,)."""
    peaks = values
    for across in (a for a in range(3) if a != walked):
        peaks = np.maximum.reduceat(peaks, np.asarray(lattice.edges[across][:-1]), axis=across)
    starts = np.asarray(lattice.edges[walked][:-1])
    return np.asarray(np.add.reduceat(peaks, starts, axis=walked, dtype=np.float64).reshape(-1))


def _most_likely(members: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.intp]:
    """What is most likely in the mean of the members, without an array of all their sums."""
    best = members[:, 0].sum(axis=0)
    found = np.zeros(best.shape, dtype=np.intp)
    for channel in range(1, members.shape[1]):
        total = members[:, channel].sum(axis=0)
        found[total > best] = channel
        np.maximum(best, total, out=best)
    return found


def _pairs(values: npt.NDArray[Any], across: int, compare: Any) -> npt.NDArray[np.bool_]:
    """Compare each voxel with the next one across an axis."""
    moved = np.moveaxis(values, across, 0)
    return np.asarray(np.moveaxis(compare(moved[:-1], moved[1:]), 0, across))


def _near(faces: npt.NDArray[np.bool_], across: int) -> npt.NDArray[np.bool_]:
    """Where there is a face, or one a voxel further."""
    moved = np.moveaxis(faces, across, 0)
    grown = moved.copy()
    grown[1:] |= moved[:-1]
    grown[:-1] |= moved[1:]
    return np.asarray(np.moveaxis(grown, 0, across))


def _halves(faces: _Floats, across: int) -> _Floats:
    """Give each voxel half of the faces it has across an axis."""
    moved = np.moveaxis(faces, across, 0)
    shared = np.zeros((moved.shape[0] + 1, *moved.shape[1:]), dtype=np.float32)
    shared[:-1] += moved
    shared[1:] += moved
    return np.asarray(np.moveaxis(shared * np.float32(0.5), 0, across))


def _inner(shape: tuple[int, ...], across: int) -> tuple[int, ...]:
    return tuple(n - (a == across) for a, n in enumerate(shape))
