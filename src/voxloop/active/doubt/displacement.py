"""Expected surface displacement: doubt in millimetres of the surface that will be printed.

An entropy counts a doubtful voxel the same wherever it lies. What a print suffers from is how far
its surface is off. Follow the normal of a label's predicted surface, at s: say the true surface
crosses it at X, unknown. A voxel at x lies on the wrong side of the prediction if X lies beyond
x, seen from s; call the probability of that e(x). Integrated by parts along the normal,

    integral of e(x) dx = E|X - s|        integral of 2 |x - s| e(x) dx = E(X - s)^2.

And e needs no normal: it is 1 - p(label) where the label is predicted and p(label) elsewhere;
with two classes, min(p, 1 - p). So the sum of e over voxels, by the area of the surface, is its
mean displacement, and weighted by twice the distance to the surface it is the mean square: doubt
far from the surface, a part that may be missing or an island that may exist, counts for how far
it would move the print, doubt at the surface for the fraction of a voxel that it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.active.doubt.acquisition import (
    Members,
    Regions,
    ScoreArray,
    SpacingMm,
    class_means,
    highest_two,
)
from voxloop.volume.boxes import Box, bounding_box

__all__ = ["mean_displacement_mm", "surface_displacement"]

Places = tuple[npt.NDArray[Any], ...]

_REACH_MM = 20.0
"""No error counts as farther than this: beyond, a part is missing, not displaced."""

_LEAST_DOUBT = 0.01
"""Smaller error probabilities count as none: tails of the softmax over a whole scan, times their
distance, would outweigh the surface."""

_NEVER_ON = 1e-3
"""How near a crossing may come to a voxel's centre, in spacings; keeps its inverse finite."""


def surface_displacement(
    members: Members,
    spacing_mm: SpacingMm,
    *,
    reach_mm: float = _REACH_MM,
    least_doubt: float = _LEAST_DOUBT,
) -> ScoreArray:
    """What each voxel adds to the mean square displacement of the labels' surfaces.

    The sum over labels of 2 d e: e the probability that the prediction is wrong about the label
    here, d the distance from the voxel's centre to the label's predicted surface. The volume
    integral over a stretch of surface, divided by its area, is its mean square displacement in
    mm^2. The prediction is the members' mean, each voxel its most likely class; its surface lies
    between unlike neighbours, nearer to the less certain one. A surface between two labels is
    one of both.

    Where a label is predicted nowhere, or farther away than `reach_mm`, the distance is
    `reach_mm`: an organ that may be missing altogether is as bad as the measure knows.

    Args:
        members: (M, C, I, J, K).
        spacing_mm: of their grid.
        reach_mm: the largest distance that counts, above 0.
        least_doubt: smaller e count as none.

    Returns:
        (I, J, K), mm, from 0; not a number where a probability is none.
    """
    first, second, predicted = highest_two(members)
    scores = np.zeros_like(first)
    for label in _each_label(members, predicted, least_doubt):
        place = label.box.slices
        others = np.where(label.shown, second[place], label.mean)
        doubtful = np.nonzero(label.wrong)
        distance = _distance_mm(label.shown, first[place] - others, spacing_mm, doubtful)
        wrong = label.wrong[doubtful]
        scores[place][doubtful] += 2 * np.minimum(distance, reach_mm) * wrong
    scores[np.isnan(first)] = np.nan
    return scores


def mean_displacement_mm(
    members: Members,
    spacing_mm: SpacingMm,
    regions: Regions,
    *,
    reach_mm: float = _REACH_MM,
    least_doubt: float = _LEAST_DOUBT,
) -> npt.NDArray[np.float64]:
    """By how much the surfaces in a region are expected to be off, for a person to read.

    The volume that is expected to be on the wrong side, over the area that the surface is
    expected to have there: the integral of |grad p|, which is the mean area of all surfaces of
    equal probability (coarea formula). Where the surface is certain that is its own area, freed
    of the grid's staircase; where it may lie in this slice or in the next, each has its share; and
    where nothing is predicted but something may be, it is the surface of what may be, so that the
    result is how far that would have to shrink to be nothing.

    Args:
        members: (M, C, I, J, K).
        spacing_mm: of their grid.
        regions: what the grid is cut into, n regions.
        reach_mm: the largest result, above 0; also where there is doubt but no place for it.
        least_doubt: smaller error probabilities count as none.

    Returns:
        (n,), mm, over all labels together; 0 without doubt; not a number where a probability is
        none.
    """
    first, _, predicted = highest_two(members)
    wrong, area = np.zeros_like(first), np.zeros_like(first)
    for label in _each_label(members, predicted, least_doubt):
        wrong[label.box.slices] += label.wrong
        area[label.box.slices] += _steepness(label.mean, spacing_mm)
    volumes, areas = regions.sums(wrong), regions.sums(area)  # both in voxels' volumes
    displacement = np.full_like(volumes, reach_mm)
    np.divide(volumes, areas, out=displacement, where=areas > 0)
    displacement[volumes == 0] = 0
    displacement[regions.sums(np.isnan(first)) > 0] = np.nan
    return np.minimum(displacement, reach_mm)


