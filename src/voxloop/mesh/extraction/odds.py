"""By how much one label is more likely than another, voxel by voxel: where surfaces run between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from voxloop.errors import DataError, Problem
from voxloop.mesh.extraction.probability import SUREST, log_odds, winner_probability
from voxloop.volume.volume import LabelArray, LabelMap, Volume

__all__ = ["EntropyOdds", "Odds", "ProbabilityOdds"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Odds(Protocol):
    """Tells where between two voxels two labels are equally likely.

    Log odds are taken as linear there, which those of a network's borders nearly are.
    """

    def lead(self, voxels: IntArray, ahead: LabelArray, behind: LabelArray) -> FloatArray:
        """Log of how many times as likely one label is as another.

        Args:
            voxels: (N, 3) indices, on the label map's grid or beyond it.
            ahead: (N,) label values, 0 for the outside.
            behind: (N,) label values.

        Returns:
            (N,) positive where `ahead` is the more likely one; not a number off the grid.
        """
        ...


@dataclass(frozen=True, eq=False)
class ProbabilityOdds:
    """Odds from the probabilities of all labels.

    Attributes:
        probabilities: one (I, J, K) array for the outside, then one for each label of the table.
        channels: (256,) the array of each label.
    """

    probabilities: Sequence[npt.NDArray[np.floating[Any]]]
    channels: IntArray

    @classmethod
    def of(
        cls,
        probabilities: Sequence[npt.NDArray[np.floating[Any]]] | npt.NDArray[np.floating[Any]],
        label_map: LabelMap,
    ) -> ProbabilityOdds:
        """Check probabilities against the label map they belong to.

        Args:
            probabilities: (C, I, J, K), the outside first, then each label of the table in
                ascending order of value; 0 to 1.
            label_map: its grid and table.

        Raises:
            DataError: if there is not one for each label and voxel.
        """
        values, grid = label_map.labels.values, label_map.geometry.shape
        shapes = {tuple(each.shape) for each in probabilities}
        if len(probabilities) != 1 + len(values) or shapes != {grid}:
            raise DataError(
                Problem(
                    "probabilities",
                    f"an array of shape {(1 + len(values), *grid)}: the outside, each label, "
                    "and the grid",
                    f"{len(probabilities)} of shapes {sorted(shapes)}",
                    "take probabilities and label map from the same prediction",
                )
            )
        channels = np.zeros(256, dtype=np.int64)
        channels[list(values)] = np.arange(1, 1 + len(values))
        return cls(list(probabilities), channels)

    def lead(self, voxels: IntArray, ahead: LabelArray, behind: LabelArray) -> FloatArray:
        """See `Odds`."""
        places, inside = _on_grid(voxels, self.probabilities[0].shape)
        both = [np.empty(len(places)), np.empty(len(places))]
        for number, array in enumerate(self.probabilities):
            for found, label in zip(both, (ahead, behind), strict=True):
                rows = np.flatnonzero(self.channels[label] == number)
                found[rows] = array[tuple(places[rows].T)]
        least = np.exp(-SUREST)
        one, other = (np.log(np.maximum(each, least)) for each in both)
        return np.where(inside, one - other, np.nan)


@dataclass(frozen=True, eq=False)
class EntropyOdds:
    """Odds from entropies, if all doubt at a voxel is between two labels.

    Exact where two labels compete; where three do, the most likely one counts as less likely than
    it is, which moves the surface less than its voxel is wide.

    Attributes:
        entropy: (I, J, K), 0 to 255 in units of the logarithm of the number of classes over 255.
        label_map: which class won.
        classes: that the model told apart, the background included.
    """

    entropy: Volume
    label_map: LabelMap
    classes: int

    def lead(self, voxels: IntArray, ahead: LabelArray, behind: LabelArray) -> FloatArray:
        """See `Odds`."""
        places, inside = _on_grid(voxels, self.label_map.geometry.shape)
        winner = winner_probability(self.entropy.array[tuple(places.T)], self.classes)
        won = self.label_map.array[tuple(places.T)]
        sign = np.where(won == ahead, 1, np.where(won == behind, -1, 0))
        return np.where(inside, sign * log_odds(winner), np.nan)


def _on_grid(voxels: IntArray, shape: Sequence[int]) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Indices (N, 3) brought onto the grid, and which (N,) were there."""
    clipped = np.clip(voxels, 0, np.array(shape) - 1)
    return clipped, np.asarray((clipped == voxels).all(axis=1))
