"""From a case to network input and back: canonical axes, the plan's spacing, normalised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.dataset.annotation import Target
from voxloop.errors import DataError, Problem
from voxloop.plan.intensities import scale_of
from voxloop.plan.plan import Plan
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import IGNORE
from voxloop.volume.resample import resample_labels
from voxloop.volume.separable import axis_maps, resample_along_axes
from voxloop.volume.volume import LabelArray, Volume

__all__ = ["Prepared", "plan_grid", "prepare_image", "prepare_target"]

Float32Array = npt.NDArray[np.float32]

_SPACING_TOLERANCE = 0.03
"""Scans whose spacing differs less than this from the plan's keep their grid: resampling would
cost sharpness and gain nothing that augmentation does not cover."""


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
    maps = axis_maps(source, grid)
    if maps is None:  # the grid's axes are the scan's own
        raise AssertionError
    array = np.empty((len(channels), *grid.shape), dtype=np.float32)
    for place, volume, how in zip(array, channels, plan.normalisation, strict=True):
        scale = scale_of(volume.array, how)
        place[:] = resample_along_axes(volume.array, maps, scale.clip)
        scale.standardise(place)
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
