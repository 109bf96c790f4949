"""Acquisition functions: what several members predict in, one score per voxel out.

Higher is less sure everywhere. The members are the models of an ensemble, snapshots of one
training, passes with dropout, or views of the scan; one model alone is a single member, and its
members never disagree. Two kinds of doubt are told apart: what the members share (the image does
not show it; `expected_entropy`) and what they dispute (more labels would settle it;
`mutual_information`, `vote_entropy`, `variance`, `dice_disagreement`).

A probability that is not a number gives a score that is none: a broken prediction must not look
sure. No function holds more than a few volumes beside the members.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = [
    "Acquisition",
    "Members",
    "ProbArray",
    "Regions",
    "ScoreArray",
    "SpacingMm",
    "check_members",
    "class_means",
    "dice_disagreement",
    "expected_entropy",
    "highest_two",
    "least_confidence",
    "margin",
    "mutual_information",
    "predictive_entropy",
    "variance",
    "vote_entropy",
]

Members = npt.NDArray[np.floating[Any]]
"""(M, C, I, J, K): what each of M >= 1 members gives for C >= 2 classes, the background first,
then the labels in the order of the table; in [0, 1], summing to 1 over C."""

ProbArray = npt.NDArray[np.floating[Any]]
"""(C, I, J, K): one member's."""

ScoreArray = npt.NDArray[np.floating[Any]]
"""(I, J, K), float32 or wider."""

SpacingMm = tuple[float, float, float]

Acquisition = Callable[[Members, SpacingMm], ScoreArray]
"""Members and the spacing of their grid to a score per voxel."""


