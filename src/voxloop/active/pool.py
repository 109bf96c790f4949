"""What is not yet annotated: per case, which slices can still be asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from voxloop.active.query import Query
from voxloop.dataset.case import is_valid_case_id
from voxloop.errors import DataError, Problem
from voxloop.volume.boxes import Box
from voxloop.volume.geometry import Geometry

__all__ = ["ANNOTATED_SHARE", "Candidate", "CasePool", "Pool", "annotated_slices", "slice_axis"]

ANNOTATED_SHARE = 0.5
"""A slice counts as annotated from this share of looked-at voxels on: slices across another
axis, which cross it in a line each, do not make it so; a reference with a few unknown voxels
does not keep it from being so."""

_CLEARLY_COARSER = 1.1
"""Spacings closer than this ratio are called equal; people then expect axial slices."""


def slice_axis(geometry: Geometry) -> int:
    """The array axis across which people label a scan: the coarsest one, else head to foot.

    Thick slices are sharp within the plane only; a scan of equal spacings is read axially. A
    scan of one slice is that slice, whatever its spacings.
    """
    spacing_mm = np.asarray(geometry.spacing_mm)
    single = np.flatnonzero(np.asarray(geometry.shape) == 1)
    if single.size:
        return int(single[spacing_mm[single].argmax()])
    coarsest = int(spacing_mm.argmax())
    if spacing_mm[coarsest] > _CLEARLY_COARSER * np.delete(spacing_mm, coarsest).max():
        return coarsest
    return geometry.world_axes.index(2)


def annotated_slices(looked_at: npt.NDArray[np.bool_], axis: int) -> frozenset[int]:
    """Indices of the slices across `axis` of which at least `ANNOTATED_SHARE` was looked at.

    Args:
        looked_at: (I, J, K), true where somebody looked.
        axis: 0, 1 or 2.
    """
    others = tuple(a for a in range(3) if a != axis)
    shares = looked_at.mean(axis=others)
    return frozenset(np.flatnonzero(shares >= ANNOTATED_SHARE).tolist())


@dataclass(frozen=True, order=True, slots=True)
class Candidate:
    """A slice that can be asked for.

    Attributes:
        case_id: the case.
        index: position along the case's slice axis.
    """

    case_id: str
    index: int


@dataclass(frozen=True)
class CasePool:
    """The slices of one case: annotated, asked for, or open.

    Attributes:
        case_id: the case.
        shape: voxels along each axis.
        spacing_mm: spacing along each axis.
        axis: the axis across which slices are asked for.
        annotated: indices of slices that are annotated.
        asked: indices of slices that were asked for and are not answered yet.

    Raises:
        DataError: if an index lies outside the grid, or shape, spacing, axis or id are invalid.
    """

    case_id: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    axis: int
    annotated: frozenset[int] = frozenset()
    asked: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if not is_valid_case_id(self.case_id) or self.axis not in {0, 1, 2}:
            raise _bad(self.case_id, "a valid id and a slice axis of 0, 1 or 2", str(self.axis))
        if min(self.shape) < 1 or not min(self.spacing_mm) > 0:
            raise _bad(self.case_id, "a grid", f"shape {self.shape}, spacing {self.spacing_mm}")
        outside = sorted(i for i in self.taken if not 0 <= i < self.slice_count)
        if outside:
            raise _bad(self.case_id, f"slice indices below {self.slice_count}", str(outside))

    @classmethod
    def on(
        cls,
        case_id: str,
        geometry: Geometry,
        looked_at: npt.NDArray[np.bool_] | None = None,
        axis: int | None = None,
    ) -> CasePool:
        """Build from a case's grid and where somebody looked.

        Args:
            case_id: the case.
            geometry: the case's grid.
            looked_at: (I, J, K) of that grid, e.g. `Target.looked_at`; None for nowhere.
            axis: the slice axis; by default what `slice_axis` says.
        """
        across = slice_axis(geometry) if axis is None else axis
        if looked_at is not None and looked_at.shape != geometry.shape:
            raise _bad(case_id, f"a looked-at mask of shape {geometry.shape}", f"{looked_at.shape}")
        done = frozenset[int]() if looked_at is None else annotated_slices(looked_at, across)
        return cls(case_id, geometry.shape, geometry.spacing_mm, across, done)

    @property
    def slice_count(self) -> int:
        """Slices of the case, whatever their state."""
        return self.shape[self.axis]

    @property
    def step_mm(self) -> float:
        """Distance between neighbouring slices."""
        return self.spacing_mm[self.axis]

    @property
    def taken(self) -> frozenset[int]:
        """Slices that are annotated or asked for."""
        return self.annotated | self.asked

    @cached_property
    def open_slices(self) -> tuple[int, ...]:
        """Slices that can be asked for, ascending."""
        return tuple(i for i in range(self.slice_count) if i not in self.taken)

    def region(self, index: int) -> Box:
        """The slice as a box."""
        return Box.slice_at(self.shape, self.axis, index)

    def slices_in(self, region: Box) -> frozenset[int]:
        """The slices of which `region` covers at least `ANNOTATED_SHARE`."""
        inside = region.clip(self.shape)
        depth = inside.shape[self.axis]
        if inside.voxel_count / depth < ANNOTATED_SHARE * self.region(0).voxel_count:
            return frozenset()
        return frozenset(range(inside.start[self.axis], inside.stop[self.axis]))


@dataclass(frozen=True)
class Pool:
    """The cases a selection chooses from; the order in which they were given does not matter.

    Attributes:
        cases: sorted by id.

    Raises:
        DataError: if there is no case, or two have one id.
    """

    cases: tuple[CasePool, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "cases", tuple(sorted(self.cases, key=lambda c: c.case_id)))
        ids = [case.case_id for case in self.cases]
        if not ids:
            raise _bad("", "at least one case in the pool", "none")
        doubled = sorted({i for i in ids if ids.count(i) > 1}) if len(set(ids)) < len(ids) else []
        if doubled:
            raise _bad(doubled[0], "every case once in the pool", f"again {doubled}")

    @cached_property
    def by_id(self) -> dict[str, CasePool]:
        """The cases by id."""
        return {case.case_id: case for case in self.cases}

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """Every slice that can be asked for, by case and index."""
        return tuple(Candidate(c.case_id, i) for c in self.cases for i in c.open_slices)

    @cached_property
    def open_cases(self) -> tuple[CasePool, ...]:
        """The cases that have a slice to ask for."""
        return tuple(case for case in self.cases if case.open_slices)

    @property
    def slice_count(self) -> int:
        """Slices of all cases, whatever their state."""
        return sum(case.slice_count for case in self.cases)

    @property
    def annotated_count(self) -> int:
        """Annotated slices of all cases."""
        return sum(len(case.annotated) for case in self.cases)

    @property
    def share_annotated(self) -> float:
        """Annotated slices over all slices, 0 to 1."""
        return self.annotated_count / self.slice_count

    def region(self, candidate: Candidate) -> Box:
        """The candidate's voxels."""
        return self.by_id[candidate.case_id].region(candidate.index)

    def with_asked(self, queries: Iterable[Query]) -> Pool:
        """The pool once `queries` are with an annotator: not to be asked again."""
        grown = self._slices_of(queries)
        return Pool(tuple(replace(c, asked=c.asked | grown[c.case_id]) for c in self.cases))

    def with_annotated(self, queries: Iterable[Query]) -> Pool:
        """The pool once `queries` are answered."""
        grown = self._slices_of(queries)
        return Pool(
            tuple(
                replace(
                    case,
                    annotated=case.annotated | grown[case.case_id],
                    asked=case.asked - grown[case.case_id],
                )
                for case in self.cases
            )
        )

    def _slices_of(self, queries: Iterable[Query]) -> dict[str, frozenset[int]]:
        found = {case.case_id: frozenset[int]() for case in self.cases}
        for query in queries:
            case = self.by_id.get(query.case_id)
            if case is None:
                raise _bad(query.case_id, "queries for cases of the pool", "an unknown case")
            found[case.case_id] |= case.slices_in(query.region)
        return found


def _bad(case_id: str, expected: str, found: str) -> DataError:
    where = f'pool, case "{case_id}"' if case_id else "pool"
    return DataError(Problem(where, expected, found, "build the pool from the cases' own grids"))
