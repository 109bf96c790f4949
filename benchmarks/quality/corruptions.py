"""Scans with something wrong with them, made from good ones, as they come up in practice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from voxloop.volume.geometry import Geometry
from voxloop.volume.volume import Volume

__all__ = ["CORRUPTIONS", "Corruption", "another_anatomy"]

Make = Callable[[Volume, np.random.Generator], Volume]


@dataclass(frozen=True)
class Corruption:
    """One way to break a scan.

    Attributes:
        make: a broken scan from a good one.
        moves: voxels move or vanish, so that the reference must follow them; with a generator in
            the same state it does.
    """

    make: Make
    moves: bool


def _noise(scan: Volume, rng: np.random.Generator) -> Volume:
    """Gaussian noise as strong as the scan's own contrast."""
    array = scan.array.astype(np.float32)
    noise = rng.normal(0, array.std(), array.shape).astype(np.float32)
    return Volume(array + noise, scan.geometry)


def _cut(scan: Volume, rng: np.random.Generator) -> Volume:
    """Forty per cent of the field of view missing from one end of a random axis."""
    axis, from_end = int(rng.integers(3)), bool(rng.integers(2))
    length = scan.array.shape[axis]
    gone = round(0.4 * length)
    kept = slice(0, length - gone) if from_end else slice(gone, length)
    place = tuple(kept if a == axis else slice(None) for a in range(3))
    array = np.ascontiguousarray(scan.array[place])
    matrix = scan.geometry.matrix.copy()
    matrix[:3, 3] += matrix[:3, axis] * (kept.start or 0)
    return Volume(array, Geometry.from_affine(array.shape, matrix))


def _flipped(axis_in_body: int) -> Make:
    """The voxels reversed along one axis of the body while the header stays: a lost sign."""

    def flip(scan: Volume, _rng: np.random.Generator) -> Volume:
        axis = scan.geometry.world_axes.index(axis_in_body)
        return Volume(np.ascontiguousarray(np.flip(scan.array, axis)), scan.geometry)

    return flip


def another_anatomy(other: Volume, like: Volume, rng: np.random.Generator) -> Volume:
    """A piece of another scan, of the size of a scan that the model knows.

    Args:
        other: a scan of another part of the body, or of another kind.
        like: gives the size in mm.
        rng: draws the place.
    """
    wanted_mm = np.empty(3)
    wanted_mm[list(like.geometry.world_axes)] = np.multiply(
        like.array.shape, like.geometry.spacing_mm
    )
    count = np.rint(wanted_mm[list(other.geometry.world_axes)] / other.geometry.spacing_mm)
    shape = np.asarray(other.array.shape)
    count = np.clip(count, 4, shape).astype(int)
    start = [int(rng.integers(0, n - c + 1)) for n, c in zip(shape, count, strict=True)]
    place = tuple(slice(a, a + c) for a, c in zip(start, count.tolist(), strict=True))
    matrix = other.geometry.matrix.copy()
    matrix[:3, 3] = other.geometry.to_world([start])[0]
    array = np.ascontiguousarray(other.array[place])
    return Volume(array, Geometry.from_affine(array.shape, matrix))


CORRUPTIONS = {
    "noise": Corruption(_noise, moves=False),
    "cut field of view": Corruption(_cut, moves=True),
    "flipped left to right": Corruption(_flipped(0), moves=True),
    "flipped front to back": Corruption(_flipped(1), moves=True),
    "flipped head to foot": Corruption(_flipped(2), moves=True),
}
"""Name to what makes one; the other anatomy needs a second scan and stands apart."""
