"""Acquisition functions: class probabilities in, one score per voxel out, higher = less sure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "Acquisition",
    "ProbArray",
    "ScoreArray",
    "least_confidence",
    "margin",
    "predictive_entropy",
]

ProbArray = npt.NDArray[np.floating[Any]]
"""(C, I, J, K): channel 0 is the background, then the labels in the order of the table."""

ScoreArray = npt.NDArray[np.floating[Any]]
"""(I, J, K), float32 or wider."""

Acquisition = Callable[[ProbArray], ScoreArray]


def predictive_entropy(probs: ProbArray) -> ScoreArray:
    """How undecided the prediction is between all classes, per voxel, in nats.

    Not a number where a probability is not a number: a broken prediction must not look sure.

    Args:
        probs: (C, I, J, K), C >= 2, in [0, 1], summing to 1 over C.

    Returns:
        (I, J, K), in [0, log C]: 0 where one class is certain, log C where all are alike.
    """
    from scipy.special import xlogy  # 0 log 0 = 0, without touching real NaNs

    _check(probs)
    entropy = np.zeros(probs.shape[1:], dtype=_precision(probs))
    for channel in probs:  # one at a time: no second array of C volumes
        wide = channel.astype(entropy.dtype, copy=False)
        entropy -= xlogy(wide, wide)
    return np.maximum(entropy, 0, out=entropy)  # probabilities rounded above 1 give -1e-8


def least_confidence(probs: ProbArray) -> ScoreArray:
    """The probability that the most likely class is wrong, per voxel.

    Args:
        probs: as for `predictive_entropy`.

    Returns:
        (I, J, K), in [0, 1 - 1/C].
    """
    first, _ = _two_highest(probs)
    return np.asarray(1 - first)


def margin(probs: ProbArray) -> ScoreArray:
    """How close the runner-up comes to the most likely class, per voxel.

    One minus the usual margin, so that higher is less sure here as well.

    Args:
        probs: as for `predictive_entropy`.

    Returns:
        (I, J, K), in [0, 1]: 1 where the two most likely classes tie.
    """
    first, second = _two_highest(probs)
    return np.asarray(1 - (first - second))


def _two_highest(probs: ProbArray) -> tuple[ScoreArray, ScoreArray]:
    _check(probs)
    wide = _precision(probs)
    first = np.maximum(probs[0], probs[1]).astype(wide)
    second = np.minimum(probs[0], probs[1]).astype(wide)
    for channel in probs[2:]:
        np.maximum(second, np.minimum(first, channel), out=second)
        np.maximum(first, channel, out=first)
    return first, second


def _precision(probs: ProbArray) -> np.dtype[Any]:
    return np.result_type(probs.dtype, np.float32)


def _check(probs: ProbArray) -> None:
    if probs.ndim != 4 or probs.shape[0] < 2:
        message = f"probabilities have shape (C >= 2, I, J, K), found {probs.shape}"
        raise ValueError(message)
