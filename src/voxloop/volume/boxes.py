"""Axis-aligned boxes of voxels: slices, patches, bounding boxes, whole volumes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Box", "bounding_box"]

Triple = tuple[int, int, int]


@dataclass(frozen=True, order=True, slots=True)
class Box:
    """A half-open box of voxels: `start` belongs to it, `stop` does not.

    A slice is a box one voxel thick, a whole volume is the box of its shape; so every region a
    person can be asked for has one representation.

    Attributes:
        start: first voxel along each axis; may be negative for a patch that needs padding.
        stop: one past the last voxel along each axis, above `start`.
    """

    start: Triple
    stop: Triple

    def __post_init__(self) -> None:
        if any(b <= a for a, b in zip(self.start, self.stop, strict=True)):
            message = f"a box needs stop > start along each axis, found {self.start}, {self.stop}"
            raise ValueError(message)

    @classmethod
    def whole(cls, shape: Triple) -> Box:
        """All voxels of a grid."""
        return cls((0, 0, 0), shape)

    @classmethod
    def slice_at(cls, shape: Triple, axis: int, index: int) -> Box:
        """The slice `index` across `axis` of a grid."""
        start, stop = [0, 0, 0], list(shape)
        start[axis], stop[axis] = index, index + 1
        return cls((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))

    @classmethod
    def centred(cls, centre: Triple, shape: Triple) -> Box:
        """A box of `shape` whose middle voxel is `centre`."""
        start = [c - n // 2 for c, n in zip(centre, shape, strict=True)]
        stop = [a + n for a, n in zip(start, shape, strict=True)]
        return cls((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))

    @property
    def shape(self) -> Triple:
        """Voxels along each axis."""
        i, j, k = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return i, j, k

    @property
    def voxel_count(self) -> int:
        """Voxels in the box."""
        i, j, k = self.shape
        return i * j * k

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """For indexing an array; the box must lie inside it."""
        a, b = self.start, self.stop
        return slice(a[0], b[0]), slice(a[1], b[1]), slice(a[2], b[2])

    @property
    def slice_axis(self) -> int | None:
        """The axis across which the box is one voxel thick (the first such), or None."""
        return next((axis for axis, n in enumerate(self.shape) if n == 1), None)

    def clip(self, shape: Triple) -> Box:
        """The part inside a grid of `shape`; the box must touch it."""
        start = [max(0, a) for a in self.start]
        stop = [min(n, b) for b, n in zip(self.stop, shape, strict=True)]
        return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))

    def padded(self, margin: int | Triple, shape: Triple) -> Box:
        """Grown by `margin` voxels on every side, clipped to a grid of `shape`."""
        width = (margin,) * 3 if isinstance(margin, int) else margin
        start = [a - m for a, m in zip(self.start, width, strict=True)]
        stop = [b + m for b, m in zip(self.stop, width, strict=True)]
        grown = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
        return grown.clip(shape)

    def moved(self, by: Triple) -> Box:
        """So many voxels further along each axis."""
        start = [a + m for a, m in zip(self.start, by, strict=True)]
        stop = [b + m for b, m in zip(self.stop, by, strict=True)]
        return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))

    def overlaps(self, other: Box) -> bool:
        """True if the two boxes share a voxel."""
        return all(
            max(a, c) < min(b, d)
            for a, b, c, d in zip(self.start, self.stop, other.start, other.stop, strict=True)
        )

    def to_json(self) -> dict[str, list[int]]:
        """Start and stop as lists."""
        return {"start": list(self.start), "stop": list(self.stop)}

    @classmethod
    def from_json(cls, document: dict[str, list[int]]) -> Box:
        """Read what `to_json` wrote."""
        a, b = document["start"], document["stop"]
        return cls((a[0], a[1], a[2]), (b[0], b[1], b[2]))

    def corners(self) -> npt.NDArray[np.int64]:
        """The eight corner voxels, (8, 3)."""
        spans = ((a, b - 1) for a, b in zip(self.start, self.stop, strict=True))
        return np.array(list(itertools.product(*spans)))


def bounding_box(mask: npt.NDArray[np.bool_]) -> Box | None:
    """The smallest box around the true voxels of a mask (I, J, K), or None if there are none."""
    spans = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        hit = np.flatnonzero(mask.any(axis=others))
        if hit.size == 0:
            return None
        spans.append((int(hit[0]), int(hit[-1]) + 1))
    (i0, i1), (j0, j1), (k0, k1) = spans
    return Box((i0, j0, k0), (i1, j1, k1))
