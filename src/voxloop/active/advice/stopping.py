"""Whether more labels are likely to pay; a suggestion with its reason, never a decision."""

from __future__ import annotations

from dataclasses import dataclass

from voxloop.active.advice.forecast import MIN_ROUNDS, LearningCurve
from voxloop.errors import UsageError

__all__ = ["StoppingAdvice", "StoppingRule", "advise"]


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """When stopping is suggested.

    Attributes:
        gain: a smaller gain in the score is not worth the next labels, above 0 and below 1.
        probability: how probable such a small gain must be, from 0.5 and below 1.

    Raises:
        UsageError: if a number is out of range.
    """

    gain: float = 0.005
    probability: float = 0.8

    def __post_init__(self) -> None:
        if not (0 < self.gain < 1 and 0.5 <= self.probability < 1):
            raise UsageError(
                "a stopping rule has a gain between 0 and 1 and a probability from 0.5 and below "
                f"1; found {self.gain} and {self.probability}"
            )


@dataclass(frozen=True, slots=True)
class StoppingAdvice:
    """What is suggested, and why.

    Attributes:
        stop: True if stopping is suggested; False also while nothing can be said.
        probability: that the gain stays below the rule's; None while nothing can be said.
        reason: in a sentence.
    """

    stop: bool
    probability: float | None
    reason: str


def advise(
    curve: LearningCurve | None, budget: float, more: str, rule: StoppingRule | None = None
) -> StoppingAdvice:
    """Suggest to stop if the next labels are likely to gain too little.

    Args:
        curve: through the rounds so far; None while there are too few.
        budget: what will have been spent after the next labels, as in the curve.
        more: the next labels in words, such as "40 more slices".
        rule: what is too little, and how sure that must be.

    Raises:
        UsageError: if the budget is not above that of the curve's last round.
    """
    rule = rule or StoppingRule()
    if curve is None:
        return StoppingAdvice(
            stop=False,
            probability=None,
            reason=f"fewer than {MIN_ROUNDS} rounds are measured: too few to suggest anything",
        )
    if not budget > curve.now:
        raise UsageError(f"{more} end at {budget:g}, which is not beyond {curve.now:g}")
    chance = curve.chance_below(budget, rule.gain)
    stop = chance >= rule.probability
    small = f"{more} bring less than {rule.gain:g} with a probability of {chance:.0%}"
    weighed = f"{rule.probability:.0%} would be enough to suggest stopping"
    return StoppingAdvice(
        stop=stop,
        probability=chance,
        reason=f"{small}: they hardly pay" if stop else f"{small}; {weighed}",
    )