@dataclass(frozen=True, eq=False)
class _Label:
    """A label in the box that holds it and all its doubt.

    Attributes:
        box: of the grid; what follows has its shape.
        shown: where the label is predicted.
        mean: its mean probability.
        wrong: probability that the prediction is wrong about it, 0 below the least doubt.
    """

    box: Box
    shown: npt.NDArray[np.bool_]
    mean: ScoreArray
    wrong: ScoreArray


def _each_label(
    members: Members, predicted: npt.NDArray[np.uint8], least_doubt: float
) -> Iterator[_Label]:
    for index, mean in enumerate(class_means(members)):
        shown = predicted == index
        around = bounding_box(shown | (mean > least_doubt)) if index else None
        if around is None:
            continue
        i, j, k = shown.shape
        box = around.padded(2, (i, j, k))  # the slope at the rim takes a neighbour on each side
        here, probability = shown[box.slices], mean[box.slices]
        wrong = np.where(here, 1 - probability, probability)
        wrong[~(wrong > least_doubt)] = 0
        yield _Label(box, here, probability, wrong)


def _distance_mm(
    shown: npt.NDArray[np.bool_], lead: ScoreArray, spacing_mm: SpacingMm, places: Places
) -> ScoreArray:
    """From the centres of some voxels to the surface, infinite where there is none.

    By way of the voxel at the surface that is nearest, and from there to the surface itself.
    """
    from scipy.ndimage import distance_transform_edt

    steps_mm = _steps_to_surface_mm(shown, lead, spacing_mm)
    at_surface: npt.NDArray[np.bool_] = np.asarray(steps_mm.any(axis=0))
    square = np.zeros(len(places[0]), dtype=lead.dtype)
    if not at_surface.any():
        return square + np.inf
    indices = distance_transform_edt(
        ~at_surface, sampling=spacing_mm, return_distances=False, return_indices=True
    )
    nearest = tuple(along[places] for along in indices)
    for axis, spacing in enumerate(spacing_mm):
        way_mm = (nearest[axis] - places[axis]) * spacing
        square += (way_mm + steps_mm[axis][nearest]) ** 2
    return np.asarray(np.sqrt(square))


def _steps_to_surface_mm(
    shown: npt.NDArray[np.bool_], lead: ScoreArray, spacing_mm: SpacingMm
) -> ScoreArray:
    """From each voxel that has an unlike neighbour to the nearest point of the surface, (3, ...).

    Between unlike neighbours the surface is crossed where the lead of the winning class, linear
    between them, changes sides; a plane through the crossings along each axis is the surface.

    Args:
        shown: where the label is predicted.
        lead: how far the winning class leads over the label, or the label over the next, from 0.
        spacing_mm: of the grid.

    Returns:
        Millimetres along each axis, zero at voxels without an unlike neighbour.
    """
    inverse = np.zeros((3, *shown.shape), dtype=lead.dtype)
    for axis, spacing in enumerate(spacing_mm):
        low, high = (_without(axis, end) for end in (-1, 0))
        crossed = shown[low] != shown[high]
        both = lead[low] + lead[high]
        share = np.divide(lead[low], both, out=np.full_like(both, 0.5), where=both > 0)
        share = np.clip(share, _NEVER_ON, 1 - _NEVER_ON)
        inverse[axis][low] = crossed / (share * spacing)
        back = crossed / ((1 - share) * spacing)
        nearer = back > inverse[axis][high]
        inverse[axis][high][nearer] = -back[nearer]
    strength = np.einsum("a...,a...->...", inverse, inverse)
    return np.asarray(np.divide(inverse, strength, out=inverse, where=strength > 0))


def _steepness(mean: ScoreArray, spacing_mm: SpacingMm) -> ScoreArray:
    square = np.zeros_like(mean)
    for axis, spacing in enumerate(spacing_mm):
        if mean.shape[axis] > 1:
            square += np.gradient(mean, spacing, axis=axis) ** 2
    return np.nan_to_num(np.sqrt(square))  # beside a broken voxel, in regions that are whole


def _without(axis: int, end: int) -> tuple[slice, ...]:
    """All voxels but the last (-1) or the first (0) along an axis."""
    here = slice(None, -1) if end else slice(1, None)
    return (slice(None),) * axis + (here,)
