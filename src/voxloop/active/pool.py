"""What is not yet annotated: per case, which regions can still be asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.active.cut import Cut
from voxloop.active.query import Query
from voxloop.dataset.case import is_valid_case_id
from voxloop.errors import DataError, Problem
from voxloop.volume.boxes import Box
from voxloop.volume.geometry import Geometry
from voxloop.volume.lattice import Lattice

__all__ = ["ANNOTATED_SHARE", "Candidate", "CasePool", "Pool", "slice_axis"]

_SLICES = Cut("slices")

ANNOTATED_SHARE = 0.5
"""A region counts as annotated from this share of looked-at voxels on: slices across another
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


@dataclass(frozen=True, order=True, slots=True)
class Candidate:
    """A region that can be asked for.

    Attributes:
        case_id: the case.
        index: number of the region within its case; with slices, their position.
    """

    case_id: str
    index: int


@dataclass(frozen=True)
class CasePool:
    """The regions of one case: annotated, asked for, or open.

    Attributes:
        case_id: the case.
        shape: voxels along each axis.
        spacing_mm: spacing along each axis.
        axis: the axis across which slices are read.
        annotated: numbers of regions that are annotated.
        asked: numbers of regions that were asked for and are not answered yet.
        cut: what the regions are.

    Raises:
        DataError: if a number lies outside, or shape, spacing, axis or id are invalid.
    """

    case_id: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    axis: int
    annotated: frozenset[int] = frozenset()
    asked: frozenset[int] = frozenset()
    cut: Cut = _SLICES

    def __post_init__(self) -> None:
        if not is_valid_case_id(self.case_id) or self.axis not in {0, 1, 2}:
            raise _bad(self.case_id, "a valid id and a slice axis of 0, 1 or 2", str(self.axis))
        if min(self.shape) < 1 or not min(self.spacing_mm) > 0:
            raise _bad(self.case_id, "a grid", f"shape {self.shape}, spacing {self.spacing_mm}")
        outside = sorted(i for i in self.taken if not 0 <= i < self.region_count)
        if outside:
            raise _bad(self.case_id, f"region numbers below {self.region_count}", str(outside))

    @classmethod
    def on(
        cls,
        case_id: str,
        geometry: Geometry,
        looked_at: npt.NDArray[np.bool_] | None = None,
        axis: int | None = None,
        cut: Cut = _SLICES,
    ) -> CasePool:
        """Build from a case's grid and where somebody looked.

        Args:
            case_id: the case.
            geometry: the case's grid.
            looked_at: (I, J, K) of that grid, e.g. `Target.looked_at`; None for nowhere.
            axis: the slice axis; by default what `slice_axis` says.
            cut: what can be asked for.
        """
        across = slice_axis(geometry) if axis is None else axis
        if looked_at is not None and looked_at.shape != geometry.shape:
            raise _bad(case_id, f"a looked-at mask of shape {geometry.shape}", f"{looked_at.shape}")
        case = cls(case_id, geometry.shape, geometry.spacing_mm, across, cut=cut)
        if looked_at is None:
            return case
        shares = case.sums(looked_at) / case.voxel_counts
        return replace(case, annotated=_numbers(shares >= ANNOTATED_SHARE))

    @cached_property
    def lattices(self) -> tuple[Lattice, ...]:
        """The tilings of the grid whose boxes are the regions, numbered one after the other."""
        return self.cut.lattices(self.shape, self.spacing_mm, self.axis)

    @cached_property
    def region_count(self) -> int:
        """Regions of the case, whatever their state."""
        return sum(len(lattice) for lattice in self.lattices)

    @cached_property
    def voxel_counts(self) -> npt.NDArray[np.int64]:
        """Voxels of each region, (n,)."""
        return np.concatenate([lattice.voxel_counts for lattice in self.lattices])

    @cached_property
    def centres_mm(self) -> npt.NDArray[np.float64]:
        """The middle of each region from the grid's first voxel, (n, 3)."""
        centres = np.concatenate([lattice.centres_vox for lattice in self.lattices])
        return np.asarray(centres * np.asarray(self.spacing_mm))

    @cached_property
    def tiling(self) -> npt.NDArray[np.int64]:
        """Which of the lattices each region belongs to, (n,)."""
        lengths = [len(lattice) for lattice in self.lattices]
        return np.repeat(np.arange(len(lengths)), lengths)

    @property
    def taken(self) -> frozenset[int]:
        """Regions that are annotated or asked for."""
        return self.annotated | self.asked

    @cached_property
    def open_regions(self) -> tuple[int, ...]:
        """Regions that can be asked for, ascending."""
        taken = self.taken
        return tuple(i for i in range(self.region_count) if i not in taken)

    def region(self, index: int) -> Box:
        """A region as a box."""
        for lattice in self.lattices:
            if index < len(lattice):
                return lattice.box(index)
            index -= len(lattice)
        raise IndexError(index)

    def sums(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Sum of values (..., I, J, K) over each region, (..., n)."""
        return np.concatenate([lattice.sums(values) for lattice in self.lattices], axis=-1)

    def regions_in(self, box: Box) -> frozenset[int]:
        """The regions of which a box covers at least `ANNOTATED_SHARE`."""
        covered = np.concatenate([lattice.covered(box) for lattice in self.lattices])
        return _numbers(covered >= ANNOTATED_SHARE)

    def distances_mm(self, index: int, others: Collection[int]) -> npt.NDArray[np.float64]:
        """From a region's middle to those of others of the same tiling, (m,); others are left out.

        Slices that cross are never near one another: what they show is not the same.
        """
        alike = [other for other in others if self.tiling[other] == self.tiling[index]]
        apart = self.centres_mm[alike] - self.centres_mm[index]
        return np.asarray(np.linalg.norm(apart, axis=1))


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
        """Every region that can be asked for, by case and number."""
        return tuple(Candidate(c.case_id, i) for c in self.cases for i in c.open_regions)

    @cached_property
    def open_cases(self) -> tuple[CasePool, ...]:
        """The cases that have a region to ask for."""
        return tuple(case for case in self.cases if case.open_regions)

    @property
    def region_count(self) -> int:
        """Regions of all cases, whatever their state."""
        return sum(case.region_count for case in self.cases)

    @property
    def annotated_count(self) -> int:
        """Annotated regions of all cases."""
        return sum(len(case.annotated) for case in self.cases)

    @property
    def share_annotated(self) -> float:
        """Annotated regions over those of one tiling of all cases, 0 to 1.

        A third of the planes along three axes is as much to look at as all slices along one.
        """
        return min(1.0, self.annotated_count / self.tiling_count)

    @property
    def tiling_count(self) -> float:
        """Regions that together show everything once, over all cases."""
        return sum(case.region_count / len(case.lattices) for case in self.cases)

    def region(self, candidate: Candidate) -> Box:
        """The candidate's voxels."""
        return self.by_id[candidate.case_id].region(candidate.index)

    def with_asked(self, queries: Iterable[Query]) -> Pool:
        """The pool once `queries` are with an annotator: not to be asked again."""
        grown = self._regions_of(queries)
        return self._with({i: replace(c, asked=c.asked | grown[i]) for i, c in self._of(grown)})

    def with_annotated(self, queries: Iterable[Query]) -> Pool:
        """The pool once `queries` are answered."""
        grown = self._regions_of(queries)
        return self._with(
            {
                i: replace(c, annotated=c.annotated | grown[i], asked=c.asked - grown[i])
                for i, c in self._of(grown)
            }
        )

    def _of(self, case_ids: Iterable[str]) -> list[tuple[str, CasePool]]:
        return [(case_id, self.by_id[case_id]) for case_id in case_ids]

    def _with(self, changed: dict[str, CasePool]) -> Pool:
        return Pool(tuple(changed.get(case.case_id, case) for case in self.cases))

    def _regions_of(self, queries: Iterable[Query]) -> dict[str, frozenset[int]]:
        found: dict[str, frozenset[int]] = {}
        for query in queries:
            case = self.by_id.get(query.case_id)
            if case is None:
                raise _bad(query.case_id, "queries for cases of the pool", "an unknown case")
            known = found.get(query.case_id, frozenset())
            found[query.case_id] = known | case.regions_in(query.region)
        return found


def _numbers(chosen: npt.NDArray[np.bool_]) -> frozenset[int]:
    return frozenset(np.flatnonzero(chosen).tolist())


def _bad(case_id: str, expected: str, found: str) -> DataError:
    where = f'pool, case "{case_id}"' if case_id else "pool"
    return DataError(Problem(where, expected, found, "build the pool from the cases' own grids"))