class Regions(Protocol):
    """What a grid is cut into: a lattice, or a case of the pool with all its regions."""

    def sums(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Sum of values (..., I, J, K) over each region, (..., n)."""


def least_confidence(members: Members, _spacing_mm: SpacingMm) -> ScoreArray:
    """The probability that the most likely class is wrong, per voxel, by the members' mean.

    Args:
        members: (M, C, I, J, K).

    Returns:
        (I, J, K), in [0, 1 - 1/C].
    """
    first, _, _ = highest_two(members)
    return np.asarray(1 - first)


def margin(members: Members, _spacing_mm: SpacingMm) -> ScoreArray:
    """How close the runner-up comes to the most likely class, per voxel, by the members' mean.

    One minus the usual margin, so that higher is less sure here as well.

    Args:
        members: (M, C, I, J, K).

    Returns:
        (I, J, K), in [0, 1]: 1 where the two most likely classes tie.
    """
    first, second, _ = highest_two(members)
    return np.asarray(1 - (first - second))


def predictive_entropy(members: Members, _spacing_mm: SpacingMm) -> ScoreArray:
    """How undecided the members' mean is between all classes, per voxel, in nats.

    All doubt, whatever its kind: `expected_entropy` plus `mutual_information`.

    Args:
        members: (M, C, I, J, K).

    Returns:
        (I, J, K), in [0, log C]: 0 where one class is certain, log C where all are alike.
    """
    check_members(members)
    return _entropy(class_means(members), _empty(members))


def expected_entropy(members: Members, _spacing_mm: SpacingMm) -> ScoreArray:
    """How undecided the members are, each for itself, on average, per voxel, in nats.

    The doubt that stays when they agree: where the image does not show the border.

    Args:
        members: (M, C, I, J, K).

    Returns:
        (I, J, K), in [0, log C], never above `predictive_entropy`.
    """
    check_members(members)
    total = _empty(members)
    for member in members:
        total += _entropy((_wide(channel) for channel in member), _empty(members))
    return np.asarray(total / len(members))


def mutual_information(members: Members, _spacing_mm: SpacingMm) -> ScoreArray:
    """How much the members dispute, per voxel, in nats (BALD; Houlsby et al. 2011).

    What knowing the right member would tell of the class. Taken as the members' mean divergence
    from their mean, which equals the difference of the two entropies but keeps its small values,
    where that difference would be rounding.

    Args:
        members: (M, C, I, J, K).

    Returns:
        (I, J, K), in [0, log min(M, C)]: 0 where all members give the same, log 2 where two
        are certain of different classes.
    """
    from scipy.special import rel_entr

    check_members(members)
    total = _empty(members)
    least = np.finfo(total.dtype).tiny  # the mean of two denormals may round to zero
    for index, mean in enumerate(class_means(members)):
        for member in members:
            total += rel_entr(_wide(member[index]), np.maximum(mean, least))
    total /= len(members)
    return np.maximum(total, 0, out=total)


def vote_entropy(members: Members, _spacing_mm: SpacingMm) -> ScoreArray:
    """How split the members' votes are, per voxel, in nats (Engelson and Dagan 1996).

    Each member votes for its most likely class, at a tie for the first of them.

    Args:
        members: (M, C, I, J, K).

    Returns:
        (I, J, K), in [0, log min(M, C)].
    """
    check_members(members)
    votes, broken = [], np.zeros(members.shape[2:], dtype=bool)
    for member in members:
        first, _, vote = highest_two(member[None])
        broken |= np.isnan(first)
        votes.append(vote)
    shares = (
        sum((vote == label for vote in votes), _empty(members)) / len(votes)
        for label in range(members.shape[1])
    )
    entropy = _entropy(shares, _empty(members))
    entropy[broken] = np.nan
    return entropy


def variance(members: Members, _spacing_mm: SpacingMm) -> ScoreArray:
    """How far the members' probabilities are spread, per voxel: their variance, over all classes.

    Args:
        members: (M, C, I, J, K).

    Returns:
        (I, J, K), in [0, 1 - 1 / min(M, C)]: the sum over the classes of the mean square
        deviation from the members' mean.
    """
    check_members(members)
    total = _empty(members)
    for index, mean in enumerate(class_means(members)):
        for member in members:
            total += (member[index] - mean) ** 2
    total /= len(members)
    return total


def dice_disagreement(members: Members, regions: Regions) -> npt.NDArray[np.float64]:
    """How little the members' segmentations overlap with that of their mean, per region.

    A committee that compares what would be printed, not probabilities (query by committee, with
    one minus Dice for the distance). A label that neither of the two shows in a region is agreed
    upon: Dice 1.

    Args:
        members: (M, C, I, J, K).
        regions: what the grid is cut into, n regions.

    Returns:
        (n,), in [0, 1]: mean over members and labels; not a number where a probability is none.
    """
    sure, _, consensus = highest_two(members)
    sizes = [regions.sums(consensus == label) for label in range(1, members.shape[1])]
    total = regions.sums(np.isnan(sure))
    total[total > 0] = np.nan
    for member in members:
        _, _, own = highest_two(member[None])
        for label, size in enumerate(sizes, start=1):
            shown = own == label
            both, sum_of_sizes = regions.sums(shown & (consensus == label)), regions.sums(shown)
            sum_of_sizes += size
            total += np.where(sum_of_sizes > 0, 1 - 2 * both / np.maximum(sum_of_sizes, 1), 0.0)
    return np.asarray(total / (len(members) * len(sizes)))


def highest_two(members: Members) -> tuple[ScoreArray, ScoreArray, npt.NDArray[np.uint8]]:
    """Probability of the most likely class and of the runner-up, and which class it is.

    By the members' mean; at a tie the first class is the most likely.

    Args:
        members: (M, C, I, J, K), C up to 255.

    Returns:
        Three times (I, J, K): the highest, the second, the index of the highest.
    """
    check_members(members)
    first = np.full(members.shape[2:], -np.inf, dtype=_precision(members))
    second, index = first.copy(), np.zeros(first.shape, dtype=np.uint8)
    for label, mean in enumerate(class_means(members)):
        index[mean > first] = label
        np.maximum(second, np.minimum(first, mean), out=second)
        np.maximum(first, mean, out=first)
    return first, second, index


def class_means(members: Members) -> Iterator[ScoreArray]:
    """The members' mean probability of each class in turn, (I, J, K), float32 or wider."""
    for label in range(members.shape[1]):
        yield members[:, label].mean(axis=0, dtype=_precision(members))


def check_members(members: Members) -> None:
    """Refuse what has not the shape of several members' probabilities.

    Raises:
        ValueError: if it is not (M >= 1, C >= 2, I, J, K).
    """
    if members.ndim != 5 or members.shape[0] < 1 or members.shape[1] < 2:
        message = f"members have shape (M >= 1, C >= 2, I, J, K), found {members.shape}"
        raise ValueError(message)


def _entropy(channels: Iterator[ScoreArray], total: ScoreArray) -> ScoreArray:
    from scipy.special import xlogy  # 0 log 0 = 0, without touching real NaNs

    for channel in channels:
        total -= xlogy(channel, channel)
    return np.maximum(total, 0, out=total)  # probabilities rounded above 1 give -1e-8


def _empty(members: Members) -> ScoreArray:
    return np.zeros(members.shape[2:], dtype=_precision(members))


def _wide(channel: ScoreArray) -> ScoreArray:
    return channel.astype(np.result_type(channel.dtype, np.float32), copy=False)


def _precision(members: Members) -> np.dtype[Any]:
    return np.result_type(members.dtype, np.float32)
