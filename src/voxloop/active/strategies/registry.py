"""The query strategies by key: what commands, files and experiments name them by."""

from __future__ import annotations

import difflib

from voxloop.active.acquisition import least_confidence, margin, predictive_entropy
from voxloop.active.strategies.context import Strategy
from voxloop.active.strategies.foreground import ForegroundRandom
from voxloop.active.strategies.seed import SeedSet
from voxloop.active.strategies.strided import StridedSlices
from voxloop.active.strategies.uncertainty import UncertainSlices
from voxloop.active.strategies.uniform import RandomSlices
from voxloop.errors import UsageError

__all__ = ["STRATEGIES", "find_strategy"]

_ALL: tuple[Strategy, ...] = (
    UncertainSlices("entropy", "mean entropy", "nats", predictive_entropy),
    ForegroundRandom(),
    UncertainSlices("least_confidence", "mean lack of confidence", "", least_confidence),
    UncertainSlices("margin", "mean closeness of the runner-up", "", margin),
    RandomSlices(),
    SeedSet(),
    StridedSlices(),
)

STRATEGIES: dict[str, Strategy] = {strategy.key: strategy for strategy in _ALL}
"""Key to strategy, with its default settings."""


def find_strategy(key: str) -> Strategy:
    """The strategy registered as `key`.

    Raises:
        UsageError: if there is none, naming the nearest.
    """
    if key in STRATEGIES:
        return STRATEGIES[key]
    near = difflib.get_close_matches(key, STRATEGIES, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UsageError(f"unknown strategy {key!r}; {hint}there are: {', '.join(STRATEGIES)}")
