"""Whether a query strategy finds more to correct than random control regions do, per cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

from voxloop.active.query import CONTROL, Query
from voxloop.errors import UsageError

__all__ = [
    "LEVEL",
    "MARGIN",
    "MIN_CONTROLS",
    "MIN_SEEDS",
    "Answer",
    "Judgement",
    "Verdict",
    "judge",
    "judge_replay",
    "with_control",
]

FloatArray = npt.NDArray[np.float64]

LEVEL = 0.95
"""Nominal coverage of the interval; a verdict needs all of it on one side."""

MARGIN = 0.1
"""An advantage that is surely below this tenth does not pay for a model's detour."""

MIN_CONTROLS = 8
"""With fewer control regions, or fewer of the strategy, nothing is claimed."""

MIN_SEEDS = 6
"""With fewer replays the sign test cannot reach 5 %."""

_SHUFFLES = 4000


class Verdict(StrEnum):
    """What the referee says."""

    PAYS = "pays"
    DOES_NOT_PAY = "does not pay"
    TOO_EARLY = "too early to say"


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answered query showed of the model that was there before the answer.

    Attributes:
        round: that asked; answers are compared within a round, since the model changes.
        strategy: that chose the region; `CONTROL` for a control.
        error: how much of the region the model had wrong, 0 or more, in any one unit.
        cost: of answering, above zero, in any one unit.

    Raises:
        UsageError: if a number is not so.
    """

    round: int
    strategy: str
    error: float
    cost: float

    def __post_init__(self) -> None:
        if not (0 <= self.error < math.inf and 0 < self.cost < math.inf):
            raise UsageError(
                "an answer has an error of 0 or more and a cost above 0; "
                f"found {self.error} and {self.cost}"
            )

    @property
    def is_control(self) -> bool:
        """True if chance asked, not the strategy."""
        return self.strategy == CONTROL


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a strategy compares with its control.

    Attributes:
        strategy: the key judged.
        verdict: what may be said.
        measure: what is compared.
        advantage: of the strategy over the control: for "error per cost" as a share of what is
            usual in the round (0.5: half of it more), for "score" in its own unit; NaN where
            nothing can be compared.
        low: lower bound of the interval at `LEVEL`; minus infinity where nothing bounds it.
        high: upper bound.
        p_value: of no difference, two-sided, by permutation.
        chosen: regions of the strategy (of a replay: seeds).
        controls: control regions (of a replay: seeds).
    """

    strategy: str
    verdict: Verdict
    measure: Literal["error per cost", "score"]
    advantage: float
    low: float
    high: float
    p_value: float
    chosen: int
    controls: int

    def in_words(self) -> str:
        """The verdict and what it rests on, such as `too early to say (n = 6 control regions)`."""
        replayed = self.measure == "score"
        counts = (
            f"n = {self.controls} seeds"
            if replayed
            else f"n = {self.chosen} regions of {self.strategy}, {self.controls} control regions"
        )
        if math.isnan(self.advantage):
            return f"{self.verdict} ({counts})"
        form = "+.3f" if replayed else "+.0%"
        bounds = f"[{self.low:{form}}, {self.high:{form}}]" if self.is_bounded else "no interval"
        return (
            f"{self.verdict}: {self.measure} {self.advantage:{form}} against the control {bounds}, "
            f"p = {self.p_value:.2g} ({counts})"
        )

    @property
    def is_bounded(self) -> bool:
        """True if there is an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def with_control(
    queries: Sequence[Query], controls: Sequence[Query], share: float, rng: np.random.Generator
) -> tuple[Query, ...]:
    """Let controls take the place of the least wanted queries, anywhere but at the first place.

    Where a control is for a region that the strategy wants as well, it stays a control: one that
    made way for the strategy would leave the controls the regions the strategy thinks little of.
    The places are drawn, so that neither the order tells the annotator which is which, nor a
    selection that is left half answered consists of one kind only.

    Args:
        queries: of a strategy, best first.
        controls: drawn by chance from the same pool, of regions that do not overlap each other.
        share: of the selection that shall be controls, 0 up to 0.5. A fraction of a query is
            drawn, so that the share is right over many rounds.
        rng: source of the places.

    Returns:
        As many as `queries`, fewer controls than that if there are not so many.

    Raises:
        UsageError: if the share is out of range.
    """
    if not 0 <= share <= 0.5:
        raise UsageError(f"the share of controls lies from 0 to 0.5, found {share}")
    wanted = math.floor(share * len(queries) + float(rng.random()))
    marked = [
        replace(control, strategy=CONTROL, reason=f"control: {control.reason}")
        for control in controls[: max(0, min(wanted, len(queries) - 1))]
    ]
    kept = [q for q in queries if not any(_same_ground(q, control) for control in marked)]
    mixed = kept[: len(queries) - len(marked)]
    for control in marked:
        mixed.insert(int(rng.integers(min(1, len(mixed)), len(mixed) + 1)), control)
    return tuple(mixed)


def judge(answers: Iterable[Answer], strategy: str, rng: np.random.Generator) -> Judgement:
    """Compare a strategy's regions with the control regions of the same rounds.

    Each answer counts with its error per cost, over the mean of its round, so that a round in
    which the model was poor has no more say than another. Within each round chance decides which
    regions could have been the controls (a stratified permutation test); the interval holds the
    advantages that this test does not reject.

    Args:
        answers: of all rounds and strategies.
        strategy: which to judge.
        rng: source of the permutations.
    """
    rounds = _comparable(answers, strategy)
    chosen = sum(int(is_chosen.sum()) for _, is_chosen in rounds)
    controls = sum(is_chosen.size - int(is_chosen.sum()) for _, is_chosen in rounds)
    if not rounds:
        return _silent(strategy, "error per cost", (chosen, controls))
    moved = [_shuffled(rates, is_chosen, rng) for rates, is_chosen in rounds]
    weights = [is_chosen.sum() * (~is_chosen).sum() / is_chosen.size for _, is_chosen in rounds]
    test = _Test(
        np.average([differences for differences, _ in moved], axis=0, weights=weights),
        np.average([shares for _, shares in moved], axis=0, weights=weights),
    )
    enough = min(chosen, controls) >= MIN_CONTROLS
    verdict = test.verdict(MARGIN) if enough else Verdict.TOO_EARLY
    return Judgement(strategy, verdict, "error per cost", *test.figures, chosen, controls)


def judge_replay(
    play: Callable[[str, int], float],
    strategy: str,
    seeds: Sequence[int],
    rng: np.random.Generator,
    *,
    control: str = "foreground_random",
    margin: float = 0.002,
) -> Judgement:
    """Compare two strategies by playing both on what is labelled already, seed by seed.

    This looks at the score that is reached, not at a proxy, and takes two trainings per round
    and seed for it.

    Args:
        play: plays a campaign of a strategy and a seed and gives its score (such as the area
            under its learning curve on cases left out); campaigns of one seed start alike.
        strategy: which to judge.
        seeds: of the campaigns.
        rng: source of the permutations of the sign test.
        control: the strategy to compare with.
        margin: an advantage in the score that is surely below this does not pay.
    """
    gains = np.array([play(strategy, seed) - play(control, seed) for seed in seeds])
    if not gains.size:
        return _silent(strategy, "score", (0, 0))
    signs = rng.choice([-1.0, 1.0], size=(_SHUFFLES, gains.size))
    signs[0] = 1.0
    test = _Test((signs * gains).mean(axis=1), signs.mean(axis=1))
    verdict = test.verdict(margin) if gains.size >= MIN_SEEDS else Verdict.TOO_EARLY
    return Judgement(strategy, verdict, "score", *test.figures, gains.size, gains.size)


def _same_ground(query: Query, control: Query) -> bool:
    return query.case_id == control.case_id and query.region.overlaps(control.region)


def _comparable(
    answers: Iterable[Answer], strategy: str
) -> list[tuple[FloatArray, npt.NDArray[np.bool_]]]:
    """Per round in which both were asked: error per cost over its mean, and who chose it."""
    by_round: dict[int, list[Answer]] = {}
    for answer in answers:
        if answer.strategy in {strategy, CONTROL}:
            by_round.setdefault(answer.round, []).append(answer)
    found = []
    for number in sorted(by_round):
        rates = np.array([a.error / a.cost for a in by_round[number]])
        is_chosen = np.array([not a.is_control for a in by_round[number]])
        if is_chosen.any() and not is_chosen.all() and rates.sum() > 0:
            found.append((rates / rates.mean(), is_chosen))
    return found


def _shuffled(
    rates: FloatArray, is_chosen: npt.NDArray[np.bool_], rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """The difference of the means when the roles are dealt out anew, as first as they were.

    Returns:
        The differences, and by how much each changes when every chosen region loses one, both
        (S,).
    """
    order = rng.permuted(np.broadcast_to(np.arange(rates.size), (_SHUFFLES, rates.size)), axis=1)
    order[0] = np.arange(rates.size)
    roles = is_chosen[order]
    weights = roles / is_chosen.sum() - ~roles / (~is_chosen).sum()
    return weights @ rates, weights @ is_chosen.astype(np.float64)


@dataclass(frozen=True, eq=False)
class _Test:
    """A permutation test of a difference that is linear in the values.

    Attributes:
        differences: under every permutation, the first of which changes nothing, (S,).
        shares: by how much each falls when every chosen region loses one, (S,); the first is 1.
    """

    differences: FloatArray
    shares: FloatArray

    @property
    def figures(self) -> tuple[float, float, float, float]:
        """The difference, its interval, and the p-value of there being none."""
        return float(self.differences[0]), self._bound(-1), self._bound(1), self._p_value(0.0)

    def verdict(self, margin: float) -> Verdict:
        """What the interval allows to say."""
        if self._bound(-1) > 0:
            return Verdict.PAYS
        return Verdict.DOES_NOT_PAY if self._bound(1) < margin else Verdict.TOO_EARLY

    def _p_value(self, advantage: float) -> float:
        """Of the difference being `advantage`, which taken off leaves nothing but chance."""
        left = np.abs(self.differences - advantage * self.shares)
        return float((left >= left[0] - 1e-9 * (1 + left[0])).mean())

    def _bound(self, direction: int) -> float:
        """The furthest advantage that is not rejected, by bisection; infinite if there is none."""
        inside = float(self.differences[0])
        outside = inside + direction * 64 * (float(np.abs(self.differences).max()) or 1.0)
        if self._p_value(outside) >= 1 - LEVEL:
            return direction * math.inf
        for _ in range(50):
            middle = (inside + outside) / 2
            if self._p_value(middle) < 1 - LEVEL:
                outside = middle
            else:
                inside = middle
        return inside


def _silent(
    strategy: str, measure: Literal["error per cost", "score"], counts: tuple[int, int]
) -> Judgement:
    figures = math.nan, -math.inf, math.inf, 1.0
    return Judgement(strategy, Verdict.TOO_EARLY, measure, *figures, *counts)
