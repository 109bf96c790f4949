"""Read the files of one case, and make sure that they lie on one grid."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from voxloop.dataset.case import Case
from voxloop.errors import DataError, Problem
from voxloop.io.formats import read_geometry, read_label_map, read_volume
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume

__all__ = [
    "grid_problem",
    "naming_case",
    "read_case_channels",
    "read_case_geometry",
    "read_case_label_map",
]


def read_case_channels(case: Case) -> tuple[Volume, ...]:
    """Read all channels of a case.

    Raises:
        DataError: if a file is bad or the channels are on different grids; names the case.
    """
    with naming_case(case):
        volumes = tuple(read_volume(path) for path in case.channels)
    grid = volumes[0].geometry
    found = (
        grid_problem(case, path, grid, volume.geometry)
        for path, volume in zip(case.channels, volumes, strict=True)
    )
    problems = [problem for problem in found if problem]
    if problems:
        raise DataError(problems)
    return volumes


def read_case_geometry(case: Case) -> Geometry:
    """Read the grid of a case, from the header of its first channel.

    Raises:
        DataError: if the header is bad; names the case.
    """
    with naming_case(case):
        return read_geometry(case.channels[0])


def read_case_label_map(
    case: Case, labels: LabelTable, *, ignore_value: int | None = None
) -> LabelMap:
    """Read the label map that came with a case.

    Args:
        case: with a label map.
        labels: the label table of the data set.
        ignore_value: as in `Dataset`.

    Raises:
        DataError: if there is none, the file is bad, has unknown values, or is not on the grid
            of the case's first channel; names the case.
    """
    if case.label_map is None:
        raise DataError(
            Problem(case.where(), "a label map", "none", "annotate the case or choose another")
        )
    with naming_case(case):
        label_map = read_label_map(case.label_map, labels, ignore_value=ignore_value)
    problem = grid_problem(case, case.label_map, read_case_geometry(case), label_map.geometry)
    if problem:
        raise DataError(problem)
    return label_map


def grid_problem(case: Case, path: Path, expected: Geometry, found: Geometry) -> Problem | None:
    """Describe how the grid of a case's file differs from the case's, or None if it does not."""
    difference = expected.difference(found)
    if difference is None:
        return None
    return Problem(
        case.where(path),
        f"the grid of the image {case.channels[0].name}",
        difference,
        "resample it to the image (labels by nearest neighbour) or export both again",
    )


@contextlib.contextmanager
def naming_case(case: Case) -> Iterator[None]:
    """Within the block, put the case's name before the place of every problem raised."""
    try:
        yield
    except DataError as error:
        raise DataError(
            replace(problem, where=f"{case.where()}, {problem.where}") for problem in error.problems
        ) from error
