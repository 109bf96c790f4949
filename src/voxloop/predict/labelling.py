"""From probabilities on the network's grid to labels on the scan's, never all at full size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from voxloop.plan.preprocess import Prepared
from voxloop.predict.look import FAINT
from voxloop.predict.rivals import least_to_win
from voxloop.volume.labels import BACKGROUND
from voxloop.volume.separable import AxisMap, axis_maps
from voxloop.volume.volume import LabelArray

__all__ = ["Labeller"]

Float32Array = npt.NDArray[np.float32]
Planes = Mapping[int, npt.NDArray[np.floating]]

_BLOCK_VOX = 24
"""Smaller blocks have fewer classes to compare, larger ones fewer borders to do twice."""


@dataclass(frozen=True, eq=False)
class _Span:
    """Neighbouring voxels along one axis of the scan.

    Attributes:
        place: these voxels.
        source: the planes of the network's grid that count for them.
        weights: (voxels, planes) float32; None where values are taken as they are.
        step: -1 where they are then taken in reverse.
    """

    place: slice
    source: slice
    weights: Float32Array | None
    step: int = 1


Block = tuple[_Span, _Span, _Span]
"""In the order of the network's axes."""


class Labeller:
    """Labels a scan voxel by voxel with its most probable class, as slabs come in.

    Interpolated probabilities are weighted means of their neighbours', so a few numbers about a
    block of the scan tell which classes can be the most probable somewhere in it (`least_to_win`);
    mostly that is one, and the block is filled. The others are compared voxel by voxel. The result
    is that of bringing all classes to the scan's grid; of equally probable classes the first is
    taken.

    Args:
        prepared: the case.
        values: the label values, in the order of the classes after the background.
        axis: of the network's grid, across which the slabs follow each other.
        uncertainty: whether the entropy is wanted as well.

    Attributes:
        labels: of the scan's shape.
        entropy: of each voxel's probabilities, 255 where all classes are equally probable; None
            if it is not wanted.
        lead: planes of a slab that must be shown again with the next.
    """

    def __init__(
        self, prepared: Prepared, values: tuple[int, ...], axis: int, *, uncertainty: bool = False
    ) -> None:
        maps = axis_maps(prepared.grid, prepared.source)
        if maps is None:
            raise ValueError("the network's grid must run along the scan's axes")
        self._maps = maps
        self._values = np.array([BACKGROUND, *values], dtype=np.uint8)
        (self._along,) = (new for new, m in enumerate(maps) if m.axis == axis)
        self._support = maps[self._along].support
        self.lead = int((self._support[:, 1] - self._support[:, 0]).max())
        # scans are stored with the first axis fastest, and so is what is written of them
        shape = prepared.source.shape
        self.labels: LabelArray = np.full(shape, BACKGROUND, dtype=np.uint8, order="F")
        self.entropy = np.zeros(shape, dtype=np.uint8, order="F") if uncertainty else None
        self._left = np.argsort(self._support.sum(axis=1), kind="stable")

    def add(self, planes: Planes, first: int, stop: int) -> None:
        """Label all voxels for which enough is known.

        Args:
            planes: by class, (a, b, c), planes `first` to `stop` of the network's grid along the
                axis; what is not there is zero.
            first: at most `lead` before the end of the last slab.
            stop: one past the last plane.
        """
        count = int((self._support[self._left, 1] <= stop).sum())
        now, self._left = self._left[:count], self._left[count:]
        if not count:
            return
        spans: dict[int, list[_Span]] = {}
        for new, along in enumerate(self._maps):
            if new == self._along:
                spans[along.axis] = list(_spans(along, int(now.min()), int(now.max()) + 1, first))
            else:
                spans[along.axis] = list(_spans(along, 0, len(along.weights), 0))
        self._label(planes, (spans[0], spans[1], spans[2]))

    def _label(self, planes: Planes, spans: tuple[list[_Span], list[_Span], list[_Span]]) -> None:
        classes = sorted(planes)
        values = self._values[classes]
        highest, total = _extremes([planes[c] for c in classes], spans)
        can_win = highest >= least_to_win(highest, total)
        counts = can_win if self.entropy is None else can_win | (highest >= FAINT)
        alone, sole = counts.sum(axis=0) == 1, can_win.argmax(axis=0)
        order = [m.axis for m in self._maps]
        for i, j, k in np.ndindex(*alone.shape):
            block = spans[0][i], spans[1][j], spans[2][k]
            place = tuple(block[axis].place for axis in order)
            if alone[i, j, k]:
                self.labels[place] = values[sole[i, j, k]]
                continue
            chosen = np.flatnonzero(counts[:, i, j, k])
            found = _interpolated([planes[classes[n]] for n in chosen], block)
            self.labels[place] = _most_probable(found, values[chosen]).transpose(order)
            if self.entropy is not None:
                self.entropy[place] = _entropy(found, len(self._values)).transpose(order)


