"""From scores to an order: the highest first, or drawn so that higher ones come sooner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from voxloop.active.doubt.acquisition import ScoreArray

__all__ = ["RankingKind", "ScoreRanking"]

RankingKind = Literal["top", "power", "softrank"]

_LEAST = 1e-12
"""Stands for a score of zero, so that it can be drawn, last of all."""


@dataclass(frozen=True)
class ScoreRanking:
    """How scores become an order.

    The highest scores of a pool repeat one another, and a model is wrong about what it does not
    know; noise spreads the choice (Kirsch et al. 2023, stochastic batch acquisition). Draws are
    without replacement, by adding Gumbel noise to the logarithm of the weights.

    Attributes:
        kind: `top`, the highest first, ties at random; `power`, drawn with a weight of score to
            the power of sharpness; `softrank`, with rank to the power of minus sharpness.
        sharpness: above zero; large values come close to `top`.
        last_sharpness: reached after `rounds` rounds, evenly in the logarithm, as ClaSP PE does
            (arXiv 2601.13677): explore first, then trust the scores. None for no change.
        rounds: how many rounds that takes, above zero.
    """

    kind: RankingKind = "top"
    sharpness: float = 1.0
    last_sharpness: float | None = None
    rounds: int = 4

    def __post_init__(self) -> None:
        ends = (self.sharpness, self.last_sharpness or self.sharpness)
        if self.kind not in get_args(RankingKind) or min(ends) <= 0 or self.rounds < 1:
            message = f"a kind of {get_args(RankingKind)}, sharpness and rounds above 0: {self}"
            raise ValueError(message)

    def order(
        self, scores: ScoreArray, rng: np.random.Generator, round_number: int = 1
    ) -> npt.NDArray[np.int64]:
        """Indices of scores (n,), first choice first; draws n numbers from `rng` in any case.

        Args:
            scores: finite, 0 or more, higher is wanted sooner.
            rng: the source of chance.
            round_number: of the selection, from 1 on.
        """
        if self.kind == "top":
            return np.lexsort((rng.permutation(len(scores)), -scores))
        noise = rng.gumbel(size=len(scores))
        if self.kind == "power":
            logs = np.log(np.maximum(scores, _LEAST))
        else:
            ranks = np.empty(len(scores))
            ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
            logs = -np.log(ranks)
        return np.argsort(-(self.sharpness_at(round_number) * logs + noise), kind="stable")

    def sharpness_at(self, round_number: int) -> float:
        """How sharp the draws of a round are, round 1 the first."""
        if self.last_sharpness is None:
            return self.sharpness
        share = min(1.0, (round_number - 1) / self.rounds)
        return float(self.sharpness ** (1 - share) * self.last_sharpness**share)
