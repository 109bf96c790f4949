"""What a learning curve comes to: the area under it, and what it costs to reach a score."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["area_between", "area_under_budget", "budget_to_reach"]

FloatArray = npt.NDArray[np.float64]


def area_under_budget(budgets: npt.ArrayLike, scores: npt.ArrayLike) -> FloatArray:
    """Mean score over the range of budgets, by the trapezium rule.

    Divided by the range, so that it is on the scale of the score: 0 to 1 for Dice.

    Args:
        budgets: (B,), ascending.
        scores: (..., B).

    Returns:
        (...); the score itself where there is one budget only.
    """
    x, y = np.asarray(budgets, dtype=float), np.asarray(scores, dtype=float)
    if x.size == 1:
        return np.asarray(y[..., 0])
    return np.asarray(np.trapezoid(y, x, axis=-1) / (x[-1] - x[0]))


def area_between(
    budgets: npt.ArrayLike, scores: npt.ArrayLike, low: float, high: float
) -> FloatArray:
    """Mean score from one budget to another, for curves that were measured at other budgets.

    Args:
        budgets: (B,), ascending.
        scores: (..., B); straight between its points.
        low: where to begin, not below the first budget.
        high: where to end, above `low` and not above the last budget.

    Returns:
        (...).
    """
    x, y = np.asarray(budgets, dtype=float), np.asarray(scores, dtype=float)
    knots = np.array([low, *x[(x > low) & (x < high)], high])
    right = np.clip(np.searchsorted(x, knots), 1, len(x) - 1)
    part = (knots - x[right - 1]) / (x[right] - x[right - 1])
    return area_under_budget(knots, y[..., right - 1] * (1 - part) + y[..., right] * part)


def budget_to_reach(budgets: npt.ArrayLike, scores: npt.ArrayLike, target: float) -> float | None:
    """The first budget at which a curve reaches a score, interpolated between its points.

    Args:
        budgets: (B,), ascending.
        scores: (B,).
        target: the score to reach.

    Returns:
        The budget; the first one if the curve begins there; None if it never gets so far.
    """
    x, y = np.asarray(budgets, dtype=float), np.asarray(scores, dtype=float)
    reached = np.flatnonzero(y >= target)
    if reached.size == 0:
        return None
    at = int(reached[0])
    if at == 0:
        return float(x[0])
    part = (target - y[at - 1]) / (y[at] - y[at - 1])
    return float(x[at - 1] + part * (x[at] - x[at - 1]))
