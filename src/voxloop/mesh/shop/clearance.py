"""A gap between parts that touch, so that they can be printed separately and put together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from voxloop.errors import UsageError
from voxloop.mesh.mesh import Mesh, VertexArray
from voxloop.mesh.shop.alteration import Alteration, Altered
from voxloop.mesh.shop.offset import MAX_SAMPLES, offset_surface
from voxloop.mesh.shop.solid import coarser, place, refusal, sound, to_solid

__all__ = ["separate"]

_COARSER = 0.02
"""Share of the distance by which the surface around a part may be simplified."""


def separate(meshes: Sequence[Mesh], *, gap_mm: float) -> Altered:
    """Keep parts at least a gap apart; each of two neighbours gives way by half of it.

    What lies farther than the gap from every other part stays as it is. The gap comes out up to
    a tenth wider.

    Args:
        meshes: two or more closed surfaces that do not overlap, though they may touch.
        gap_mm: smallest distance between any two afterwards.

    Returns:
        The parts in the order given; one alteration for each pair that had to give way.

    Raises:
        UsageError: if the gap is not positive.
        DataError: if nothing would be left of a part.
        LimitError: if the region of contact is too large for a gap as small as that.
    """
    if not gap_mm > 0:
        raise UsageError(f"a gap must be above 0 mm, found {gap_mm:g}")
    parts = list(meshes)
    alterations = []
    for first, second in itertools.combinations(range(len(parts)), 2):
        one, other = parts[first], parts[second]
        before_mm3 = one.volume_mm3 + other.volume_mm3
        # the second step measures from what the first has left, so that the gap is whole wherever
        # the two were apart by less than it
        one = _kept_off(one, other, gap_mm / 2)
        other = _kept_off(other, one, gap_mm)
        taken_mm3 = before_mm3 - one.volume_mm3 - other.volume_mm3
        if taken_mm3 <= 0:
            continue
        where = place(_shared_box(parts[first], parts[second], gap_mm).mean(axis=0))
        parts[first], parts[second] = one, other
        alterations.append(Alteration("gap cut between parts", where, gap_mm))
    return Altered(tuple(parts), tuple(alterations))


def _kept_off(mesh: Mesh, other: Mesh, by_mm: float) -> Mesh:
    """A part without what lies within a distance of another."""
    box = _shared_box(mesh, other, by_mm)
    if (box[0] >= box[1]).any():
        return mesh
    affordable = float((np.prod(box[1] - box[0] + 4 * by_mm) / (0.6 * MAX_SAMPLES)) ** (1 / 3))
    spacing_mm = min(max(by_mm / 2.5, affordable), by_mm / 2)
    # what cells and simplification cut off round edges must not make the gap narrower
    slack_mm = spacing_mm**2 / (4 * by_mm) + _COARSER * by_mm
    around = offset_surface(other, by_mm + slack_mm, spacing_mm=spacing_mm, box_mm=box)
    if around is None:
        return mesh
    whole = to_solid(mesh)
    if (whole - to_solid(around)).is_empty():
        raise refusal(
            f"parts thicker than the gap of {2 * by_mm:g} mm",
            f"one of {mesh.volume_mm3:.3g} mm3 of which nothing would be left",
            "ask for a smaller gap, or print the parts together",
        )
    return sound(lambda share: whole - coarser(around, share * _COARSER * by_mm))


def _shared_box(mesh: Mesh, other: Mesh, by_mm: float) -> VertexArray:
    """(2, 3) around all of a part that can lie within a distance of another."""
    low = np.maximum(mesh.bounds_mm[0], other.bounds_mm[0] - by_mm)
    high = np.minimum(mesh.bounds_mm[1], other.bounds_mm[1] + by_mm)
    return np.stack([low, high])
