"""What a region would teach: the total of a measure of doubt over it, and over each label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from voxloop.active.doubt.acquisition import (
    Acquisition,
    Members,
    Regions,
    ScoreArray,
    SpacingMm,
    dice_disagreement,
    highest_two,
)
from voxloop.active.pool import CasePool

__all__ = ["DiceScorer", "Scorer", "VoxelScorer"]


class Scorer(Protocol):
    """A measure of doubt, as total per region: two regions side by side count as one of both."""

    @property
    def measure(self) -> str:
        """What is told of a region, as it reads before the number, e.g. "mean entropy"."""

    @property
    def unit(self) -> str:
        """What follows the number, e.g. "nats"; empty for none."""

    @property
    def needs_members(self) -> bool:
        """True if one member alone says nothing."""

    def gains(self, members: Members, case: CasePool) -> tuple[ScoreArray, ScoreArray]:
        """Of each region, (n,), and of the voxels predicted as each label alone, (labels, n).

        Args:
            members: (M, C, I, J, K) of the case.
            case: whose regions.
        """

    def told(self, members: Members, case: CasePool, gains: ScoreArray) -> ScoreArray:
        """The number that a person is told of each region, (n,), in `unit`.

        Args:
            members: as for `gains`.
            case: as for `gains`.
            gains: of each region.
        """


@dataclass(frozen=True)
class VoxelScorer:
    """An acquisition function summed over regions.

    Attributes:
        measure: as for `Scorer`.
        unit: as for `Scorer`.
        acquisition: members to a score per voxel, 0 or more.
        needs_members: as for `Scorer`.
        telling: what a person is told, from members, spacing and regions; the mean per voxel
            where None.
    """

    measure: str
    unit: str
    acquisition: Acquisition
    needs_members: bool = False
    telling: Callable[[Members, SpacingMm, Regions], ScoreArray] | None = None

    def gains(self, members: Members, case: CasePool) -> tuple[ScoreArray, ScoreArray]:
        """As for `Scorer`."""
        scores = self.acquisition(members, case.spacing_mm)
        _, _, predicted = highest_two(members)
        labels = range(1, members.shape[1])
        by_label = [case.sums(np.where(predicted == label, scores, 0)) for label in labels]
        return case.sums(scores), np.stack(by_label)

    def told(self, members: Members, case: CasePool, gains: ScoreArray) -> ScoreArray:
        """As for `Scorer`."""
        if self.telling is None:
            return np.asarray(gains / case.voxel_counts)
        return self.telling(members, case.spacing_mm, case)


@dataclass(frozen=True)
class DiceScorer:
    """How little the members' segmentations of a region agree (query by committee).

    The disagreement counts for every voxel of the region, so that it compares as a mean.
    """

    measure: str = "disagreement in Dice"
    unit: str = ""
    needs_members: bool = True

    def gains(self, members: Members, case: CasePool) -> tuple[ScoreArray, ScoreArray]:
        """As for `Scorer`; a label's part is the share of the region predicted as it."""
        disagreement = dice_disagreement(members, case)
        _, _, predicted = highest_two(members)
        labels = range(1, members.shape[1])
        by_label = np.stack([case.sums(predicted == label) for label in labels])
        return disagreement * case.voxel_counts, disagreement * by_label

    def told(self, members: Members, case: CasePool, gains: ScoreArray) -> ScoreArray:
        """As for `Scorer`: the disagreement itself."""
        del members
        return np.asarray(gains / case.voxel_counts)
