"""What a region is expected to cost, in one currency for slices, boxes and volumes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

import numpy as np
import numpy.typing as npt

from voxloop.active.cost.effort import Effort, EffortArray
from voxloop.active.cost.prices import ASSUMED_PRICES, Prices, learn_prices
from voxloop.active.query import Unit
from voxloop.errors import DataError, Problem
from voxloop.volume.boxes import Box

__all__ = ["CostModel", "LoggedTime", "per_cost"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LoggedTime:
    """How long a person took for one delivery, or for looking at a query and skipping it.

    Attributes:
        voxel_count: voxels that were looked at, 1 or more.
        seconds: time spent, above zero; a delivery without a time has no `LoggedTime`.
        effort: what was done in this time, of what was answered only; None where that is not
            known. Of a skipped query it is `Effort.reading`.
        regions: how many regions were answered, 1 or more.
        corrected: true if a proposal was corrected, false if the outlines were drawn.

    Raises:
        DataError: if voxels, seconds or regions are not above zero and finite.
    """

    voxel_count: int
    seconds: float
    effort: Effort | None = None
    regions: int = 1
    corrected: bool = False

    def __post_init__(self) -> None:
        is_time = math.isfinite(self.seconds) and self.seconds > 0
        if self.voxel_count < 1 or self.regions < 1 or not is_time:
            raise DataError(
                Problem(
                    "logged time",
                    "voxels and seconds above zero, for one region or more",
                    f"{self.voxel_count} voxels in {self.seconds} s, {self.regions} regions",
                    "correct the time or leave it out",
                )
            )


@dataclass(frozen=True)
class CostModel:
    """The expected cost of a region.

    Seconds are a sum over what there is to do (`Effort`), each kind at its price, once a time was
    logged for known work; where nothing is known of a region, they are proportional to voxels.
    Until a time was logged each region costs one, for a number of regions is what a person asks
    for then, and what a simulation's budget counts; the prices are assumptions, and what they give
    serves to compare regions with one another, not to tell the time.

    Attributes:
        unit: the currency of `cost`.
        per_voxel: cost of one voxel in `unit`, above zero; without meaning where `unit` is
            regions.
        prices: seconds per unit of effort.
        calibrated: how many logged times the prices were learned from; 0 where they are assumed.
        relative_error: by what share a single time typically misses what is expected; None
            where nothing is calibrated.

    Raises:
        ValueError: if the cost of a voxel is not above zero, or prices are calibrated in voxels.
    """

    unit: Unit = "regions"
    per_voxel: float = 1.0
    prices: Prices = ASSUMED_PRICES
    calibrated: int = 0
    relative_error: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.per_voxel) and self.per_voxel > 0):
            message = f"the cost of a voxel is finite and above zero, found {self.per_voxel}"
            raise ValueError(message)
        if self.calibrated and self.unit != "seconds":
            message = f"prices are learned in seconds, the unit is {self.unit}"
            raise ValueError(message)

    @classmethod
    def from_times(cls, times: Iterable[LoggedTime], assumed: Prices = ASSUMED_PRICES) -> CostModel:
        """Learn from logged times; each region costs one if there are none.

        A voxel costs the median rate of all times, because a clock that ran over lunch must not
        set the price; prices are learned from those times whose effort is known.

        Args:
            times: of one workspace, oldest first.
            assumed: prices believed before any log.
        """
        listed = list(times)
        if not listed:
            return cls(prices=assumed)
        per_voxel = median(time.seconds / time.voxel_count for time in listed)
        useful = [time for time in listed if time.effort is not None and time.effort.row.any()]
        if not useful:
            return cls("seconds", per_voxel, assumed)
        learned = learn_prices(
            np.stack([_counts_of(time) for time in useful]),
            np.array([time.seconds for time in useful]),
            assumed,
        )
        return cls("seconds", per_voxel, learned.prices, len(useful), learned.relative_error)

    def cost(self, region: Box, effort: Effort | None = None, *, corrected: bool = False) -> float:
        """Expected cost of labelling `region`, in `unit`.

        Args:
            region: what is asked for.
            effort: what there is to do in it, where a model can tell; used once the prices are
                calibrated.
            corrected: true where a proposal is corrected.
        """
        if effort is None or not self.calibrated:
            return float(self.by_size(np.array([region.voxel_count]))[0])
        return float(self.seconds(effort.row[None], corrected=corrected)[0])

    def by_size(self, voxel_counts: npt.NDArray[np.int64]) -> FloatArray:
        """Expected cost of regions of which only the size is known, (n,), in `unit`."""
        counts = np.asarray(voxel_counts, dtype=np.float64)
        return np.ones_like(counts) if self.unit == "regions" else self.per_voxel * counts

    def seconds(self, efforts: EffortArray, *, corrected: bool = False) -> FloatArray:
        """Expected seconds of labelling each region, (n,).

        Where `calibrated` is 0 they compare regions with one another and say nothing of a
        person's pace.

        Args:
            efforts: (n, 5), see `Effort`.
            corrected: true where a proposal is corrected.
        """
        return np.asarray(_counts(efforts, regions=1, corrected=corrected) @ self.prices.row)


def per_cost(scores: npt.ArrayLike, costs: npt.ArrayLike) -> FloatArray:
    """Gain per unit of cost, by which regions of unlike cost are ranked.

    The score must be the gain of the whole region: a mean over its voxels has been divided by
    its size already.

    Args:
        scores: (n,), 0 or more: a gain below zero would look better the more it cost.
        costs: (n,), above zero, all in one unit.

    Raises:
        ValueError: if the numbers are not so.

    Source: return on investment, Haertel et al., NIPS Workshop on Cost-Sensitive Learning, 2008.
    """
    gains, prices = np.asarray(scores, dtype=np.float64), np.asarray(costs, dtype=np.float64)
    if gains.shape != prices.shape or (prices <= 0).any() or not np.isfinite(prices).all():
        message = f"one cost above zero for each of {gains.shape} scores is needed"
        raise ValueError(message)
    if (gains < 0).any():
        message = "gains of 0 or more are needed to be compared by their cost"
        raise ValueError(message)
    return np.asarray(gains / prices)


def _counts_of(time: LoggedTime) -> FloatArray:
    effort = Effort() if time.effort is None else time.effort
    counts = _counts(effort.row[None], regions=time.regions, corrected=time.corrected)
    return np.asarray(counts[0])


def _counts(efforts: EffortArray, *, regions: int, corrected: bool) -> FloatArray:
    """How often each price is due, (n, 6), in the order of the fields of `Prices`."""
    slices, area, contour, labels, correction = np.asarray(efforts, dtype=np.float64).T
    none, once = np.zeros_like(slices), np.full_like(slices, regions)
    drawn, redrawn = (none, correction) if corrected else (contour, none)
    return np.stack([once, slices, area, drawn, labels, redrawn], axis=1)
