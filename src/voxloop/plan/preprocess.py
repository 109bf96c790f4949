"""From a case to network input and back: canonical axes, the plan's spacing, normalised."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.dataset.annotation import Target
from voxloop.errors import DataError, Problem
from voxloop.plan.plan import Normalisation, Plan
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import BACKGROUND, IGNORE
from voxloop.volume.resample import resample_labels, resample_linear
from voxloop.volume.volume import LabelArray, Volume

__all__ = ["Prepared", "argmax_on_grid", "plan_grid", "prepare_image", "prepare_target"]

Float32Array = npt.NDArray[np.float32]

_SPACING_TOLERANCE = 0.03
"""Scans whose spacing differs less than this from the plan's keep their grid: resampling would
cost sharpness and gain nothing that augmentation does not cover."""


_MASKED_SHARE = 0.1
"""A scan of which more than this holds exactly its lowest value was masked or padded."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A case as the network sees it.

    Attributes:
        array: (C, I, J, K) float32, normalised, axes R, A, S.
        grid: where these voxels lie.
        source: the case's own grid, to which results return.
    """

    array: Float32Array
    grid: Geometry
    source: Geometry


def plan_grid(source: Geometry, plan: Plan) -> Geometry:
    """The grid on which the network sees a case: canonical axes at the plan's spacing."""
    canonical = source.canonical()
    ratio = np.asarray(plan.spacing_mm) / np.asarray(canonical.spacing_mm)
    if np.abs(np.log(ratio)).max() < np.log1p(_SPACING_TOLERANCE):
        return canonical
    return canonical.resampled(plan.spacing_mm)


def prepare_image(channels: tuple[Volume, ...], plan: Plan) -> Prepared:
    """Reorient, resample and normalise the channels of a case.

    Args:
        channels: one volume per channel of the plan, on one grid.
        plan: spacing and normalisation.

    Raises:
        DataError: if the number of channels is not the plan's.
    """
    if len(channels) != len(plan.channel_names):
        raise DataError(
            Problem(
                "image",
                f"{len(plan.channel_names)} channels ({', '.join(plan.channel_names)})",
                f"{len(channels)}",
                "give one file per channel, as in training",
            )
        )
    source = channels[0].geometry
    grid = plan_grid(source, plan)
    array = np.stack(
        [
            resample_linear(_normalised(volume.array, how), source, grid)
            for volume, how in zip(channels, plan.normalisation, strict=True)
        ]
    )
    return Prepared(array, grid, source)


def prepare_target(target: Target, source: Geometry, plan: Plan) -> Target:
    """Bring what is known of a case's labels to the network's grid.

    Each voxel takes the nearest voxel's value. On a coarser grid an annotated slice can fall
    between the new ones; its voxels are then given to the nearest new voxels, so that no
    annotation is lost.
    """
    grid = plan_grid(source, plan)
    values = resample_labels(target.values, source, grid)
    asked = resample_labels(target.asked, source, grid)
    if any(new < old for new, old in zip(grid.shape, source.canonical().shape, strict=True)):
        values, asked = _keep_thin(target, values, asked, source, grid)
    return Target(values, asked, target.asked_sets, target.labels)


def argmax_on_grid(
    probabilities: Iterable[Float32Array], values: tuple[int, ...], prepared: Prepared
) -> LabelArray:
    """The most probable label of each voxel of the case's own grid.

    One class at a time is brought to the grid, so memory does not grow with their number.

    Args:
        probabilities: (I, J, K) on the network's grid, background first, then per label.
        values: the label values, in the order of `probabilities` after the background.
        prepared: the case they were predicted for.
    """
    best: Float32Array | None = None
    labels = np.full(prepared.source.shape, BACKGROUND, dtype=np.uint8)
    for value, probability in zip((BACKGROUND, *values), probabilities, strict=True):
        here = resample_linear(probability, prepared.grid, prepared.source)
        if best is None:
            best = here
            continue
        better = here > best
        labels[better] = value
        np.copyto(best, here, where=better)
    return labels


def _normalised(array: npt.NDArray[np.generic], how: Normalisation) -> Float32Array:
    values = np.asarray(array, dtype=np.float32)
    if how.method == "fixed" and how.clip is not None:
        return np.asarray((np.clip(values, *how.clip) - how.mean) / how.sd, dtype=np.float32)
    empty = _empty_value(values)
    inside = values[values != empty] if empty is not None else values
    low, high = np.percentile(inside, [0.5, 99.5])
    inside = np.clip(inside, low, high)
    clipped = np.clip(values, low, high)
    if empty is not None:
        clipped[values == empty] = empty
    return np.asarray((clipped - inside.mean()) / max(float(inside.std()), 1e-6))


def _empty_value(values: Float32Array) -> float | None:
    """What a masked or padded scan holds outside the body; None if it was not masked.

    The body alone must set the scale: with the emptiness counted in, the same tissue would get
    another intensity in a small patient than in a large one.
    """
    lowest = float(values.min())
    share = float((values == lowest).mean())
    return lowest if _MASKED_SHARE < share < 1 else None


def _keep_thin(
    target: Target, values: LabelArray, asked: LabelArray, source: Geometry, grid: Geometry
) -> tuple[LabelArray, LabelArray]:
    looked = np.argwhere(target.looked_at)
    place = np.rint(grid.to_voxel(source.to_world(looked))).astype(int)
    place = np.clip(place, 0, np.array(grid.shape) - 1)
    missed = values[tuple(place.T)] == IGNORE
    values, asked = values.copy(), asked.copy()
    values[tuple(place[missed].T)] = target.values[tuple(looked[missed].T)]
    asked[tuple(place[missed].T)] = target.asked[tuple(looked[missed].T)]
    return values, asked
