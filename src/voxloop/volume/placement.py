"""Whether two grids hold the same voxels, and if not, what has happened to one of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.volume.boxes import Box
from voxloop.volume.geometry import AFFINE_TOLERANCE_VOX, Geometry

__all__ = ["Displacement", "displacement_of", "grid_fault", "on_grid"]

_FAR_BETTER = 0.1
"""What was displaced fits with at most this share of the disagreement once it is put back."""

_STEPS = (1, -1, 2, -2)
"""Slices by which programs that crop, pad or count from one displace a label map."""


def on_grid(array: npt.NDArray[Any], source: Geometry, target: Geometry) -> npt.NDArray[Any] | None:
    """The voxels of `source` in the order of `target`; None unless both hold the same voxels.

    Programs that write a label map with other axes first, or running the other way, say so in
    its affine. That loses nothing, and nothing is resampled here.

    Args:
        array: on `source`.
        source: the grid it is on.
        target: the grid it is wanted on.
    """
    turn = _signed_order(source, target)
    if turn is None:
        return None
    matrix, order, reverse = source.matrix, turn.order, turn.reverse
    step = np.eye(4)
    step[:3, :3] = 0
    for axis in range(3):
        sign = -1 if reverse[axis] else 1
        step[order[axis], axis] = sign
        step[order[axis], 3] = source.shape[order[axis]] - 1 if reverse[axis] else 0
    shape = [source.shape[axis] for axis in order]
    if target.difference(Geometry.from_affine(shape, matrix @ step)):
        return None
    backwards = tuple(slice(None, None, -1) if flip else slice(None) for flip in reverse)
    return np.asarray(array.transpose(order)[backwards])


def grid_fault(expected: Geometry, found: Geometry) -> str:
    """How a grid differs that should hold the same voxels, in words; mirrored and shifted by name.

    Args:
        expected: the scan's.
        found: another, for which `on_grid` has no answer.
    """
    plain = expected.difference(found) or "the same grid"
    turn = _signed_order(found, expected)
    if turn is None or turn.order != (0, 1, 2) or found.shape != expected.shape:
        return plain
    mirrored = [axis for axis in range(3) if turn.reverse[axis]]
    if mirrored:
        axes = " and ".join(map(str, mirrored))
        return f"a header that is mirrored along axis {axes} ({plain})"
    first_vox = expected.to_voxel([found.matrix[:3, 3]])[0]
    whole = np.rint(first_vox)
    if np.abs(first_vox - whole).max() > AFFINE_TOLERANCE_VOX or not whole.any():
        return plain
    parts = [f"{n:+d} voxels along axis {a}" for a, n in enumerate(whole.astype(int)) if n]
    return f"a header that is shifted by {' and '.join(parts)} ({plain})"


@dataclass(frozen=True, slots=True)
class Displacement:
    """What has happened to voxels under a header that is right.

    Attributes:
        mirrored: axes along which they run the wrong way.
        axis: along which they are shifted.
        steps: by how many voxels, towards higher indices; 0 if they are not shifted.
    """

    mirrored: tuple[int, ...] = ()
    axis: int = 0
    steps: int = 0

    @property
    def words(self) -> str:
        """For a person."""
        if self.mirrored:
            return f"mirrored along axis {' and '.join(map(str, self.mirrored))}"
        slices = "one slice" if abs(self.steps) == 1 else f"{abs(self.steps)} slices"
        way = "higher" if self.steps > 0 else "lower"
        return f"shifted by {slices} to {way} indices along axis {self.axis}"

    def undone(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The array as it was; what a shift had pushed over the edge comes back at the other."""
        if self.mirrored:
            return np.flip(array, self.mirrored)
        return np.roll(array, -self.steps, self.axis)


def displacement_of(
    array: npt.NDArray[Any], started: npt.NDArray[Any], regions: tuple[Box, ...]
) -> Displacement | None:
    """How a label map lies wrongly on its grid, as its content shows; None if nothing shows it.

    Where nobody was asked to draw, a label map is as it was handed out. If it is not, but is so
    once it is mirrored or shifted back, then it was mirrored or shifted by the program that wrote
    it. A drawing that lies beside the slice that was asked for, and fills it once it is shifted,
    is told by the same comparison.

    Args:
        array: as delivered (I, J, K).
        started: as handed out.
        regions: where changes were asked for.
    """
    elsewhere = np.ones(array.shape, dtype=bool)
    for region in regions:
        elsewhere[region.slices] = False
    here = _disagreement(array, started, elsewhere)
    if not here:
        return None
    costs = (
        (_disagreement(d.undone(array), started, elsewhere), n, d)
        for n, d in enumerate(_displacements())
    )
    cost, _, best = min(costs, key=lambda found: found[:2])
    return best if cost <= _FAR_BETTER * here else None


@dataclass(frozen=True, slots=True)
class _Turn:
    """For each axis of the target, the axis of the source, and whether it runs the other way."""

    order: tuple[int, int, int]
    reverse: tuple[bool, bool, bool]


def _signed_order(source: Geometry, target: Geometry) -> _Turn | None:
    """How the axes of two grids belong together; None if they are turned or scaled otherwise."""
    steps = np.linalg.inv(source.matrix[:3, :3]) @ target.matrix[:3, :3]
    whole = np.rint(steps)
    reach = max(*source.shape, *target.shape)
    if np.abs(steps - whole).max() * reach > 1 or set(np.abs(whole).ravel()) != {0.0, 1.0}:
        return None
    if not (np.abs(whole).sum(axis=0) == 1).all() or not (np.abs(whole).sum(axis=1) == 1).all():
        return None
    i, j, k = (int(axis) for axis in np.abs(whole).argmax(axis=0))
    a, b, c = (bool(value < 0) for value in whole.sum(axis=0))
    return _Turn((i, j, k), (a, b, c))


def _displacements() -> Iterator[Displacement]:
    for axis, steps in itertools.product(range(3), _STEPS):
        yield Displacement(axis=axis, steps=steps)
    for count in (1, 2, 3):
        for axes in itertools.combinations(range(3), count):
            yield Displacement(mirrored=axes)


def _disagreement(
    array: npt.NDArray[Any], started: npt.NDArray[Any], where: npt.NDArray[np.bool_]
) -> int:
    return int(np.count_nonzero((array != started) & where))
