"""The one sentence in which every reader here refuses a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy.typing as npt

from voxloop.errors import DataError, Problem
from voxloop.volume.geometry import Geometry

__all__ = ["fault", "geometry_of"]


def fault(path: Path, expected: str, found: str, remedy: str) -> DataError:
    """Build the refusal of `path`; the words are those of `Problem`."""
    return DataError(Problem(str(path), expected, found, remedy))


def geometry_of(path: Path, shape: tuple[int, ...], affine: npt.ArrayLike) -> Geometry:
    """Build the grid that a header describes; a bad one is reported under the file's name.

    Args:
        path: the file the header is from.
        shape: its three axis lengths.
        affine: 4x4, voxel indices to RAS+ millimetres.

    Raises:
        DataError: as `Geometry` does, with `path` as the place.
    """
    try:
        return Geometry.from_affine(shape, affine)
    except DataError as error:
        raise DataError(replace(found, where=str(path)) for found in error.problems) from None
