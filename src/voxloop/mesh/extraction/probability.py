"""How likely a label is at each voxel, from what a model says of its own doubt."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.errors import DataError, Problem
from voxloop.volume.volume import LabelMap, Volume

__all__ = [
    "SUREST",
    "label_probability",
    "log_odds",
    "probability_from_entropy",
    "winner_probability",
]

SUREST = 6.0
"""Log odds beyond which probabilities are not told apart (0.9975): files round them to 0 and 1."""

_STEPS = 4096
_REACH_VOX = 4.0
_REMEDY = "give the file of `voxloop segment --uncertainty`, or probabilities of this label"


def label_probability(doubt: Volume, label_map: LabelMap, value: int, *, classes: int) -> Volume:
    """The probability of a label, from either kind of file that tells of doubt.

    Whole numbers up to 255 are taken as the entropies that `voxloop segment --uncertainty` writes;
    fractions from 0 to 1 as the probability of the label itself.

    Args:
        doubt: on the grid of the label map.
        label_map: the labels.
        value: which of them.
        classes: that the model told apart, the background included.

    Raises:
        DataError: if the grids differ or the values are neither.
    """
    differs = label_map.geometry.difference(doubt.geometry)
    if differs is not None:
        raise _bad("the grid of the label map", differs, "take the file of the same case")
    low, high = float(doubt.array.min()), float(doubt.array.max())
    if np.issubdtype(doubt.array.dtype, np.integer):
        if low < 0 or high > 255:
            raise _bad("entropies from 0 to 255", f"{low:g} to {high:g}", _REMEDY)
        return probability_from_entropy(doubt, label_map, value, classes=classes)
    if low < -1e-6 or high > 1 + 1e-6:
        raise _bad("probabilities from 0 to 1", f"{low:g} to {high:g}", _REMEDY)
    return Volume(np.clip(doubt.array.astype(np.float32), 0, 1), doubt.geometry)


def probability_from_entropy(
    entropy: Volume, label_map: LabelMap, value: int, *, classes: int
) -> Volume:
    """What the entropy says of a label, if all doubt is between this label and one other.

    Where two classes compete, the entropy tells how likely the winner is; elsewhere it does not
    say which classes do. So this is exact at the border of two labels, and too wide at a voxel
    where three compete. Voxels farther than four voxels' lengths from the label count as without
    it: doubt there is about others.

    Args:
        entropy: 0 to 255, in units of the logarithm of the number of classes over 255.
        label_map: which class won.
        value: the label.
        classes: that the model told apart, the background included.

    Returns:
        (I, J, K) float32: at least one half within the label, at most one half outside.
    """
    from scipy.ndimage import distance_transform_edt

    inside = label_map.mask(value)
    winner = winner_probability(entropy.array, classes)
    probability = np.where(inside, winner, 1 - winner).astype(np.float32)
    spacing_mm = label_map.geometry.spacing_mm
    if inside.any():
        apart_mm = distance_transform_edt(~inside, sampling=spacing_mm)
        probability[apart_mm > _REACH_VOX * max(spacing_mm)] = 0
    else:
        probability[:] = 0
    return Volume(probability, label_map.geometry)


def winner_probability(
    entropy: npt.NDArray[np.integer[Any]], classes: int
) -> npt.NDArray[np.float64]:
    """The probability of the likelier of two classes, at least one half, from their entropy.

    Args:
        entropy: of any shape, 0 to 255, in units of the logarithm of `classes` over 255.
        classes: that the model told apart, the background included.
    """
    nats = np.arange(256) / 255 * np.log(max(classes, 2))
    likely = 1 - np.linspace(0.5, 0.0, _STEPS)
    rest = 1 - likely
    logs = np.log(np.maximum(likely, 1e-300)), np.log(np.maximum(rest, 1e-300))
    table = -(likely * logs[0] + rest * logs[1])
    winner = np.interp(nats, table[::-1], likely[::-1])
    return np.asarray(winner[np.asarray(entropy, dtype=np.uint8)])


def log_odds(probability: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """Log of how many times as likely something is as not, at most `SUREST` to either side."""
    least = 1 / (1 + np.exp(SUREST))
    likely = np.clip(probability.astype(np.float32), least, 1 - least)
    return np.asarray(np.log(likely / (1 - likely)))


def _bad(expected: str, found: str, remedy: str) -> DataError:
    return DataError(Problem("uncertainty", expected, found, remedy))