def _spans(along: AxisMap, start: int, stop: int, origin: int) -> Iterator[_Span]:
    """Voxels `start` to `stop` in spans of about equal length; planes count from `origin`."""
    count = max(1, round((stop - start) / _BLOCK_VOX))
    edges = np.linspace(start, stop, count + 1).astype(int).tolist()
    for a, b in pairwise(edges):
        low, high = int(along.support[a:b, 0].min()), int(along.support[a:b, 1].max())
        weights = along.weights[a:b, low:high]
        source = slice(low - origin, high - origin)
        unit = np.eye(b - a, dtype=np.float32)
        for step in (1, -1):
            if weights.shape == unit.shape and (weights[::step] == unit).all():
                yield _Span(slice(a, b), source, None, step)
                break
        else:
            yield _Span(slice(a, b), source, weights)


def _extremes(
    planes: Sequence[npt.NDArray[np.floating]], spans: tuple[list[_Span], ...]
) -> tuple[Float32Array, Float32Array]:
    """About each block each class's highest value, and the lowest sum of all."""
    total = np.array(planes[0], dtype=np.float32)
    for values in planes[1:]:
        total += values
    highest = np.stack([_over_spans(values, spans, np.maximum) for values in planes])
    return highest.astype(np.float32), _over_spans(total, spans, np.minimum)


def _over_spans(
    values: npt.NDArray[np.floating], spans: tuple[list[_Span], ...], extreme: np.ufunc
) -> npt.NDArray[np.floating]:
    for axis in range(3):
        turned = values.swapaxes(0, axis)
        found = [extreme.reduce(turned[span.source], axis=0) for span in spans[axis]]
        values = np.stack(found).swapaxes(0, axis)
    return values


def _interpolated(planes: Sequence[npt.NDArray[np.floating]], block: Block) -> Float32Array:
    """Values of classes in a block, (classes, a, b, c), in the order of the network's axes.

    Each class takes the same steps, so that equal ones stay equal.
    """
    i, j, k = block
    part = (i.source, j.source, k.source)
    found = np.stack([values[part] for values in planes]).astype(np.float32, copy=False)
    found = found[:, :: i.step, :: j.step, :: k.step]
    if k.weights is not None:
        found = np.matmul(found, k.weights.T)
    if j.weights is not None:
        found = np.matmul(j.weights, found)
    if i.weights is not None:
        # plane by plane: of one large product the threads would wait longer than they work
        found = np.matmul(i.weights, found.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
    return np.asarray(found)


def _most_probable(found: Float32Array, values: LabelArray) -> LabelArray:
    best = found[0].copy()
    labels = np.full(best.shape, values[0], dtype=np.uint8)
    for value, probability in zip(values[1:], found[1:], strict=True):
        np.copyto(labels, value, where=probability > best)
        np.maximum(best, probability, out=best)
    return labels


def _entropy(found: Float32Array, classes: int) -> npt.NDArray[np.uint8]:
    """Entropy over its largest value, 0 to 255; what is left out of `found` counts as zero."""
    tiny = np.float32(1e-12)
    doubt = -(found * np.log(np.maximum(found, tiny))).sum(axis=0)
    scaled = np.rint(doubt * (255 / math.log(classes))).clip(0, 255)
    return np.asarray(scaled, dtype=np.uint8)
